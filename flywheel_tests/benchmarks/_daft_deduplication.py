"""Near-duplicates by Daft alone, in the steps of its own guide: https://docs.daft.ai/en/stable/examples/minhash-dedupe/.

Normalised texts become signatures, signatures bands, bands groups, groups edges to the lowest row, and edges components by
alternating large and small stars (Kiveris et al., "Connected Components in MapReduce and Beyond", 2014). Where the guide
leaves a choice, the cheaper is taken: rows are numbered in the file, so identifiers need no mapping and no join; bands are
numbered by `explode` and not by a Python function; groups of one row go before they are exploded; edges are computed once and
kept; and no texts are written at the end. The small star here moves the node itself too, as in the paper, so that the guide's
last pass, which spreads the lowest label, has nothing left to do.
"""

from pathlib import Path
from typing import Any

import daft  # type: ignore[import-not-found, unused-ignore]
from daft import col, functions


def signatures(file: Path, *, length: int) -> Any:
    """Columns `row` and `signature`, of `length` minima over word 3-grams; computed when asked for."""
    text = functions.normalize(col("text"), remove_punct=True, lowercase=True, white_space=True)
    minima = functions.minhash(text, num_hashes=length, ngram_size=3, hash_function="xxhash")
    return daft.read_parquet(str(file)).select(col("row"), minima.alias("signature"))


def edges(signed: Any, *, rows_per_band: int) -> Any:
    """Each row that shares a band with a lower one (`u`), and the lowest of that band (`v`)."""
    bands = signed.select(col("row"), functions.chunk(col("signature"), rows_per_band).alias("band"))
    groups = bands.explode("band", index_column="place").groupby("place", "band").agg(col("row").list_agg().alias("rows"))
    shared = groups.where(col("rows").list_count() > 1).with_column("v", col("rows").list_min()).explode("rows")
    return shared.select(col("rows").alias("u"), col("v")).where(col("u") != col("v")).distinct().collect()


def components(linked: Any) -> Any:
    """Each row (`u`) of a component but its lowest, and that lowest row (`v`)."""
    while True:
        closer = _small_star(_large_star(linked))
        if closer.count_rows() == linked.count_rows() and not closer.join(linked, on=["u", "v"], how="anti").count_rows():
            return closer
        linked = closer


def _large_star(linked: Any) -> Any:
    """Every higher neighbour of a row moves to the lowest of the row and its neighbours."""
    both = linked.union_all(linked.select(col("v").alias("u"), col("u").alias("v")))
    stars = both.groupby("u").agg(col("v").list_agg().alias("near"))
    lowest = functions.when(col("u") < col("near").list_min(), col("u")).otherwise(col("near").list_min())
    higher = stars.with_column("lowest", lowest).explode("near").where(col("near") > col("u"))
    return higher.select(col("near").alias("u"), col("lowest").alias("v")).distinct().collect()


def _small_star(linked: Any) -> Any:
    """A row and its lower neighbours move to the lowest of them."""
    stars = linked.groupby("u").agg(col("v").list_agg().alias("near")).with_column("lowest", col("near").list_min())
    lower = stars.explode("near").select(col("near").alias("u"), col("lowest").alias("v"))
    moved = lower.union_all(stars.select(col("u"), col("lowest").alias("v")))
    return moved.where(col("u") != col("v")).distinct().collect()
