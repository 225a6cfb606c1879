"""How far annotators agree beyond chance: Cohen's, Fleiss' and Randolph's kappa, Krippendorff's alpha.

Every coefficient is 1 for perfect agreement and 0 for what chance gives; it is NaN where it is undefined, as when all
ratings are one and the same label.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations

import polars as pl
import pyarrow as pa

from flywheel.schema import column

Rating = Hashable | None
AGREEMENT = pa.schema(
    [
        column("name", pa.string(), "the kind of feedback"),
        column("annotators", pa.int64(), "who gave it"),
        column("records", pa.int64(), "rated by two or more of them"),
        column("alpha", pa.float64(), "Krippendorff's alpha, nominal"),
        column("kappa", pa.float64(), "Cohen's kappa, where there are two annotators"),
    ]
)


def cohen_kappa(first: Sequence[Rating], second: Sequence[Rating], *, weights: str | None = None) -> float:
    """Agreement of two annotators over the same items, in the same order; items that one of them left out are ignored.

    Args:
        first: one rating an item, None where there is none.
        second: as many.
        weights: None counts a disagreement as one; `linear` and `quadratic` by the distance of the labels in sorted order.

    Raises:
        ValueError: the lengths differ, or `weights` is unknown.

    Source: Cohen, "A coefficient of agreement for nominal scales", 1960; weighted: Cohen 1968.
    """
    power = {None: 0, "linear": 1, "quadratic": 2}
    if weights not in power:
        raise ValueError(f"weights must be None, 'linear' or 'quadratic', not {weights!r}")
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    labels = sorted({label for pair in pairs for label in pair}, key=_order)
    place = {label: number for number, label in enumerate(labels)}
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)

    def distance(a: Rating, b: Rating) -> float:
        return float(a != b) if weights is None else float(abs(place[a] - place[b]) ** power[weights])

    observed = sum(distance(a, b) for a, b in pairs)
    expected = sum(left[a] * right[b] * distance(a, b) for a in labels for b in labels)
    return 1 - observed * len(pairs) / expected if expected else math.nan


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float:
    """Agreement of many annotators: one row an item, one column a label, each cell how many chose it.

    Raises:
        ValueError: items have different numbers of ratings, or fewer than two.

    Source: Fleiss, "Measuring nominal scale agreement among many raters", 1971.
    """
    raters = _raters(counts)
    shares = [sum(row[label] for row in counts) / (len(counts) * raters) for label in range(len(counts[0]))]
    return _beyond(_agreed(counts, raters), sum(share**2 for share in shares))


def randolph_kappa(counts: Sequence[Sequence[int]]) -> float:
    """As `fleiss_kappa`, with chance taken as one over the number of labels. Source: Randolph 2005 (free-marginal kappa)."""
    return _beyond(_agreed(counts, _raters(counts)), 1 / len(counts[0]))


def _raters(counts: Sequence[Sequence[int]]) -> int:
    raters = {sum(row) for row in counts}
    if len(raters) != 1 or min(raters) < 2:
        raise ValueError(f"each item needs the same number of ratings, at least 2; found {sorted(raters)}")
    return raters.pop()


def _agreed(counts: Sequence[Sequence[int]], raters: int) -> float:
    return sum(cell * (cell - 1) for row in counts for cell in row) / (len(counts) * raters * (raters - 1))


def _beyond(observed: float, chance: float) -> float:
    return math.nan if chance == 1 else (observed - chance) / (1 - chance)


def krippendorff_alpha(ratings: Sequence[Sequence[Rating]]) -> float:
    """Agreement of any number of annotators on nominal labels with gaps; items with fewer than two ratings are ignored.

    Args:
        ratings: one row an annotator, one column an item, None where there is no rating.

    Source: Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.
    """
    units = [Counter(label for label in unit if label is not None) for unit in zip(*ratings, strict=True)]
    units = [unit for unit in units if unit.total() > 1]
    totals: Counter[Rating] = Counter()
    for unit in units:
        totals.update(unit)
    rated = totals.total()
    observed = sum((unit.total() ** 2 - sum(count**2 for count in unit.values())) / (unit.total() - 1) for unit in units)
    expected = rated**2 - sum(count**2 for count in totals.values())
    return 1 - (rated - 1) * observed / expected if expected else math.nan


def agreement(records: pl.DataFrame) -> pl.DataFrame:
    """How far the annotators of each kind of feedback agree.

    Feedback on an earlier turn (`NAME@ID`, see `flywheel.sources.threads`) is about that turn. Feedback without `by` says
    nothing about who gave it and is left out; of two ratings by one annotator on one record the later in the list counts. A
    name with fewer than two annotators on any record has no row.

    Returns:
        One row a feedback name: `name`, `annotators`, `records` (with two ratings or more), `alpha` (Krippendorff, nominal),
        `kappa` (mean of Cohen's kappa over pairs of annotators, weighted by shared records), null where undefined.
    """
    rated = (
        records.lazy()
        .select("id", "feedback")
        .explode("feedback", empty_as_null=False, keep_nulls=False)
        .unnest("feedback")
        .filter(pl.col("by").is_not_null() & pl.col("value").is_not_null())
        .with_columns(
            name=pl.col("name").str.replace("@.*", ""), id=pl.coalesce(pl.col("name").str.extract("@(.*)", 1), pl.col("id"))
        )
        .unique(["id", "name", "by"], keep="last", maintain_order=True)
        .filter(pl.len().over("id", "name") > 1)
        .select("name", "id", "by", "value")
        .sort("name", "id", "by")
        .collect()
    )
    rows = [_agreement(name, rated.filter(pl.col("name") == name)) for name in rated["name"].unique().sort()]
    return pl.DataFrame(rows, schema=pl.Schema(AGREEMENT))


def _agreement(name: str, rated: pl.DataFrame) -> dict[str, object]:
    ids = {record: place for place, record in enumerate(rated["id"].unique(maintain_order=True))}
    table: dict[str, list[Rating]] = {by: [None] * len(ids) for by in rated["by"].unique().sort()}
    for record, by, value in rated.select("id", "by", "value").iter_rows():
        table[by][ids[record]] = value
    weighed = []
    for first, second in combinations(table.values(), 2):
        shared = sum(a is not None and b is not None for a, b in zip(first, second, strict=True))
        kappa = cohen_kappa(first, second)
        if shared and not math.isnan(kappa):
            weighed.append((shared, kappa))
    alpha = krippendorff_alpha(list(table.values()))
    mean = sum(n * kappa for n, kappa in weighed) / sum(n for n, _ in weighed) if weighed else None
    return {
        "name": name,
        "annotators": len(table),
        "records": len(ids),
        "alpha": None if math.isnan(alpha) else alpha,
        "kappa": mean,
    }


def _order(label: Rating) -> tuple[str, float, str]:
    """Numbers in their order, everything else by its text."""
    if isinstance(label, (int, float)):
        return ("", float(label), "")
    return (type(label).__name__, 0.0, str(label))
