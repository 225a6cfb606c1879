"""The words that fake names, places and companies are taken from, by language and gender."""

import gzip
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from flywheel.curate.scrub.scripts import letters
from flywheel.curate.scrub.spellings import plain

MALE, FEMALE = "male", "female"


class Lists(NamedTuple):
    """`names[locale][kind]` as in build_surrogates.py; `words[table][name]` as in surrogate_words.toml.

    `genders` and `last` tell of a lower-case name the locales that list it (first names with the gender), `cities` of a city.
    """

    names: dict[str, dict[str, tuple[str, ...]]]
    words: dict[str, dict[str, tuple[str, ...]]]
    genders: dict[str, frozenset[tuple[str, str]]]
    last: dict[str, frozenset[str]]
    cities: dict[str, str]


@cache
def lists() -> Lists:
    """The lists of this package, read once."""
    folder = files("flywheel.curate.scrub") / "data"
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    genders: dict[str, set[tuple[str, str]]] = {}
    last: dict[str, set[str]] = {}
    cities: dict[str, str] = {}
    for line in gzip.decompress((folder / "surrogate_names.txt.gz").read_bytes()).decode("utf-8").splitlines():
        locale, kind, text = line.split("\t")
        listed = tuple(text.split(" "))
        names.setdefault(locale, {})[kind] = listed
        for name in listed:
            for written in plain(name.lower()):
                if kind in (MALE, FEMALE):
                    genders.setdefault(written, set()).add((locale, kind))
                elif kind == "city":
                    cities.setdefault(written, locale)
                else:
                    last.setdefault(written, set()).add(locale)
    tables = tomllib.loads((folder / "surrogate_words.toml").read_text("utf-8"))
    words = {table: {name: tuple(text.split()) for name, text in entries.items()} for table, entries in tables.items()}
    return Lists(
        names,
        words,
        {name: frozenset(found) for name, found in genders.items()},
        {name: frozenset(found) for name, found in last.items()},
        cities,
    )


class Who(NamedTuple):
    """What the words of a name tell: the locale (None when its script has no names here) and the gender, if either is known."""

    locale: str | None
    gender: str | None


def who(words: tuple[str, ...]) -> Who:
    """The locale that lists most of the words (of several the first English one, else that with the fewest names); the gender.

    The gender is that of the first word which every listing locale, else this one, gives one gender only.
    """
    known = lists()
    votes = dict.fromkeys(known.names, 0)
    for word in words:
        for locale in {locale for locale, _ in known.genders.get(word, ())} | known.last.get(word, frozenset()):
            votes[locale] += 1
    best = max(votes, key=lambda locale: (votes[locale], 0 if locale.startswith("en_") else -_size(locale)))
    if not votes[best]:
        best = _locale_of_script(words) or ""
    return Who(best or None, _gender(words, best))


@cache
def _size(locale: str) -> int:
    return sum(map(len, lists().names[locale].values()))


def _gender(words: tuple[str, ...], locale: str) -> str | None:
    for word in words:
        found = lists().genders.get(word, frozenset())
        for genders in ({gender for _, gender in found}, {gender for where, gender in found if where == locale}):
            if len(genders) == 1:
                return genders.pop()
    return None


@cache
def _scripts() -> dict[str, str]:
    """The first locale of each script."""
    first: dict[str, str] = {}
    for locale, kinds in lists().names.items():
        for script in letters(" ".join(next(iter(kinds.values()))[:20])):
            first.setdefault(script, locale)
    return first


def _locale_of_script(words: tuple[str, ...]) -> str | None:
    counted = letters(" ".join(words))
    return _scripts().get(max(counted, key=lambda script: counted[script])) if counted else None
