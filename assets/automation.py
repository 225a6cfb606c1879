"""What starts work without a click: new log files, every night, and sets that follow their data."""

from collections.abc import Iterator

import dagster as dg

from assets.graph import DAILY, NODES, PROJECT, selection
from flywheel.plan import Plan

_DAILY_NODES = [name for name, node in NODES.items() if node.daily]
_SET_NODES = [name for name, node in NODES.items() if not node.daily and name != "log_files"]

everything = dg.define_asset_job("everything", selection(NODES), description="Every node: what `flywheel run` chooses from.")
day = dg.define_asset_job(
    "day",
    selection(["log_files", *_DAILY_NODES, "duplicates"]),
    description="One day, from its log files to its curated conversations, and the duplicates of all days.",
)
sets = dg.define_asset_job(
    "sets", selection(_SET_NODES), description="Duplicates, splits, mixtures and training sets of all days."
)


@dg.sensor(
    job=day,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Every half minute: a run of each day whose log files are new or changed.",
)
def new_log_files() -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Requests a run of each day whose log files are not those that were read last.

    Days that have not begun (UTC) wait; files without a proper day are never read. Dagster launches a key only once.
    """
    due = Plan(PROJECT).due_days()
    wanted = {each: digest for each, digest in due.items() if DAILY.has_partition_key(each)}
    for each, digest in wanted.items():
        yield dg.RunRequest(run_key=f"{each}:{digest}", partition_key=each)
    if not wanted:
        yield dg.SkipReason("no new log files")


every_night = dg.build_schedule_from_partitioned_job(
    day, name="every_night", hour_of_day=2, description="Yesterday's logs, at two in the morning UTC."
)
sets_every_night = dg.ScheduleDefinition(
    name="sets_every_night",
    job=sets,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    description="The sets, after the days.",
)
