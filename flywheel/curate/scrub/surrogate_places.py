"""Fake addresses, places and companies: what says what a word is (Street, Apt, GmbH) stays, the rest is replaced word by word."""

import re

from flywheel.curate.scrub.dice import Dice
from flywheel.curate.scrub.spellings import WORD
from flywheel.curate.scrub.surrogate_lists import lists

_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\Z", re.IGNORECASE)


class Places:
    """The fake words of one conversation's addresses, places and companies. `real` are words that no fake one may be."""

    def __init__(self, dice: Dice, real: frozenset[str]) -> None:
        self._dice = dice
        self._taken = set(real)
        self._fake: dict[tuple[str, str], str] = {}

    def address(self, text: str) -> str:
        """An address with other numbers and names in the same form: `20 Oak St, Springfield, IL 62704` stays one of the US."""
        words = [match[0].lower() for match in WORD.finditer(text)]
        language = next((name for name, told in lists().words["languages"].items() if _tells(told, words)), "en")
        streets, cities = lists().words["streets"][language], lists().words["cities"][language]
        street = True

        def replaced(match: re.Match[str]) -> str:
            nonlocal street
            street = street and "," not in text[: match.start()] and "\n" not in text[: match.start()]
            return self._word(match[0], streets if street else cities)

        return WORD.sub(replaced, text)

    def place(self, text: str) -> str:
        """Another country for a country, another state for a code of one, else a town of the same language if it is known."""
        words = lists().words
        if text in words["other"]["states"]:
            return self._named("state", text, words["other"]["states"])
        if text in words["other"]["countries"]:
            return self._named("country", text.lower(), words["other"]["countries"])
        language = (lists().cities.get(text.lower(), "en"))[:2]
        return _styled(self._named("place", text.lower(), words["cities"].get(language, words["cities"]["en"])), text)

    def company(self, text: str) -> str:
        """An invented name with the legal form of the real one."""
        kept = lists().words["kept"]["company"]

        def replaced(match: re.Match[str]) -> str:
            if match[0].lower() in kept:
                return match[0]
            made = self._named("company", match[0].lower(), lists().words["other"]["companies"])
            return _styled(made, match[0]) if match[0].isalpha() else self._dice.scrambled(match[0])

        return WORD.sub(replaced, text)

    def _word(self, word: str, pool: tuple[str, ...]) -> str:
        kept = lists().words["kept"]
        lower = word.lower()
        if word in lists().words["other"]["states"] and word not in ("E", "W"):
            return self._named("state", word, lists().words["other"]["states"])
        if lower in kept["address"] or (lower.isalpha() and len(lower) == 1):
            return word
        if found := _ORDINAL.match(word):
            number = self._dice.scrambled(found[1], "house")
            return number + _ending(int(number))
        if not word.isalpha():
            return self._dice.scrambled(word, "house")
        ending = next((end for end in kept["endings"] if lower.endswith(end) and len(lower) > len(end) + 2), "")
        made = self._named("street", lower.removesuffix(ending), pool)
        return _styled(made.lower() + ending if ending else made, word)

    def _named(self, kind: str, real: str, pool: tuple[str, ...]) -> str:
        made = self._fake.get((kind, real))
        attempt = 0
        while made is None:
            chosen = self._dice.pick(pool, kind, real, attempt)
            if chosen.lower() not in self._taken or attempt > 4 * len(pool):
                made = self._fake[kind, real] = chosen
                self._taken.add(chosen.lower())
            attempt += 1
        return made


def _tells(told: tuple[str, ...], words: list[str]) -> bool:
    return any(word in told or (len(word) > 7 and word.endswith(told)) for word in words)


def _ending(number: int) -> str:
    return "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _styled(made: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return made.upper()
    return made.lower() if like.islower() else made[:1].upper() + made[1:]
