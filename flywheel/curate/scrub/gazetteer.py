"""The word lists behind the rules, loaded once: names, places and the common words that are neither."""

import gzip
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from flywheel.errors import ConfigError


class Gazetteer(NamedTuple):
    """Lower-case words: `first` and `last` names, `places` (may be several words), `common` words; the rest as in words.toml.

    `common` holds the `ordinary` words of words.toml too. `rare_first` and `rare_last` are no parts of `first` and `last`: many
    are trade marks as well (`Disney`), so they are names beside each other only.
    """

    first: frozenset[str]
    last: frozenset[str]
    places: frozenset[str]
    common: frozenset[str]
    never: frozenset[str]
    institutions: frozenset[str]
    familiar: frozenset[str]
    brands: frozenset[str]
    cities: frozenset[str]
    cues: frozenset[str]
    given: frozenset[str]
    peoples: frozenset[str]
    rare_first: frozenset[str]
    rare_last: frozenset[str]


@cache
def gazetteer() -> Gazetteer:
    """The lists of this package.

    Raises:
        ConfigError: a list is missing or too short to be one, which would mean that no name is found.
    """
    first, last, places, common = (_words(name) for name in ("first_names", "last_names", "places", "common_words"))
    text = (files("flywheel.curate.scrub") / "data" / "words.toml").read_text("utf-8")
    more = {name: frozenset(words.split()) for name, words in tomllib.loads(text).items()}
    rare = {"rare_first": _words("more_first_names"), "rare_last": _words("more_last_names")}
    return Gazetteer(first, last, places, common | more.pop("ordinary"), **more, **rare)


def _words(name: str) -> frozenset[str]:
    path = files("flywheel.curate.scrub") / "data" / f"{name}.txt.gz"
    try:
        words = frozenset(gzip.decompress(path.read_bytes()).decode("utf-8").split("\n"))
    except (OSError, EOFError, UnicodeDecodeError):
        words = frozenset()
    if len(words) < 1000:
        raise ConfigError(
            f'the word list {name} of `[scrub] ner = "rules"` is missing or damaged; names would stay in. '
            'Install flywheel again, or state `ner = "none"` to do without name detection.'
        )
    return words - {""}
