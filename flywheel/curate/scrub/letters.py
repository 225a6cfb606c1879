"""Pieces of regular expressions for words that begin with a capital, in every script that has capitals up to U+1FFF."""

UPPER = "".join(chr(code) for code in [*range(0x41, 0x530), *range(0x10A0, 0x2000)] if chr(code).isupper())
"""All capital letters, to stand inside a character class."""

CAPITALISED = rf"[{UPPER}][^\W\d_]{{0,30}}(?:['’\-][^\W\d_]{{1,30}}){{0,3}}"
"""A word that begins with a capital; apostrophes and hyphens join, at most three (bounded, because patterns repeat it)."""
