"""What starts work, what stops it, and what it costs when a plugin is broken. The graph reads its project when it is
imported, so each test runs it in a process of its own."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flywheel.project import Project
from flywheel_tests.assets.processes import flywheel, in_graph
from flywheel_tests.projects import call, write_log, write_project

FIRST, SECOND = "2026-03-01", "2026-03-02"
LENGTH = '[[filters]]\nuse = "length"\n'
TICK = """
    import dagster as dg
    from assets.automation import new_log_files
    from assets.definitions import defs
    from assets.graph import PROJECT
    from assets.run import QUIET
    from flywheel_tests.projects import call, make_all, write_log

    def tick():
        with dg.DagsterInstance.ephemeral() as instance:
            evaluated = new_log_files.evaluate_tick(dg.build_sensor_context(instance=instance, definitions=defs))
        return {"days": [request.partition_key for request in evaluated.run_requests],
                "keys": [request.run_key for request in evaluated.run_requests], "skipped": evaluated.skip_message}
"""


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the sensor says of a project of two days, at five moments."""
    folder = tmp_path_factory.mktemp("ticks")
    write_project(folder, {FIRST: [call(1)], SECOND: [call(2)]}, toml=LENGTH)
    write_log(folder, "2199-01-01", "app.jsonl", [call(3)])
    write_log(folder, "2026-13-45", "app.jsonl", [call(4)])
    ticked: dict[str, dict[str, Any]] = in_graph(
        folder,
        TICK
        + f"""
    answer = {{"new": tick()}}
    make_all(PROJECT)
    answer["made"] = tick()
    write_log(PROJECT.settings.root, "{SECOND}", "late.jsonl", [call(5)])
    answer["late"] = tick()
    write_log(PROJECT.settings.root, "{SECOND}", "late.jsonl", [call(5), call(6)])
    answer["longer"] = tick()
    """,
    )
    return ticked


def test_the_sensor_requests_a_run_of_each_new_day_that_has_begun(ticks: dict[str, dict[str, Any]]) -> None:
    assert ticks["new"]["days"] == [FIRST, SECOND]


def test_the_sensor_requests_nothing_when_nothing_changed(ticks: dict[str, dict[str, Any]]) -> None:
    assert ticks["made"]["days"] == []
    assert ticks["made"]["skipped"] == "no new log files"


def test_the_sensor_requests_the_day_of_a_late_file_once_for_each_change(ticks: dict[str, dict[str, Any]]) -> None:
    assert ticks["late"]["days"] == ticks["longer"]["days"] == [SECOND]
    assert ticks["late"]["keys"] != ticks["longer"]["keys"]


@pytest.mark.slow
def test_a_days_run_makes_it_from_log_files_to_curated_and_leaves_other_days_due(tmp_path: Path) -> None:
    repeated = call(1)["response"]["choices"][0]["message"]["content"]
    prompt = call(1)["request"]["messages"][0]["content"]
    write_project(tmp_path, {FIRST: [call(1), call(2), call(3, prompt=prompt, reply=repeated)], SECOND: [call(4)]}, toml=LENGTH)

    answer = in_graph(
        tmp_path,
        TICK
        + f"""
    with dg.DagsterInstance.ephemeral() as instance:
        run = defs.resolve_job_def("day").execute_in_process(
            instance=instance, partition_key="{FIRST}", run_config=QUIET
        )
    made = {{event.asset_key.to_user_string() for event in run.get_asset_materialization_events()}}
    answer = {{"made": sorted(made), "checks": [e.passed for e in run.get_asset_check_evaluations()], "due": tick()["days"]}}
    """,
    )

    daily = ["cleaned", "conversations", "curated", "records", "rejected", "scrubbed", "signatures", "verdicts/length"]
    assert answer["made"] == sorted([*daily, "log_files", "duplicates"])
    assert answer["checks"]
    assert all(answer["checks"])
    assert Project.open(tmp_path / "flywheel.toml").tables.read("curated", day=FIRST).height == 2
    assert answer["due"] == [SECOND], "the run registered the files of the second day, but did not read them"


@pytest.mark.slow
def test_a_blocking_check_that_fails_stops_the_run_by_name_and_its_node_is_tried_again(tmp_path: Path) -> None:
    project = write_project(tmp_path, {FIRST: [call(1), call(2)]}, toml=LENGTH + '[scrub]\nentities = ["EMAIL_ADDRESS"]\n')

    first, second = flywheel(tmp_path, "run"), flywheel(tmp_path, "run")

    for run in (first, second):
        assert run.returncode == 1, run.stdout + run.stderr
        assert "check canaries_gone of scrubbed" in run.stdout
        assert "Traceback" not in run.stdout + run.stderr
    assert f"{FIRST}: failed records … " in first.stdout
    assert f"{FIRST}: failed scrubbed … " in second.stdout, "what was made and passed is not made again"
    assert project.tables.rows("scrubbed", day=FIRST) == 2
    assert not any(project.tables.exists(after) for after in ("verdicts", "signatures", "duplicates", "curated"))


class Broken(NamedTuple):
    """A project with two filters that cannot be loaded and one that can, after a run as the UI starts it."""

    project: Project
    succeeded: bool
    said: str
    nodes: dict[str, str]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    folder, plugins = tmp_path_factory.mktemp("broken"), tmp_path_factory.mktemp("plugins")
    (plugins / "flywheel_torn.py").write_text("import a_library_that_is_not_here\n")
    info = plugins / "flywheel_torn-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flywheel-torn\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[flywheel.filters]\ntorn = flywheel_torn:Torn\n")
    toml = "".join(f'[[filters]]\nuse = "{name}"\n' for name in ("torn", "lenght", "length"))
    project = write_project(folder, {FIRST: [call(1), call(2)]}, toml=toml)
    ran = in_graph(
        folder,
        f"""
    import dagster as dg
    from assets.definitions import defs
    from assets.run import QUIET
    dg.Definitions.validate_loadable(defs)
    with dg.DagsterInstance.ephemeral() as instance:
        run = defs.resolve_job_def("day").execute_in_process(
            instance=instance, partition_key="{FIRST}", run_config=QUIET, raise_on_error=False
        )
    failed = [event.step_failure_data.user_failure_data for event in run.all_events if event.is_step_failure]
    nodes = {{spec.key.to_user_string(): spec.description for spec in defs.resolve_all_asset_specs()}}
    answer = {{"succeeded": run.success, "said": "; ".join(failure.description for failure in failed), "nodes": nodes}}
    """,
        plugins,
    )
    return Broken(project, **ran)


def test_a_filter_that_cannot_be_imported_fails_on_its_own_node_with_what_to_do(broken: Broken) -> None:
    assert not broken.succeeded
    assert "verdicts/torn: filter 'torn' (flywheel_torn:Torn, from flywheel-torn 1.2) cannot be imported" in broken.said
    assert "No module named 'a_library_that_is_not_here'" in broken.said
    assert "pip install --force-reinstall flywheel-torn" in broken.said


def test_a_filter_that_does_not_exist_fails_on_its_own_node_with_the_nearest_name(broken: Broken) -> None:
    assert "verdicts/lenght: no filter is called 'lenght'. Did you mean 'length'?" in broken.said


def test_the_other_verdicts_are_made_beside_a_broken_one_and_nothing_is_built_upon_them(broken: Broken) -> None:
    tables = broken.project.tables

    assert tables.rows("verdicts", filter="length", day=FIRST) == 2
    assert tables.rows("verdicts", filter="torn", day=FIRST) == 0
    assert not tables.exists("curated")


def test_the_graph_loads_with_broken_filters_and_says_so_on_their_nodes(broken: Broken) -> None:
    assert "cannot be imported" in broken.nodes["verdicts/torn"]
    assert "Did you mean 'length'?" in broken.nodes["verdicts/lenght"]
    assert "training_set/chat" in broken.nodes
