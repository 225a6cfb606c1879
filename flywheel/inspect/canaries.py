"""The canary gate: planted conversations with known personal data go through the same scrubber as the logs."""

from functools import lru_cache

import polars as pl

from flywheel.errors import FlywheelError
from flywheel.sections import Scrub
from flywheel.settings import Settings

SEED = 20260101


def canary_report(settings: Settings, key: bytes) -> pl.DataFrame:
    """Recall, precision and over-masking an entity, as `measure_canaries` gives them, each with its floor."""
    from flywheel.curate.scrub.canaries import with_floors

    measured = _measured(settings.scrub, settings.canaries.rows, key)
    return with_floors(measured, settings.canaries, ner=settings.scrub.ner)


@lru_cache(maxsize=4)
def _measured(scrub: Scrub, rows: int, key: bytes) -> pl.DataFrame:
    """Measured once a process: seconds of work, and the same in all of it."""
    from flywheel.curate.scrub.canaries import canary_records, measure_canaries

    return measure_canaries(canary_records(rows, seed=SEED), settings=scrub, key=key)


def missed_floors(settings: Settings, key: bytes) -> list[str]:
    """What scrubbing does worse than `[canaries]` allows, as sentences; empty when the sets may be built."""
    from flywheel.curate.scrub.canaries import below_floor

    return below_floor(canary_report(settings, key), over_masking=settings.canaries.over_masking)


def canary_facts(settings: Settings, key: bytes) -> dict[str, float]:
    """`canaries_below_floor`: how many floors are missed."""
    return {"canaries_below_floor": float(len(missed_floors(settings, key)))}


def check_floors(settings: Settings, key: bytes) -> None:
    """Refuse to go on with what the scrubber left.

    Raises:
        FlywheelError: a floor is missed; the message names entities and figures.
    """
    if missed := missed_floors(settings, key):
        raise FlywheelError(
            f"scrubbing finds less than [canaries] asks for: {'; '.join(missed)}. Find out what changed in [scrub], or lower the "
            "floor on purpose."
        )
