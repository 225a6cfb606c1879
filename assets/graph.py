"""What every node shares: its project, its partitions, its key, and the report it makes of a step."""

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from assets.report import metadata
from flywheel.engine import Made
from flywheel.errors import FlywheelError, PluginError, machine_trouble
from flywheel.plan import Plan
from flywheel.plugins import find
from flywheel.progress import Tick, listening
from flywheel.project import Project
from flywheel.settings import load_settings
from flywheel.steps import make

warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

CONFIG = Path(os.environ.get("FLYWHEEL_CONFIG") or Path(__file__).resolve().parent.parent / "flywheel.toml")
SAMPLE = int(os.environ["FLYWHEEL_SAMPLE"]) if os.environ.get("FLYWHEEL_SAMPLE") else None
PROJECT = Project(load_settings(CONFIG, sample=SAMPLE))
NODES = PROJECT.nodes
DAILY = dg.DailyPartitionsDefinition(
    PROJECT.settings.project.start,
    timezone="UTC",
    end_date=PROJECT.settings.project.after_end,
    end_offset=0 if PROJECT.settings.project.end else 1,
)
LOG_EVERY_ROWS = 50_000


def key(name: str) -> dg.AssetKey:
    """The asset key of a node: its name, a slash parting the levels."""
    return dg.AssetKey(name.split("/"))


def spec(name: str, *, group: str, kinds: set[str], description: str) -> dict[str, Any]:
    """What Dagster is told of a node: taken from the plan, so that graph and plan cannot differ."""
    node = NODES[name]
    return {
        "key": key(name),
        "group_name": group,
        "kinds": kinds,
        "description": description,
        "deps": [key(source) for source in node.inputs],
        "code_version": node.version,
    }


def node(
    name: str, *, group: str, kinds: set[str], description: str, freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetsDefinition:
    """The asset of one node whose work is `flywheel.steps.make`."""

    @dg.asset(  # type: ignore[untyped-decorator]
        **spec(name, group=group, kinds=kinds, description=description),
        freshness_policy=freshness,
        partitions_def=DAILY if NODES[name].daily else None,
    )
    def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return run_step(context, name)

    made: dg.AssetsDefinition = step
    return made


def run_step(context: dg.AssetExecutionContext, name: str) -> dg.MaterializeResult[Any]:
    """Make a node for the run's day and report what was made."""
    day = context.partition_key if NODES[name].daily else None
    with told(context), no_record_text(name):
        return _result(name, make(PROJECT, name, day), day)


def report_step(context: dg.AssetExecutionContext, name: str) -> dg.MaterializeResult[Any]:
    """Report a node that was made together with another in this run."""
    day = context.partition_key if NODES[name].daily else None
    node_ = NODES[name]
    rows = PROJECT.tables.rows(node_.table, **node_.where(day))
    return _result(name, Made(name, rows, rows, PROJECT.tables.version(node_.table)), day)


def _result(name: str, made: Made, day: str | None) -> dg.MaterializeResult[Any]:
    version = dg.DataVersion(str(Plan(PROJECT).stored(name, day)))
    return dg.MaterializeResult(asset_key=key(name), metadata=metadata(PROJECT, NODES[name], made, day), data_version=version)


@contextmanager
def told(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Report long steps to the run's log, every `LOG_EVERY_ROWS` rows."""
    last: dict[str, int] = {}

    def report(tick: Tick) -> None:
        if tick.done - last.get(tick.step, 0) >= LOG_EVERY_ROWS:
            last[tick.step] = tick.done
            of = f" of {tick.total:,}" if tick.total else ""
            context.log.info(f"{tick.step} {tick.day or ''}: {tick.done:,}{of} rows")

    with listening(report):
        yield


@contextmanager
def no_record_text(name: str) -> Iterator[None]:
    """Let no exception carry record text into the event log: keep its type and place, drop its message and cause.

    Two runs that commit to one table at the same moment are no failure: the later one tries again.
    """
    from deltalake.exceptions import CommitFailedError

    try:
        yield
    except CommitFailedError:
        raise dg.RetryRequested(max_retries=5, seconds_to_wait=1) from None
    except FlywheelError as error:
        raise dg.Failure(f"{name}: {error}", allow_retries=False) from None
    except Exception as error:
        if trouble := machine_trouble(error):
            raise dg.Failure(f"{name}: {trouble}. Its table is as it was before; mend that, and run again.") from None
        frames = traceback.extract_tb(sys.exc_info()[2])[1:]
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        description = f"{name} failed with {type(error).__name__} at {places[-1]}; its message is not kept: it may quote a record"
        where = dg.MetadataValue.md("\n".join(f"- `{place}`" for place in places))
        raise dg.Failure(description, metadata={"where": where}) from None


def about(kind: str, name: str) -> str:
    """The first paragraph of a plugin's documentation, or what is wrong with it."""
    try:
        return (inspect.getdoc(find(kind, name).load()) or "").partition("\n\n")[0]
    except PluginError as error:
        return str(error)


def selection(names: Iterable[str]) -> dg.AssetSelection:
    """The assets of these nodes."""
    return dg.AssetSelection.assets(*(key(name) for name in names))
