"""Cleaning against ftfy on every row: MB of text per CPU second on the same real chats in the same run.

Run with `python -m flywheel_tests.benchmarks.cleaning`. Both do what their users call: `clean` repairs nested records and
folds whitespace and markup besides; ftfy's `fix_text` gets plain strings.
"""

import time
from collections.abc import Callable

import polars as pl

from flywheel.curate.clean import clean
from flywheel.records import derive, to_batch
from flywheel.sections import Clean
from flywheel_tests.filters.chats import arena_chats, oasst_chats

COPIES = 6


def megabytes_per_second(work: Callable[[], object], size: float) -> float:
    """Of CPU time, all threads of this process counted."""
    start = time.process_time()
    work()
    return size / 1e6 / (time.process_time() - start)


def main() -> None:
    """Print the rates and their ratio."""
    from ftfy import fix_text

    batch = to_batch(arena_chats() + oasst_chats())
    texts = derive(batch)["text"]
    size = int(texts.str.len_bytes().sum())
    whole = pl.concat([batch] * COPIES, rechunk=True)
    clean(batch.head(500), settings=Clean())
    fix_text("warm “up” Ã©")

    ours = megabytes_per_second(lambda: clean(whole, settings=Clean()), size * COPIES)
    tidy = clean(whole, settings=Clean()).kept
    again = megabytes_per_second(lambda: clean(tidy, settings=Clean()), size * COPIES)
    theirs = megabytes_per_second(lambda: [fix_text(text) for text in texts], size)
    print(f"cleaning: {ours:.1f} MB/CPU s, {again:.1f} on clean text; ftfy on every row {theirs:.1f}; ratio {ours / theirs:.1f}")


if __name__ == "__main__":
    main()
