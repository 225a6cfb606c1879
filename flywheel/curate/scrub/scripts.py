"""Which scripts a text is written in, by the ranges of Unicode."""

import re
from collections.abc import Sequence

_RANGES: dict[str, str] = {
    "Latin": "A-Za-zªºÀ-ÖØ-öø-ɏɐ-ʯḀ-ỿ\ufb00-\ufb06Ａ-Ｚａ-ｚ",
    "Greek": "Ͱ-Ͽἀ-῿",
    "Cyrillic": "Ѐ-ԯᲀ-ᲈꙀ-ꚟ",
    "Armenian": "Ա-֏",
    "Hebrew": "א-ת",
    "Arabic": "\u0620-\u064a\u066e-\u06d3\u06d5\u06fa-\u06fc\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "Devanagari": "ऄ-हॐक़-ॡॲ-ॿ",
    "Bengali": "অ-হড়-ৡ",
    "Tamil": "அ-ஹ",
    "Thai": "ก-ะาำเ-ๆ",
    "Georgian": "Ⴀ-ჿᲐ-Ჿ",
    "Hangul": "ᄀ-ᇿㄱ-ㆎ가-힣",
    "Kana": "ぁ-ゖァ-ヺｦ-ﾟ",
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
}
"""Letters of each script by their Unicode ranges (https://www.unicode.org/Public/UCD/latest/ucd/Scripts.txt, main blocks)."""
_LETTERS = {script: re.compile(f"[{ranges}]+") for script, ranges in _RANGES.items()}
_OTHER_LETTER = re.compile(f"(?:(?![{''.join(_RANGES.values())}ªµºʰ-˿ℂ-ℿ])[^\\W\\d_])+")
OTHER = "Other"
_SCRIPTS_OF = {
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "kk", "ky", "mn"), ("Cyrillic",)),
    **{"sr": ("Cyrillic", "Latin"), "el": ("Greek",), "hy": ("Armenian",), "he": ("Hebrew",), "ka": ("Georgian",)},
    **dict.fromkeys(("ar", "fa", "ur", "ps", "ug"), ("Arabic",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("Devanagari",)),
    **{"bn": ("Bengali",), "as": ("Bengali",), "ta": ("Tamil",), "th": ("Thai",), "ko": ("Hangul",)},
    **{"ja": ("Kana", "Han"), "zh": ("Han",)},
    **dict.fromkeys(("am", "dz", "gu", "km", "kn", "lo", "ml", "or", "pa", "si", "te"), (OTHER,)),
}
"""Scripts of ISO 639-1 codes; Latin for all others."""
SHARE, FEW, MANY = 0.05, 20, 200
"""A script counts when it has most of the letters, or over `SHARE` of them and at least `FEW` (the Greek of a formula has not),
or at least `MANY`. Of scripts that write a word in one or two characters, `_DENSE` are enough."""
_DENSE = {"Han": 4, "Kana": 4, "Hangul": 4}


def letters(text: str) -> dict[str, int]:
    """How many letters of each script the text has, without those that have none; `Other` is every script not named here."""
    if text.isascii():
        counted = {"Latin": sum(map(len, _LETTERS["Latin"].findall(text)))}
    else:
        counted = {script: sum(map(len, pattern.findall(text))) for script, pattern in _LETTERS.items()}
        counted[OTHER] = sum(map(len, _OTHER_LETTER.findall(text)))
    return {script: count for script, count in counted.items() if count}


def foreign_scripts(counted: dict[str, int], languages: Sequence[str]) -> list[str]:
    """The scripts that count in a text and that none of the languages is written in."""
    known = {script for language in languages for script in _SCRIPTS_OF.get(language, ("Latin",))}
    total = sum(counted.values())
    return [
        script
        for script, count in counted.items()
        if script not in known
        and (count >= MANY or count > total / 2 or (count >= _DENSE.get(script, FEW) and count > SHARE * total))
    ]
