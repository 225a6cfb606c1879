"""Guards of a project with synthetic rows: shares, generations and the terms of models, from the configuration to the set."""

from pathlib import Path

import pytest

from flywheel.errors import ConfigError, FlywheelError
from flywheel.inspect.synthetic import cap_bounds, check_terms, synthetic_facts
from flywheel.project import Project
from flywheel.records import SCHEMA, Record, to_batch
from flywheel.sections import Mix, Policy
from flywheel.settings import load_settings
from flywheel.steps.diversity import diversity_table
from flywheel.tables import Tables
from flywheel_tests.assets.processes import flywheel
from flywheel_tests.projects import call, make_all, write_log, write_project
from flywheel_tests.synthesize.conftest import Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_server import completion

SYNTHESIS = """
[model]
model = "scripted-1"
base_url = "{url}"
key_env = ""
{terms}

[[synthesize]]
use = "paraphrase"
tones = ["formal"]

[[mix]]
name = "chat"
take = {{ curated = 1.0, "synthetic/paraphrase" = 1.0 }}
{caps}
"""


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(str(tmp_path / "tables"))


def mixed(tables: Tables, *records: Record) -> None:
    tables.write("mixture/chat", to_batch(records), schema=SCHEMA, fingerprint=1)


def test_share_and_depth_of_synthetic_rows_are_counted(tables: Tables) -> None:
    child = chats(1)[0].child(reply="Once.")
    mixed(tables, *chats(3), child, child.child(reply="Twice."))

    facts = synthetic_facts(tables, "mixture/chat", Policy())

    assert facts == {"synthetic_share": 0.4, "generation": 2.0, "terms_refused": 0.0}


def test_an_empty_mixture_has_no_synthetic_rows(tables: Tables) -> None:
    mixed(tables)

    assert synthetic_facts(tables, "mixture/chat", Policy()) == {"synthetic_share": 0, "generation": 0, "terms_refused": 0}


@pytest.mark.parametrize(
    ("tags", "accepted", "refused"),
    [
        ((), (), False),
        (("terms=allowed",), (), False),
        (("terms=unstated",), (), True),
        (("terms=forbidden",), ("non-competing",), True),
        (("terms=allowed", "terms=non-competing"), (), True),
        (("terms=allowed", "terms=non-competing"), ("non-competing",), False),
        (("terms=non-competing", "terms=forbidden"), ("non-competing",), True),
        (("short terms=forbidden",), (), False),
    ],
)
def test_terms_are_those_of_the_strictest_model(
    tables: Tables, tags: tuple[str, ...], accepted: tuple[str, ...], refused: bool
) -> None:
    mixed(tables, *chats(3), chat(id="made", tags=("asked=judge:gpt-1(max_tokens=5)", *tags)))
    policy = Policy(model_terms=accepted)  # type: ignore[arg-type]

    assert synthetic_facts(tables, "mixture/chat", policy)["terms_refused"] == refused
    if refused:
        with pytest.raises(FlywheelError, match=r"1 rows of mixture/chat were made with judge:gpt-1.*\n.*model_terms"):
            check_terms(tables, "mixture/chat", policy)
    else:
        check_terms(tables, "mixture/chat", policy)


def test_only_configured_caps_are_checked_and_terms_always() -> None:
    assert cap_bounds(Mix(name="chat")) == {"terms_refused": 0}
    assert cap_bounds(Mix(name="chat", max_synthetic_share=0.0, max_generation=1)) == {
        "synthetic_share": 0.0,
        "generation": 1.0,
        "terms_refused": 0.0,
    }


def test_a_set_needs_terms_that_are_stated_and_allowed_or_accepted_and_stating_them_buys_nothing_again(
    tmp_path: Path, serve: Serve
) -> None:
    server = serve(lambda request: completion(f"Formally: {request.prompt[-60:]}"))
    write_log(tmp_path, "2026-03-01", "app.jsonl", [call(number) for number in range(12)])

    def made(terms: str, policy: str = "") -> Project:
        toml = SYNTHESIS.format(url=server.url, terms=terms, caps="") + policy
        project = write_project(tmp_path, toml=toml)
        make_all(project)
        return project

    with pytest.raises(FlywheelError, match="generator:scripted-1, whose terms about training on answers are: unstated"):
        made("")
    bought = len(server.requests)
    with pytest.raises(FlywheelError, match="non-competing"):
        made('outputs_may_train = "non-competing"')
    accepted = made('outputs_may_train = "non-competing"', '[policy]\nmodel_terms = ["non-competing"]\n')
    first = list(accepted.sets.rglob("train*.jsonl"))
    allowed = made("outputs_may_train = true")

    assert len(first) == 1
    assert allowed.tables.read("training_sets").height
    assert bought == len(server.requests) > 5
    variety = {row["rows_of"]: row for row in diversity_table(allowed).to_dicts()}
    assert variety.keys() == {"curated", "synthetic/paraphrase"}
    assert variety["synthetic/paraphrase"]["rows"] == bought
    assert variety["synthetic/paraphrase"]["to_real"] < variety["curated"]["to_real"]


def test_a_cap_on_synthetic_rows_stops_the_run_before_the_set(tmp_path: Path, serve: Serve) -> None:
    """That a run within its caps goes on is shown by `test_estimate`, whose configuration has both."""
    server = serve(lambda request: completion(f"Formally: {request.prompt[-60:]}"))
    caps = "max_synthetic_share = 0.1\nmax_generation = 1"
    toml = SYNTHESIS.format(url=server.url, terms="outputs_may_train = true", caps=caps)
    write_project(tmp_path, {"2026-03-01": [call(number) for number in range(12)]}, toml=toml)

    ended = flywheel(tmp_path, "run")
    said = ended.stdout + ended.stderr

    assert ended.returncode == 1
    assert "check synthetic_share_is_capped of mixture/chat (synthetic_share = 0." in said
    assert "generation_is_capped" not in said
    assert not (tmp_path / "data" / "sets").exists()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[models.judge]\nmodel = "m"', r"\[models.judge\] needs a \[model\]"),
        ('[model]\nmodel = "m"\n[models.judge]\nmodel = "j"\nbudget_dollars = 3', "budget_dollars belongs to"),
        ('[model]\nmodel = "m"\n[models.generator]\nmodel = "j"', "role belongs to"),
        ('[model]\nmodel = "m"\n[models.judge]\nmodle = "j"', "modle"),
        (
            '[model]\nmodel = "m"\nbudget_dollars = 3\ndollars_per_million_input = 1\n[models.judge]\nmodel = "j"',
            "needs its prices",
        ),
        ('[model]\nmodel = "m"\noutputs_may_train = "perhaps"', "outputs_may_train"),
    ],
)
def test_mistakes_in_roles_name_the_section(toml: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text(toml, "utf-8")

    with pytest.raises(ConfigError, match=message):
        load_settings(tmp_path / "flywheel.toml")


def test_a_role_is_asked_at_the_models_endpoint_unless_it_has_its_own(tmp_path: Path) -> None:
    toml = '[model]\nmodel = "m"\nbase_url = "http://here/v1"\nkey_env = "HERE"\n'
    toml += '[models.judge]\nmodel = "j"\n[models.teacher]\nmodel = "t"\nbase_url = "http://there/v1"\n'
    (tmp_path / "flywheel.toml").write_text(toml, "utf-8")

    models = load_settings(tmp_path / "flywheel.toml").models

    assert (models["judge"].base_url, models["judge"].key_env) == ("http://here/v1", "HERE")
    assert (models["teacher"].base_url, models["teacher"].key_env) == ("http://there/v1", "OPENAI_API_KEY")
