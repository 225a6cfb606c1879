"""The spaCy pipeline of the small model: words described by lists and endings instead of being learned one by one."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from flywheel.curate.scrub.gazetteer import gazetteer

if TYPE_CHECKING:
    from spacy.language import Language

LABELS = ("LOCATION", "NRP", "ORGANIZATION", "PERSON")
WIDTH, DEPTH, HIDDEN = 96, 4, 64
ROWS = {"NORM": 5000, "LOWER": 500, "PREFIX": 2000, "SUFFIX": 2500, "SHAPE": 1000}
"""Rows of the hash table of each attribute; `LOWER` holds the lists that a word is on."""

_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")


def blank() -> Language:
    """An untrained pipeline. Rare words look alike to it but for their lists, first and last letters and shape, so it cannot
    learn names by heart."""
    from spacy.attrs import LOWER, NORM, PREFIX, SUFFIX
    from spacy.lang.en import English

    language: Any = English
    getters = {
        **language.Defaults.lex_attr_getters,
        **{NORM: common_word, LOWER: lists_of, PREFIX: lambda word: word[:3].lower(), SUFFIX: lambda word: word[-3:].lower()},
    }
    defaults = type("Defaults", (language.Defaults,), {"lex_attr_getters": getters})
    pipeline: Language = type("Words", (language,), {"Defaults": defaults})()
    recogniser: Any = pipeline.add_pipe("ner", config={"model": _architecture()})
    for label in LABELS:
        recogniser.add_label(label)
    return pipeline


def _architecture() -> dict[str, Any]:
    embed = {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": WIDTH,
        "attrs": list(ROWS),
        "rows": list(ROWS.values()),
        "include_static_vectors": False,
    }
    encode = {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": WIDTH,
        "depth": DEPTH,
        "window_size": 1,
        "maxout_pieces": 3,
    }
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": HIDDEN,
        "maxout_pieces": 2,
        "use_upper": True,
        "tok2vec": {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode},
    }


def common_word(word: str) -> str:
    """The word in lower case if it is a common one, its digits as `0`, or what its lists are."""
    lower = word.lower()
    lists = gazetteer()
    if lower in lists.common or lower in lists.never or lower in lists.institutions:
        return lower
    return "?" + lists_of(word) if _LETTER.search(word) else _DIGIT.sub("0", word)


def lists_of(word: str) -> str:
    """One letter for each list that holds the word: F, L names; P, Q places and their parts; C common; N, I as in words.toml."""
    lower = word.lower()
    lists = gazetteer()
    member = (
        ("F", lists.first),
        ("L", lists.last),
        ("P", lists.places),
        ("Q", _parts_of_places()),
        ("C", lists.common),
        ("N", lists.never),
        ("I", lists.institutions),
    )
    return "-" + "".join(letter for letter, words in member if lower in words)


@cache
def _parts_of_places() -> frozenset[str]:
    return frozenset(part for place in gazetteer().places if " " in place for part in place.split(" ") if len(part) > 3)
