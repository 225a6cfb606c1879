"""The canary gate: planted conversations with known personal data go through the same scrubber as the logs."""

from functools import lru_cache

import polars as pl

from flywheel.sections import Scrub

COUNT = 200
SEED = 20260101


@lru_cache(maxsize=4)
def canary_report(settings: Scrub, key: bytes) -> pl.DataFrame:
    """Recall, precision and over-masking an entity, as `measure_canaries` gives them. Made once a process."""
    from flywheel.curate.scrub.canaries import canary_records, measure_canaries

    return measure_canaries(canary_records(COUNT, seed=SEED), settings=settings, key=key)


def canary_facts(settings: Scrub, key: bytes) -> dict[str, float]:
    """`canaries_below_floor`: how many floors are missed; 0 where names are not looked for on purpose (`ner = "none"`)."""
    from flywheel.curate.scrub.canaries import below_floor

    missed = [] if settings.ner == "none" else below_floor(canary_report(settings, key))
    return {"canaries_below_floor": float(len(missed))}
