"""What preference pairs teach besides quality: longer answers, or the place in which an answer stood."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from flywheel.curate.labels import ORIGINS, Pair, length

FACTS = {
    "origin": pl.String,
    "rule": pl.String,
    "chosen_characters": pl.Int64,
    "rejected_characters": pl.Int64,
    "chosen_first": pl.Boolean,
}
"""Columns of `pair_facts`, which `pair_bias` reads."""
_Z = 1.959963984540054  # of the two-sided 95 % interval


class Interval(NamedTuple):
    """A share and its bounds; all None of no cases."""

    share: float | None
    low: float | None
    high: float | None


def wilson(hits: int, cases: int) -> Interval:
    """A share with its 95 % confidence interval, which is sound for few cases too.

    Raises:
        ValueError: not 0 <= hits <= cases.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if not 0 <= hits <= cases:
        raise ValueError(f"{hits} of {cases} is no share")
    if cases == 0:
        return Interval(None, None, None)
    share, spread = hits / cases, _Z * _Z / cases
    middle = share + spread / 2
    wide = _Z * math.sqrt(share * (1 - share) / cases + spread / cases / 4)
    return Interval(share, max((middle - wide) / (1 + spread), 0.0), min((middle + wide) / (1 + spread), 1.0))


def pair_facts(pair: Pair) -> dict[str, object]:
    """What `pair_bias` needs of a pair: no text."""
    return {
        "origin": pair.origin,
        "rule": pair.rule,
        "chosen_characters": length(pair.chosen),
        "rejected_characters": length(pair.rejected),
        "chosen_first": pair.chosen_first,
    }


def pair_bias(pairs: Iterable[Pair] | pl.DataFrame) -> pl.DataFrame:
    """Length and position bias of preference pairs, over all and by origin.

    Args:
        pairs: pairs, or rows with the columns of `FACTS`.

    Returns:
        A row for `all` and for each origin that occurs, most reliable first: `origin`, `pairs`, `share` (of all pairs);
        `longer`: the share of pairs whose chosen answer is longer, in characters, among the `unequal` ones that differ in
        length, with its 95 % Wilson interval `longer_low`, `longer_high`; `length_ratio`: the geometric mean of chosen over
        rejected length, of pairs in which both say something; `first`: the share of pairs whose chosen answer came first,
        among the `position_known` ones, with `first_low`, `first_high`. An interval that leaves out 0.5 is a bias. Shares
        of nothing are null.
    """
    facts = pairs.select(*FACTS) if isinstance(pairs, pl.DataFrame) else pl.DataFrame([*map(pair_facts, pairs)], schema=FACTS)
    rows = [_row("all", facts, facts.height)]
    for origin in ORIGINS:
        if (own := facts.filter(pl.col("origin") == origin)).height:
            rows.append(_row(origin, own, facts.height))
    return pl.DataFrame(rows, schema=_SCHEMA)


_COUNTS = ("pairs", "unequal", "position_known")
_LENGTH = ("unequal", "longer", "longer_low", "longer_high", "length_ratio")
_POSITION = ("position_known", "first", "first_low", "first_high")
_ORDER = ("origin", "pairs", "share", *_LENGTH, *_POSITION)
_SCHEMA = {name: pl.String if name == "origin" else pl.Int64 if name in _COUNTS else pl.Float64 for name in _ORDER}


def _row(origin: str, facts: pl.DataFrame, total: int) -> Mapping[str, object]:
    chosen, rejected = facts["chosen_characters"], facts["rejected_characters"]
    unequal = int((chosen != rejected).sum())
    longer = wilson(int((chosen > rejected).sum()), unequal)
    both = facts.filter((chosen > 0) & (rejected > 0))
    ratio = (both["chosen_characters"] / both["rejected_characters"]).log().mean()
    known = facts["chosen_first"].drop_nulls()
    first = wilson(int(known.sum()), len(known))
    return {
        "origin": origin,
        "pairs": facts.height,
        "share": facts.height / total if total else None,
        "unequal": unequal,
        "longer": longer.share,
        "longer_low": longer.low,
        "longer_high": longer.high,
        "length_ratio": None if ratio is None else math.exp(float(ratio)),  # type: ignore[arg-type]
        "position_known": len(known),
        "first": first.share,
        "first_low": first.low,
        "first_high": first.high,
    }
