"""Fake names: each word of a real name has one fake word in a conversation, of its kind, gender and language."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

from flywheel.curate.scrub.dice import Dice
from flywheel.curate.scrub.spellings import HUMP, SHARED_MAILBOXES, WORD, plain, stem
from flywheel.curate.scrub.surrogate_lists import FEMALE, MALE, Who, lists, who

_CJK, _ONE_NAME = 0x2E80, 2
_PIECE = re.compile(r"%[0-9A-Fa-f]{2}|[^\W_]+")


class Names:
    """The fake words for the words of one conversation's names. `real` are words that no fake one may be."""

    def __init__(self, dice: Dice, real: frozenset[str]) -> None:
        self._dice = dice
        self._taken = set(real)
        self._fake: dict[str, str] = {}
        self._handles: dict[str, tuple[str, str]] = {}
        self._people: list[tuple[str, ...]] = []

    def add(self, value: str) -> bool:
        """Choose fake words for a canonical name; False if there are no names in its script, so that it needs a placeholder."""
        words = tuple(word for word in value.split(" ") if len(word) > 1 and word not in lists().words["kept"]["particles"])
        whose = who(words)
        if whose.locale is None or any(not word.isalpha() for word in words):
            return False
        inverted = len(words) > 1 and words[0] not in lists().genders and words[-1] in lists().genders
        ordered = (words[-1], *words[:-1]) if inverted else words
        for at, word in enumerate(ordered):
            is_last = at == len(ordered) - 1 and (at > 0 or (word not in lists().genders and word in lists().last))
            self._choose(word, whose, is_last=is_last or (at > 0 and word not in lists().genders))
        if len(ordered) > 1:
            self._people.append((ordered[0], ordered[-1]))
            self._handles.update(self._joined(ordered, tuple(value.split(" "))))
        return True

    def render(self, text: str, *, plainly: bool = False) -> str:
        """The text with a fake word for each of its words and digits; separators, case and endings stay.

        `plainly` writes them without diacritics, as addresses and logins do.
        """
        pieces: list[str] = []
        position = 0
        for match in _PIECE.finditer(text):
            word = match[0]
            made = word if word.startswith("%") else self._word(word, text, match.start(), plainly)
            pieces += [text[position : match.start()], made]
            position = match.end()
        return "".join([*pieces, text[position:]])

    def _word(self, word: str, text: str, at: int, plainly: bool) -> str:
        lower = word.lower()
        if len(word) == 1 and word.isalpha():
            return word if text[at + 1 : at + 2] in ("'", "’") else _styled(self._initial(lower, text), word)  # O'Connor, J. Doe
        if lower in lists().words["kept"]["particles"] or (plainly and lower in SHARED_MAILBOXES):
            return word
        humps = HUMP.findall(word)
        if lower not in self._fake and len(humps) > 1 and "".join(humps) == word and word.isalpha():
            return "".join(self._word(hump, text, at, plainly) for hump in humps)
        for base in (lower, *stem(lower)):
            found = self._known(base, word[: len(base)], plainly)
            if found is not None:
                return found + self._tail(word[len(base) :])
        return self._unknown(word, plainly)

    def _unknown(self, word: str, plainly: bool) -> str:
        """A word of no name in the conversation, such as a login: a name, its digits others."""
        base = word.lower().rstrip("0123456789")
        whose = who((base,))
        if not base.isalpha() or whose.locale is None:
            return self._dice.scrambled(word)
        self._choose(base, whose, is_last=base not in lists().genders and not plainly)
        return (self._known(base, word[: len(base)], plainly) or "") + self._tail(word[len(base) :])

    def _tail(self, ending: str) -> str:
        return self._dice.scrambled(ending) if ending.isdecimal() else ending

    def _known(self, lower: str, word: str, plainly: bool) -> str | None:
        """The fake word for a lower-case one that has one, in the style of `word`."""
        if lower in self._fake:
            return _styled(folded(self._fake[lower]) if plainly or lower != plain(lower)[0] else self._fake[lower], word)
        if lower in self._handles:
            return _styled("".join(self._handles[lower]), word)
        return None

    def _initial(self, letter: str, text: str) -> str:
        """The initial of the fake word of whoever in the text has this initial; `D.` of `Jane D.` is that of her last name."""
        words = {match[0].lower() for match in WORD.finditer(text)}
        for first, last in self._people:
            for one, other in ((first, last), (last, first)):
                if one[0] == letter and (other in words or not words - {first[0], last[0]}):
                    return self._fake[one][0]
        made = next((self._fake[word][0] for word in self._fake if word.startswith(letter)), None)
        return made or self._dice.pick("ABCDEFGHIJKLMNOPRSTVW", "initial", letter)

    def _choose(self, word: str, whose: Who, *, is_last: bool) -> None:
        if any(written in self._fake for written in plain(word)[:1]):
            return
        pool = _pool(whose, is_last=is_last)
        for attempt in range(len(pool) + 50):
            made = self._dice.pick(pool, "name", is_last, word, attempt)
            if ord(word[0]) > _CJK and len(word) > _ONE_NAME:
                made = self._dice.pick(_pool(whose, is_last=True), "family", word, attempt) + made
            if attempt >= len(pool):
                made += self._dice.pick(("sen", "ley", "ton", "man", "ova"), "ending", word, attempt)
            if self._taken.isdisjoint(plain(made.lower())):
                break
        self._taken.update(plain(made.lower()))
        for written in plain(word):
            self._fake.setdefault(written, made if written == word else folded(made))

    def _joined(self, words: tuple[str, ...], written: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, str]]]:
        first, last = words[0], words[-1]
        one, other = (folded(self._fake[word]).lower() for word in (first, last))
        for given in plain(first):
            for family in plain(last):
                yield given + family, (one, other)
                yield family + given, (other, one)
                yield given[0] + family, (one[0], other)
                yield given + family[0], (one, other[0])
                yield family + given[0], (other, one[0])
        for left, right in pairwise(written):
            yield left + right, (folded(self._fake.get(left, left)).lower(), folded(self._fake.get(right, right)).lower())


def folded(word: str) -> str:
    """The word without diacritics; letters of other scripts stay."""
    lower = plain(word.lower())
    made = lower[1] if len(lower) > 1 else lower[0]
    return made.title() if word[:1].isupper() else made


def _styled(made: str, like: str) -> str:
    """The fake word in capitals, lower case or with a capital, as the real one."""
    if like.isupper() and (len(like) > 1 or len(made) == 1):
        return made.upper()
    return made.lower() if like.islower() else made[:1].upper() + made[1:] if like[:1].isupper() else made


def _pool(whose: Who, *, is_last: bool) -> tuple[str, ...]:
    kinds = lists().names[whose.locale or "en_US"]
    wanted = (whose.gender,) if whose.gender else (FEMALE, MALE)
    if is_last:
        pool = kinds.get("last") or tuple(name for gender in wanted for name in kinds.get(f"last_{gender}", ()))
    else:
        pool = tuple(name for gender in wanted for name in kinds.get(gender, ()))
    usable = tuple(name for name in pool if len(name) > 2 or not unicodedata.normalize("NFD", name).isascii())
    return usable or lists().names["en_US"]["last"]
