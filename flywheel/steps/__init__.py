"""The work behind each node of the graph: read its inputs, call one stage, write its table and who left.

`make` is all that a scheduler needs. Steps never decide whether they are due (`flywheel.plan`) and never look at the clock.
"""

from collections.abc import Callable

from flywheel.engine import Made
from flywheel.plan import Plan
from flywheel.project import Project
from flywheel.steps import build, contamination, curate, duplicates, ingest, inspect, similar

_OF_ONE_DAY: dict[str, Callable[[Project, str, str, int], Made]] = {
    "records": ingest.records,
    "conversations": ingest.conversations,
    "cleaned": curate.cleaned,
    "scrubbed": curate.scrubbed,
    "signatures": curate.signatures,
    "verdicts": curate.verdicts,
    "curated": curate.curated,
    "contamination": contamination.contamination,
}
_OF_ALL_DAYS: dict[str, Callable[[Project, str, int], Made]] = {
    "log_files": ingest.log_files,
    "review": curate.review,
    "duplicates": duplicates.duplicates,
    "similar": similar.similar,
    "splits": build.splits,
    "synthetic": build.synthetic,
    "verified": build.verified,
    "mixture": build.mixture,
    "training_set": build.training_set,
    "ledger": inspect.ledger,
    "profile": inspect.profile,
    "coverage": inspect.coverage,
    "agreement": inspect.agreement,
    "anonymity": inspect.anonymity,
}


def make(project: Project, name: str, day: str | None = None) -> Made:
    """Make one node, for one day when it is daily, from its inputs as they are now.

    Raises:
        FlywheelError: the configuration or a plugin is at fault, or an input was never made (`NotMade`).
    """
    kind, _, rest = name.partition("/")
    fingerprint = Plan(project).expected(name, day)
    if day is None:
        return _OF_ALL_DAYS[kind](project, rest, fingerprint)
    return _OF_ONE_DAY[kind](project, rest, day, fingerprint)
