"""Filters that flag words, notices, licences and quotations: what they see, and what they say they do not."""

import inspect

import polars as pl
import pytest

from flywheel.curate.judge import judge
from flywheel.filters.copyright import CopyrightNotice, LicenseHeader, LongQuotation
from flywheel.filters.word_list import WordList, available
from flywheel.plugins import Filter
from flywheel.records import derive, to_batch
from flywheel.testing import awkward_records, chat
from flywheel_tests.shared import shared_data

GPL = "// SPDX-License-Identifier: GPL-3.0-only\nint main(void) { return 0; }"


def flagged(chosen: Filter, *texts: str) -> list[bool]:
    """Whether each text is flagged, as a reply."""
    keeps = judge(to_batch(chat("Please go on.", text, id=str(n)) for n, text in enumerate(texts)), chosen)["keep"]
    return [not keep for keep in keeps]


def test_listed_words_are_found_whole_in_any_case_and_a_word_that_holds_one_is_not() -> None:
    assert flagged(WordList(), "What a SHIT show.", "Pass the class assessment in Scunthorpe.", "alabama  hot\npocket") == [
        True,
        False,
        True,
    ]


def test_every_listed_word_of_every_language_is_found_and_can_be_masked() -> None:
    folder = shared_data("ldnoobw")
    listed = {path.stem: path.read_text("utf-8").split("\n") for path in folder.glob("*.txt")}
    assert available() == sorted(listed)

    for language, lines in listed.items():
        words = pl.Series([f"So: {word}." for line in lines if (word := line.strip())])
        chosen = WordList(languages=(language,))
        found = chosen.score(pl.DataFrame({"text": words}))
        assert words.filter(found == 0).to_list() == [], language
        assert chosen.score(pl.DataFrame({"text": chosen.mask(words)})).sum() == 0, language


def test_words_can_be_added_and_allowed_and_some_can_pass() -> None:
    assert flagged(WordList(words=("acme secret",)), "the ACME secret", "acme secrets") == [True, False]
    assert flagged(WordList(allow=("Shit",)), "shit") == [False]
    assert flagged(WordList(maximum=1), "shit", "shit, shit") == [False, True]


def test_masking_replaces_the_words_alone() -> None:
    assert WordList(placeholder="<$1>").mask(pl.Series(["No shit, Sherlock", "fine"])).to_list() == ["No <$1>, Sherlock", "fine"]


def test_an_unknown_language_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="no word list for 'xx'; there is ar, cs, da"):
        WordList(languages=("xx",))


@pytest.mark.parametrize(
    "notice",
    [
        "© 2019 Kestrel Ltd.",
        "Copyright (c) 2004, 2006 The Authors",
        "COPYRIGHT 1998 Somebody",
        "© Kestrel Verlag",
        "Text: all rights  reserved.",
        "Alle Rechte vorbehalten",
        "Reprinted with permission of the publisher",
        "No part of this book may be reproduced",
    ],
)
def test_a_copyright_notice_is_flagged(notice: str) -> None:
    assert flagged(CopyrightNotice(), f"The file begins so:\n{notice}\nand goes on.") == [True]


@pytest.mark.parametrize(
    "harmless",
    ["How does copyright work?", "option (c) is the best", "In 2019 (c) was chosen", "Press ctrl-© to go on", "rights"],
)
def test_talk_about_copyright_is_not_a_notice(harmless: str) -> None:
    assert flagged(CopyrightNotice(), harmless) == [False]


def test_code_under_a_licence_that_is_not_allowed_is_flagged() -> None:
    texts: tuple[str, ...] = (GPL, GPL.replace("GPL-3.0-only", "MIT"), GPL.replace("GPL-3.0-only", "MIT OR GPL-2.0-only"))
    texts += (GPL.replace("GPL-3.0-only", "MIT AND GPL-2.0-only"), GPL.replace("GPL-3.0-only", "Acme-1.0"))

    assert flagged(LicenseHeader(), *texts) == [True, False, False, True, True]
    assert flagged(LicenseHeader(allow=("gpl-3.0-only",)), GPL) == [False]
    assert flagged(
        LicenseHeader(), "# Licensed under the Apache License, Version 2.0", "under the terms of the GNU General Public License"
    ) == [False, True]
    assert flagged(LicenseHeader(allow=()), "# Licensed under the Apache License, Version 2.0") == [True]


def test_the_longest_quotation_counts_in_marks_or_as_a_block() -> None:
    long, short = "seven words are in this one here " * 15, "seven words are in this one here"
    texts = (f"He said “{long}”.", f'"{short}" and "{short}"', f"> {long}\n> {long}", f"> {short}\n", long)

    assert flagged(LongQuotation(), *texts) == [True, False, True, False, False]
    batch = derive(to_batch([chat("q", text) for text in texts[:3]]))
    assert LongQuotation().score(batch).to_list() == [105, 0, 210]


@pytest.mark.parametrize("chosen", [WordList(languages=("*",)), CopyrightNotice(), LicenseHeader(), LongQuotation()])
def test_each_says_what_it_is_not_and_bears_awkward_records(chosen: Filter) -> None:
    said = " ".join((inspect.getdoc(type(chosen)) or "").split())

    assert any(words in said for words in ("is no classifier", "nothing of whether", "is not found", "is not known"))
    assert judge(awkward_records(), chosen).height == awkward_records().height


def test_the_word_list_quotes_its_measured_errors_and_its_licence() -> None:
    said = inspect.getdoc(WordList) or ""

    assert "7.6 %" in said
    assert "18.5 %" in said
    assert "CC BY 4.0" in said
