import dagster as dg

from assets.definitions import defs
from assets.graph import NODES, key

GROUPS = {
    "ingest": {"log_files", "records", "rejected", "conversations"},
    "curate": {"cleaned", "scrubbed", "signatures", "duplicates", "curated"},
    "synthesize": {"splits"},
    "mix": {"mixture/chat"},
    "format": {"training_set/chat", "training_set/trl", "training_set/completion"},
    "inspect": {"ledger", "profile", "coverage", "agreement", "anonymity"},
}


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_definitions_load() -> None:
    dg.Definitions.validate_loadable(defs)


def test_every_node_of_the_plan_is_an_asset_with_the_same_inputs() -> None:
    found = specs()

    assert set(found) == set(NODES)
    for name, node in NODES.items():
        assert {dep.asset_key for dep in found[name].deps} == {key(source) for source in node.inputs}, name
        assert (found[name].partitions_def is not None) is node.daily, name
        assert found[name].code_version == node.version


def test_assets_stand_in_the_groups_of_the_design() -> None:
    found = specs()

    for group, names in GROUPS.items():
        assert {name for name in names if found[name].group_name == group} == names
    assert {spec.group_name for name, spec in found.items() if name.startswith("verdicts/")} == {"curate"}


def test_every_asset_says_what_it_is() -> None:
    assert [name for name, spec in specs().items() if len(spec.description or "") < 30] == []


def test_what_must_stop_a_run_is_blocking() -> None:
    checks = {spec.key.to_user_string(): spec.blocking for check in defs.asset_checks or () for spec in check.check_specs}

    blocking = {name for name, blocks in checks.items() if blocks}
    assert {
        "records:ids_unique",
        "records:lines_add_up",
        "scrubbed:canaries_gone",
        "curated:no_empty_reply",
        "splits:no_family_straddles",
        "mixture/chat:no_duplicate_left",
        "training_set/chat:valid_for_its_trainer",
        "ledger:every_entry_ends_once",
        "ledger:every_stage_adds_up",
    } <= blocking
    assert not checks["records:few_lines_rejected"]


def test_there_is_a_sensor_a_schedule_and_freshness() -> None:
    assert {sensor.name for sensor in defs.sensors or ()} == {"new_log_files"}
    assert {schedule.name for schedule in defs.schedules or ()} == {"every_night", "sets_every_night"}
    assert specs()["training_set/chat"].freshness_policy is not None
