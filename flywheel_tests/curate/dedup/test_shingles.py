import random
import re
import unicodedata

import numpy as np
import polars as pl
import pytest

from flywheel.curate.dedup.shingles import shingle
from flywheel.curate.dedup.words import segments

WRAP = 2**64
MIX = 0x9E3779B97F4A7C15
BASE = 0xD6E8FEB86659FD93
AWKWARD = (
    "İSTANBUL İ ΣΑΣ ΟΔΟΣ. ὈΔΥΣΣΕΎΣ ß ẞ ﬁn ǅ ⅷ ² ½ a_b _ ０１２ ＡＢ "
    "नमस्ते ไทย 日本語テスト e\u0301 \u200d👩\u200d👩 x\u00adY\x00z\x85w\u2028v"
)


def word_hash(word: str) -> int:
    state, written = 0xCBF29CE484222325, word.encode()
    for at in range(0, len(written), 8):
        state = (state ^ int.from_bytes(written[at : at + 8], "little")) * MIX % WRAP
        state ^= state >> 32
    return state


def defined_set(text: str, ngram: int) -> list[int]:
    """The definition, in Python: hashed n-grams of `re.findall(r"\\w+", text.lower())`."""
    words = re.findall(r"\w+", text.lower())
    width = min(ngram, len(words))
    hashes = set()
    for first in range(len(words) - width + 1 if words else 0):
        rolling = 0
        for word in words[first : first + width]:
            rolling = (rolling * BASE + word_hash(word)) % WRAP
        mixed = (rolling + width) * MIX % WRAP
        hashes.add((mixed ^ mixed >> 32) * MIX % WRAP >> 32)
    return sorted(hashes)


def random_texts(count: int) -> list[str]:
    """Texts of letters, marks, digits, symbols and blanks of all planes."""
    generator = random.Random(0)
    texts = []
    for number in range(count):
        top = (0x80, 0x250, 0x3000, 0x110000)[number % 4]
        characters = [chr(generator.randrange(top)) for _ in range(generator.randrange(200))]
        texts.append("".join(c if unicodedata.category(c) != "Cs" else " " for c in characters).replace("q", " "))
    return texts


@pytest.mark.parametrize("ngram", [1, 3, 13])
def test_the_kernel_finds_the_words_that_python_finds_in_any_script(ngram: int) -> None:
    texts = [*random_texts(400), *AWKWARD.split(), AWKWARD, AWKWARD.upper(), "", " ", "one", "one two", "Σ", "ΑΣ Σ ΑΣΑ"]

    sets = shingle(pl.Series(texts), ngram=ngram)

    assert [sets.row(i).tolist() for i in range(len(texts))] == [defined_set(text, ngram) for text in texts]


def test_every_character_is_read_as_python_reads_it() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["a".join(characters[i : i + 997]) for i in range(0, len(characters), 997)]

    sets = shingle(pl.Series(texts), ngram=1)

    wrong = [i for i, text in enumerate(texts) if sets.row(i).tolist() != defined_set(text, 1)]
    assert wrong == []


def test_long_and_repetitive_texts_give_sorted_sets() -> None:
    texts = ["a b " * 100_000, " ".join(map(str, range(200_000))), "na " * 50, "x" * 1_000_000]

    sets = shingle(pl.Series(texts))

    assert np.diff(sets.offsets).tolist() == [2, pytest.approx(199_998, abs=20), 1, 1]
    assert all((np.diff(sets.row(i).astype(np.int64)) > 0).all() for i in range(4))


def test_few_words_are_one_element_and_none_is_the_empty_set() -> None:
    sets = shingle(pl.Series(["Thanks!", "thanks", "thanks a", "👍 ...", "", None]))

    assert np.diff(sets.offsets).tolist() == [1, 1, 1, 0, 0, 0]
    assert sets.row(0) == sets.row(1) != sets.row(2)


def test_a_set_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    texts = pl.Series([" ".join(map(str, range(i))) for i in range(300)])

    together = shingle(texts)

    for i in (0, 1, 5, 299):
        assert shingle(texts[i : i + 1]).values.tolist() == together.row(i).tolist()


def test_the_texts_stay_as_they_are() -> None:
    texts = pl.Series(["ΟΔΟΣ", "ﬁn", "İ"])

    shingle(texts)
    segments(texts, normal=True)

    assert texts.to_list() == ["ΟΔΟΣ", "ﬁn", "İ"]


def test_no_texts_give_no_sets() -> None:
    assert shingle(pl.Series([], dtype=pl.String)).offsets.tolist() == [0]
    with pytest.raises(ValueError, match="1 to 13"):
        shingle(pl.Series(["a"]), ngram=14)
