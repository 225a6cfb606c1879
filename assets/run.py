"""`flywheel run`: asks the plan what is stale and has Dagster make just that, so that the UI shows the same history."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from flywheel.errors import ConfigError, FlywheelError, machine_trouble

if TYPE_CHECKING:
    from flywheel.plan import Plan
    from flywheel.project import Project

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(
    config: Path,
    *,
    console: Console,
    sample: int | None = None,
    day: str | None = None,
    select: str | None = None,
    examples: int = 0,
) -> int:
    """Make what is stale and print the funnel.

    Returns:
        0 when all is made and every blocking check passed, else 1.

    Raises:
        FlywheelError: the configuration is wrong or names a plugin that is not there, `day` has no log files, or `select`
            matches nothing.
    """
    os.environ["FLYWHEEL_CONFIG"] = str(config.resolve())
    os.environ.pop("FLYWHEEL_SAMPLE", None)
    if sample is not None:
        os.environ["FLYWHEEL_SAMPLE"] = str(sample)
    from flywheel.project import check_plugins
    from flywheel.settings import load_settings

    check_plugins(load_settings(config))
    os.chdir(config.resolve().parent)
    from assets.definitions import defs
    from assets.graph import PROJECT

    started = time.monotonic()
    try:
        with _instance(PROJECT) as instance, _bar(console) as bar:
            failures, made = _Run(PROJECT, defs, instance, console, bar).everything(day=day, select=select)
    except Exception as error:  # Dagster could not keep its history
        if (trouble := machine_trouble(error)) is None:
            raise
        console.print(f"[red]failed[/red] {trouble}. Every table is as it was or as it should be; mend that, and run again.")
        return 1
    for failure in failures:
        console.print(f"[red]failed[/red] {failure}", soft_wrap=True)
    seconds = time.monotonic() - started
    _summary(PROJECT, console, made=made, failed=bool(failures), seconds=seconds, examples=0 if failures else examples)
    return 1 if failures else 0


class _Run:
    """One invocation: phases in order, days in order within a phase; a phase with failures is the last."""

    def __init__(
        self, project: "Project", defs: dg.Definitions, instance: dg.DagsterInstance, console: Console, bar: Progress
    ) -> None:
        self.project, self.instance, self.console, self.bar = project, instance, console, bar
        self.job = defs.resolve_job_def("everything")
        self.graph = defs.resolve_asset_graph()
        self.failures: list[str] = []
        self.made = 0

    def everything(self, *, day: str | None, select: str | None) -> tuple[list[str], int]:
        from assets.graph import DAILY

        chosen = self._chosen(select)
        for phase in range(5):
            plan = self._plan()
            if phase == 1 and day is not None and day not in plan.days:
                raise ConfigError(f"no log file belongs to {day}. There are {', '.join(plan.days) or 'none at all'}.")
            stale = plan.stale(phase, chosen)
            wanted = {each: names for each, names in stale.items() if day is None or each in (day, None)}
            for future in [each for each in wanted if each is not None and not DAILY.has_partition_key(each)]:
                self.console.print(f"{future}: has log files but has not begun yet (UTC); it is left for later")
                del wanted[future]
            self._announce(wanted)
            self._phase(wanted)
            if phase == 0 and not self.failures and not self._plan().days:
                urls = ", ".join(self.project.settings.logs.urls)
                raise ConfigError(f"no log file matches [logs] url = {urls!r} below {self.project.settings.root}.")
            if self.failures:
                break
        return self.failures, self.made

    def _plan(self) -> "Plan":
        from flywheel.plan import Plan

        return Plan(self.project)

    def _chosen(self, select: str | None) -> list[str] | None:
        if select is None:
            return None
        try:
            keys = dg.AssetSelection.from_string(select).resolve(self.graph)
        except dg.DagsterInvalidSubsetError:
            keys = set()
        except Exception as error:
            raise FlywheelError(f"--select {select!r} is no asset selection: {error}") from None
        if not keys:
            names = ", ".join(sorted(key.to_user_string() for key in self.graph.get_all_asset_keys()))
            raise FlywheelError(f"--select {select!r} matches no node. There are {names}.")
        return [key.to_user_string() for key in keys]

    def _announce(self, wanted: dict[str | None, list[str]]) -> None:
        """Print what synthesizers are about to cost, before they start."""
        from flywheel.steps.estimate import cost_lines

        synthetic = [name.partition("/")[2] for names in wanted.values() for name in names if name.startswith("synthetic/")]
        for line in cost_lines(self.project, synthetic) if synthetic else ():
            self.console.print(line, soft_wrap=True, markup=False)

    def _phase(self, wanted: dict[str | None, list[str]]) -> None:
        task = self.bar.add_task("", total=sum(map(len, wanted.values()))) if wanted else None
        for day, names in wanted.items():
            if task is not None:
                self.bar.update(task, description=f"{day or 'all days'}: {_span(names)}")
            started = time.monotonic()
            failures = self._execute(day, names)
            self.failures.extend(f"{day or 'all days'}: {failure}" for failure in failures)
            if task is not None:
                self.bar.advance(task, len(names))
            outcome = "[red]failed[/red]" if failures else "made"
            if not self.console.is_terminal or failures:
                self.console.print(f"{day or 'all days'}: {outcome} {_span(names)} in {time.monotonic() - started:.1f} s")
        if task is not None:
            self.bar.remove_task(task)

    def _execute(self, day: str | None, names: Sequence[str]) -> list[str]:
        result = self.job.execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            partition_key=day,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name.split("/")) for name in names],
        )
        self.made += sum(event.is_step_materialization for event in result.all_events)
        if result.success:
            return []
        return list(_failures(result)) or ["the run failed; `dagster dev` shows its events"]


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            said = data.user_failure_data.description if data.user_failure_data else None
            if said is not None:
                yield said
            elif data.error is not None and data.error.cls_name != "DagsterAssetCheckFailedError":
                yield f"{event.step_key}: {data.error.cls_name}"
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                numbers = ", ".join(f"{name} = {entry.value}" for name, entry in evaluation.metadata.items())
                yield f"check {evaluation.check_name} of {evaluation.asset_key.to_user_string()} ({numbers})"


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)} nodes)"


@contextmanager
def _instance(project: "Project") -> Iterator[dg.DagsterInstance]:
    """Dagster's history: DAGSTER_HOME, else that of the dagster.yaml beside the configuration, else .dagster there."""
    root = project.settings.root
    if os.environ.get("DAGSTER_HOME"):
        instance = dg.DagsterInstance.get()
    else:
        home = root / ".dagster"
        home.mkdir(exist_ok=True)
        with (home / "opening").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that create the same SQLite tables at once fail
            if (root / "dagster.yaml").exists():
                instance = dg.DagsterInstance.from_config(str(root))
            else:
                settings = {"telemetry": {"enabled": False}, "nux": {"enabled": False}}
                instance = dg.DagsterInstance.local_temp(str(home), overrides=settings)
            instance.get_runs(limit=1)
            instance.all_asset_keys()
    with instance:
        yield instance


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    """A bar in a terminal, whose second part counts the rows of the step at work; nothing elsewhere."""
    from flywheel.progress import Tick, listening

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        rows = bar.add_task("", visible=False)

        def show(tick: Tick) -> None:
            name = f"  {tick.step} rows"
            bar.update(rows, description=name, completed=tick.done, total=tick.total, visible=True)

        with listening(show):
            yield bar


def _summary(project: "Project", console: Console, *, made: int, failed: bool, seconds: float, examples: int) -> None:
    from flywheel.inspect.report import example_rows, funnel_of, set_lines

    table = funnel_of(project)
    if table is not None:
        console.print(table)
    if examples:
        for line in example_rows(project, examples):
            console.print(line, soft_wrap=True, markup=False)
    for line in set_lines(project):
        console.print(line, soft_wrap=True, markup=False)
    console.print(
        f"{made} node{'s' if made != 1 else ''} made in {seconds:.1f} s."
        if made or failed
        else "Everything is up to date: nothing to make."
    )
    if (project.settings.root / "workspace.yaml").exists():
        command = "make dev" if (project.settings.root / "Makefile").exists() else "dagster dev"
        console.print(f"Browse it: {command}, then http://127.0.0.1:3000/asset-groups")
