"""The same conversation about people of the other gender."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import msgspec

from flywheel.plugins import Model
from flywheel.records import Message, Part, Record
from flywheel.synthesize.protect import outside_protected

PRONOUNS = {"he": "she", "himself": "herself", "he's": "she's", "he'd": "she'd", "he'll": "she'll"}
NOUNS = {
    **{"man": "woman", "men": "women", "boy": "girl", "boys": "girls", "gentleman": "lady", "gentlemen": "ladies"},
    **{"guy": "gal", "guys": "gals", "male": "female", "males": "females", "father": "mother", "fathers": "mothers"},
    **{"dad": "mom", "dads": "moms", "daddy": "mommy", "son": "daughter", "sons": "daughters", "brother": "sister"},
    **{"brothers": "sisters", "husband": "wife", "husbands": "wives", "uncle": "aunt", "uncles": "aunts"},
    **{"nephew": "niece", "nephews": "nieces", "grandfather": "grandmother", "grandpa": "grandma", "grandson": "granddaughter"},
    **{"boyfriend": "girlfriend", "boyfriends": "girlfriends", "king": "queen", "kings": "queens", "prince": "princess"},
    **{"actor": "actress", "actors": "actresses", "waiter": "waitress", "waiters": "waitresses", "widower": "widow"},
    **{"businessman": "businesswoman", "salesman": "saleswoman", "policeman": "policewoman", "chairman": "chairwoman"},
    **{"groom": "bride", "stepfather": "stepmother", "stepson": "stepdaughter", "landlord": "landlady", "sir": "madam"},
    **{"mr": "ms", "mankind": "womankind"},
}
NAMES = {
    **{"James": "Mary", "John": "Patricia", "Robert": "Jennifer", "Michael": "Linda", "William": "Elizabeth"},
    **{"David": "Barbara", "Richard": "Susan", "Joseph": "Jessica", "Thomas": "Sarah", "Charles": "Karen"},
    **{"Daniel": "Nancy", "Matthew": "Lisa", "Anthony": "Margaret", "Paul": "Sandra", "Andrew": "Emily"},
    **{"Kevin": "Michelle", "Brian": "Carol", "George": "Amanda", "Peter": "Rebecca", "Adam": "Laura"},
}
_ALSO_FEMALE = {"mrs": "mr", "miss": "mr", "ma'am": "sir", "mum": "dad", "mama": "papa"}

_FUNCTION_WORDS = """a an the this that these those some any no every each all both another my your our their its his her and or
    but nor if because when while although though so than as since until unless after before who which what where why how whether
    in on at by for with without of from to into onto about over under through during against between near off out up down away
    back again is are was were be been being am has have had do does did will would can could shall should may might must not
    never always often usually soon now then there here today tomorrow yesterday tonight later once twice very too also just only
    really quickly slowly well please thanks anyway instead i you he she it we they me us them"""
_CAUSATIVES = "help helps helped let lets make makes made see saw hear heard watch watched had"
_PLAIN_VERBS = "go come leave stay know see feel be do get take give find say tell think try understand decide"
_RESULTATIVES = "keep keeps kept keeping make makes made making get gets got getting leave leaves left find finds found"
_STATES = """safe happy sad angry sick ill well calm busy warm cold comfortable uncomfortable upset nervous awake asleep alive
famous rich poor tired proud jealous mad crazy healthy alone quiet ready wet dry clean unhappy afraid anxious less more"""
_FUNCTION, _CAUSED, _DONE, _MAKING, _MADE = (
    frozenset(words.split()) for words in (_FUNCTION_WORDS, _CAUSATIVES, _PLAIN_VERBS, _RESULTATIVES, _STATES)
)
_TOKEN = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?|\d+|[^\sA-Za-z\d]")


@dataclass(frozen=True)
class GenderSwap:
    """Exchange women and men in every message: pronouns, nouns, titles and given names; one child where anything changes.

    `her` becomes `his` before what belongs to her, else `him`; `his` becomes `her` before what belongs to him, else `hers`.
    That is decided by the words around it, without grammar, so it is not always right (how often, on WinoBias: see the tests).
    `pairs` adds words of your own, male first; `names = false` leaves given names. Code, links and numbers stay. English only.

    Source: Zhao et al. 2018, "Gender bias in coreference resolution: evaluation and debiasing methods", section 4.
    """

    names: bool = True
    pairs: dict[str, str] = field(default_factory=dict)

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        words = exchanges(self.pairs, names=self.names)
        messages = [_swapped(message, words) for message in seed.messages]
        if messages != list(seed.messages):
            yield seed.child(messages=messages)


def exchanges(pairs: Mapping[str, str], *, names: bool) -> dict[str, str]:
    """Lower-case words and what they become, both ways; given names as they are written, so that no common word is one."""
    both: dict[str, str] = {}
    for male, female in {**PRONOUNS, **NOUNS, **(NAMES if names else {}), **pairs}.items():
        both[male], both[female] = female, male
    return _ALSO_FEMALE | both


def swap(text: str, words: Mapping[str, str]) -> str:
    """The text with the gender of everybody in it exchanged; `words` as of `exchanges`."""
    tokens = list(_TOKEN.finditer(text))
    changed: list[str] = []
    at = 0
    for number, token in enumerate(tokens):
        word = token.group().replace("’", "'")
        following = tokens[number + 1].group().lower() if number + 1 < len(tokens) else ""
        before = tokens[number - 1].group().lower() if number else ""
        other = _other(word, before, following, words)
        if other is not None:
            changed += (text[at : token.start()], _cased(other, word))
            at = token.end()
    return "".join((*changed, text[at:]))


def _other(word: str, before: str, following: str, words: Mapping[str, str]) -> str | None:
    low = word.lower()
    if low == "her":
        return "his" if _owned(before, following) else "him"
    if low == "his":
        return "her" if _owned(before, following) else "hers"
    if low in ("him", "hers"):
        return {"him": "her", "hers": "his"}[low]
    if low.endswith("'s") and (found := words.get(word[:-2], words.get(low[:-2]))) and low not in words:
        return found + "'s"
    return words.get(word, words.get(low))


def _owned(before: str, following: str) -> bool:
    """Whether a possessive is meant: a word follows that can name or describe what belongs to somebody."""
    if not following[:1].isalpha() or following in _FUNCTION:
        return False
    does = before in _CAUSED and following in _DONE
    becomes = before in _MAKING and following in _MADE
    return not does and not becomes


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word


def _swapped(message: Message, words: Mapping[str, str]) -> Message:
    parts = tuple(_part(part, words) for part in message.content)
    return message if parts == message.content else msgspec.structs.replace(message, content=parts)


def _part(part: Part, words: Mapping[str, str]) -> Part:
    if not part.text:
        return part
    return msgspec.structs.replace(part, text=outside_protected(part.text, lambda text: swap(text, words)))
