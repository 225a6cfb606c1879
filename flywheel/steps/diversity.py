"""How varied each synthesizer's verified rows are, beside the curated ones."""

import polars as pl

from flywheel.project import Project
from flywheel.records import derive
from flywheel.schema import SCHEMA
from flywheel.synthesize.diversity import Diversity, diversity

_DRAWN = 1_000


def diversity_table(project: Project) -> pl.DataFrame:
    """One row for `curated` and one for each synthesizer with rows, by samples of at most a thousand rows each.

    Returns:
        `rows_of` and the fields of `flywheel.synthesize.diversity.Diversity`.
    """
    real = derive(_sample(project.tables.scan("curated")))
    groups = {"curated": real}
    for entry in project.settings.synthesize:
        own = project.tables.scan("verified").filter(pl.col("origin") == f"synthetic:{entry.name}")
        groups[f"synthetic/{entry.name}"] = derive(_sample(own))
    texts = real["text"].to_list()
    found = [
        (name, *diversity(rows["prompt"].to_list(), texts if rows is real else rows["text"].to_list(), texts))
        for name, rows in groups.items()
        if rows.height
    ]
    return pl.DataFrame(found, schema=["rows_of", *Diversity._fields], orient="row")


def _sample(rows: pl.LazyFrame) -> pl.DataFrame:
    """At most a thousand rows, chosen by a hash of their id, so that the same rows give the same sample."""
    ids = rows.select("id").collect()
    drawn = ids.with_columns(at=pl.col("id").hash(seed=11)).sort("at", "id").head(_DRAWN)["id"]
    return rows.select(SCHEMA.names).filter(pl.col("id").is_in(drawn.implode())).collect().sort("id")
