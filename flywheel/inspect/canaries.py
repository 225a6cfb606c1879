"""The canary gate: planted conversations with known personal data go through the same scrubber as the logs."""

from functools import lru_cache

import polars as pl

from flywheel.settings import Scrub

COUNT = 200
SEED = 20260101


@lru_cache(maxsize=4)
def canary_report(settings: Scrub, key: bytes) -> pl.DataFrame:
    """Recall, floor and over-masking an entity: see `flywheel.curate.scrub.canaries.measure_canaries`. Made once a process."""
    from flywheel.curate.scrub.canaries import measure_canaries

    return measure_canaries(COUNT, seed=SEED, settings=settings, key=key)


def canary_facts(settings: Scrub, key: bytes) -> dict[str, float]:
    """`canaries_below_floor`: entities whose recall is below their floor."""
    report = canary_report(settings, key)
    return {"canaries_below_floor": float(report.filter(pl.col("recall") < pl.col("floor")).height)}
