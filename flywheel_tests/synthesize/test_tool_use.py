"""Tool use in a declared environment: what does not fit a schema or misses the goal becomes no child; the shortest way wins."""

import gzip
import json
import random
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flywheel import plugins
from flywheel.errors import PluginError
from flywheel.plugins import Model
from flywheel.records import Record, from_batch, to_batch
from flywheel.settings import load_settings
from flywheel.synthesize.driver import Synthesized, synthesize
from flywheel.synthesize.environments.declared import Environment
from flywheel.synthesize.environments.world import Call, act, shortest
from flywheel.synthesize.synthesizers.tool_use import ToolUse
from flywheel.synthesize.verification import build_checks
from flywheel.synthesize.verification.contract import Known
from flywheel.synthesize.verify import verify
from flywheel_tests.shared import shared_data
from flywheel_tests.synthesize.conftest import Connect, Serve
from flywheel_tests.synthesize.conversations import chat, chats
from flywheel_tests.synthesize.scripted_server import Reply, Request, completion

BANK = """
system = "You are the assistant of a bank."

[state.balances]
"$payer" = 100
"$payee" = 5
shop = 0

[choose]
payer = ["ada", "ben"]
payee = ["cleo", "dan"]
amount = [30, 40]

[[tools]]
name = "balance"
description = "The balance of an account"
parameters = {properties = {account = {type = "string"}}, required = ["account"]}
require = [{path = "balances.{account}", exists = true, otherwise = "no such account"}]
returns = {balance = "balances.{account}"}

[[tools]]
name = "transfer"
description = "Move money"
parameters.properties.from = {type = "string"}
parameters.properties.to = {type = "string"}
parameters.properties.amount = {type = "integer", minimum = 1}
parameters.properties.memo = {type = "string"}
parameters.required = ["from", "to", "amount"]
require = [
    {path = "balances.{from}", at_least = "{amount}", otherwise = "insufficient funds"},
    {path = "balances.{to}", exists = true, otherwise = "no such account"},
]
effects = [
    {op = "subtract", path = "balances.{from}", value = "{amount}"},
    {op = "add", path = "balances.{to}", value = "{amount}"},
    {op = "append", path = "memos", value = "{memo}"},
]
returns = {left = "balances.{from}"}

[[goals]]
requests = ["Send $amount from $payer to $payee, then tell me what $payee has."]
require = [{path = "balances.$payee", at_least = 35}, {path = "balances.shop", equals = 0}]
calls = ["balance"]
values = {account = ["$payer", "$payee"], from = ["$payer", "$payee"], to = ["$payee", "shop"], amount = ["$amount"]}
reply = "$payee now has {balances.$payee}."
"""


def bank() -> Environment:
    return msgspec.convert(tomllib.loads(BANK), Environment)


def run(plugin: ToolUse, model: Model | None, seeds: Sequence[Record]) -> tuple[list[Record], Synthesized]:
    made = synthesize([to_batch(seeds)], plugin, name="tools", model=model)
    return [child for batch in made for child in from_batch(batch)], made


def calls(*wanted: tuple[str, Any]) -> Reply:
    called = [(name, given if isinstance(given, str) else json.dumps(given)) for name, given in wanted]
    rows = [{"id": None, "type": "function", "function": {"name": name, "arguments": given}} for name, given in called]
    return completion(None, finish="tool_calls", tool_calls=rows)


def teller(*ways: Callable[[dict[str, str]], list[Reply]]) -> Callable[[Request], Reply]:
    """Plays each way in turn, an attempt each; a way is made from the words of the request."""
    attempts = list(ways)
    left: list[Reply] = []

    def answer(request: Request) -> Reply:
        messages = request.body["messages"]
        if messages[-1]["role"] == "user":
            words = messages[-1]["content"].replace(",", "").split()
            left[:] = attempts.pop(0)({"amount": words[1], "payer": words[3], "payee": words[5]})
        return left.pop(0)

    return answer


def direct(said: dict[str, str]) -> list[Reply]:
    move = {"from": said["payer"], "to": said["payee"], "amount": int(said["amount"])}
    return [calls(("transfer", move)), calls(("balance", {"account": said["payee"]})), completion("Done.")]


def roundabout(said: dict[str, str]) -> list[Reply]:
    first, *rest = direct(said)
    return [calls(("balance", {"account": "nobody"})), first, *rest]


def test_the_shorter_of_two_successful_attempts_is_kept_with_its_calls_and_results(serve: Serve, connect: Connect) -> None:
    server = serve(teller(roundabout, direct))
    plugin = ToolUse(bank(), attempts=2)

    (child,), made = run(plugin, connect(server), [chat()])
    outcome = verify(to_batch([child]), to_batch([chat()]))
    judged = [check.judge()([child], Known()) for check in build_checks([{"use": "tool_calls", "required": True}])]

    system, user, transfer, left, balance, now, last = child.messages
    amount = int(user.text.split()[1])
    assert [message.role for message in child.messages] == ["system", "user", *["assistant", "tool"] * 2, "assistant"]
    assert [call.name for message in (transfer, balance) for call in message.tool_calls] == ["transfer", "balance"]
    assert [json.loads(left.text), json.loads(now.text)] == [{"left": 100 - amount}, {"balance": 5 + amount}]
    assert (transfer.tool_calls[0].id, left.tool_call_id) == ("call_1", "call_1")
    assert (system.text, last.text) == ("You are the assistant of a bank.", "Done.")
    assert set(child.tags) >= {"calls=2", "way=model"}
    assert made.reasons == {"less_efficient": 1}
    assert outcome.exits.height == 0
    assert judged == [[None]]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([calls(("transfer", {"from": "ada", "to": "dan", "amount": "30"}))], "arguments_against_schema"),
        ([calls(("transfer", {"from": "ada", "to": "dan"}))], "arguments_against_schema"),
        ([calls(("rob", {}))], "undeclared_tool"),
        ([calls(("balance", "{account"))], "bad_tool_arguments"),
        ([calls(("balance", {"account": "shop"})) for _ in range(9)], "too_many_calls"),
        ([calls(*[("balance", {"account": "shop"})] * 9)], "too_many_calls"),
        ([calls(("balance", {"account": "shop"})), completion("Sent!")], "goal_missed"),
        ([completion("Sent!")], "no_tool_call"),
    ],
)
def test_an_attempt_that_breaks_a_rule_is_refused_by_reason(
    replies: list[Reply], reason: str, serve: Serve, connect: Connect
) -> None:
    server = serve(teller(lambda _: list(replies)))

    children, made = run(ToolUse(bank(), attempts=1, longest=8, search=False), connect(server), [chat()])

    assert children == []
    assert made.reasons == {reason: 1, "no_children": 1}


def test_a_call_that_the_rules_forbid_changes_nothing_and_says_why() -> None:
    state = {"balances": {"ada": 10, "dan": 5}}

    failed = act(bank(), state, Call("transfer", {"from": "ada", "to": "dan", "amount": 11}))
    moved = act(bank(), state, Call("transfer", {"from": "ada", "to": "dan", "amount": 10, "memo": "rent"}))

    assert failed == (state, {"error": "insufficient funds"}, False)
    assert moved == ({"balances": {"ada": 0, "dan": 15}, "memos": ["rent"]}, {"left": 0}, True)
    assert state == {"balances": {"ada": 10, "dan": 5}}


def test_a_search_finds_the_shortest_way_without_a_model_and_every_seed_its_own_goal() -> None:
    seeds = chats(12)

    children, made = run(ToolUse(bank(), attempts=0), None, seeds)

    assert len(children) == 12
    assert {tag for child in children for tag in child.tags if tag.startswith(("calls", "way"))} == {"calls=2", "way=search"}
    assert 4 <= len({child.prompt for child in children}) <= 8
    assert all(child.reply.endswith((" now has 35.", " now has 45.")) for child in children)
    assert made.reasons == {}
    assert children == run(ToolUse(bank(), attempts=0), None, seeds)[0]


def test_a_search_replaces_what_the_model_did_only_where_it_is_shorter(serve: Serve, connect: Connect) -> None:
    (child,), made = run(ToolUse(bank(), attempts=1), connect(serve(teller(roundabout))), [chat()])

    assert set(child.tags) >= {"calls=2", "way=search"}
    assert made.reasons == {"less_efficient": 1}


def test_a_search_ends_where_there_is_no_way() -> None:
    environment, goal = bank().chosen(random.Random(0))
    poor = msgspec.structs.replace(environment, state={"balances": {"ada": 1, "ben": 1, "cleo": 1, "dan": 1, "shop": 0}})

    assert shortest(poor, goal, longest=10, tries=20_000) is None
    assert shortest(environment, goal, longest=1, tries=20_000) is None
    assert shortest(environment, goal, longest=10, tries=1) is None
    assert [call.name for call in shortest(environment, goal, longest=10, tries=20_000) or ()] == ["transfer", "balance"]


def test_an_environment_is_a_table_or_a_file_and_its_content_is_the_provenance(tmp_path: Path) -> None:
    (tmp_path / "bank.toml").write_text(BANK, "utf-8")
    (tmp_path / "bank.json").write_text(json.dumps(tomllib.loads(BANK)), "utf-8")

    made = [
        plugins.build("synthesizer", "tool_use", {"environment": given})
        for given in (tomllib.loads(BANK), str(tmp_path / "bank.toml"), str(tmp_path / "bank.json"))
    ]

    assert made[0] == made[1] == made[2]
    assert "insufficient funds" in repr(made[1])


def test_an_environment_can_stand_in_the_configuration(tmp_path: Path) -> None:
    tables = re.sub(
        r"^(\[+)", r"\1synthesize.environment.", BANK.replace("system =", "[environment]\nsystem =", 1), flags=re.MULTILINE
    )
    tables = tables.replace("[synthesize.environment.environment]", "[synthesize.environment]")
    text = f'[[synthesize]]\nuse = "tool_use"\nlimit = 5\nattempts = 0\n{tables}'
    (tmp_path / "flywheel.toml").write_text(text, "utf-8")

    (entry,) = load_settings(tmp_path / "flywheel.toml").synthesize
    plugin = plugins.build("synthesizer", entry.use, entry.settings)

    assert plugin == ToolUse(bank(), attempts=0)


def test_a_second_run_asks_nothing_and_makes_the_same(serve: Serve, connect: Connect) -> None:
    server = serve(teller(roundabout, direct))
    first, _ = run(ToolUse(bank()), connect(server), [chat()])
    asked = len(server.requests)

    second, made = run(ToolUse(bank()), connect(server), [chat()])

    assert first == second
    assert (len(server.requests), made.cost.dollars) == (asked, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tools": []}, "tools"),
        ({"goals": [{"requests": ["x"]}]}, "require"),
        ({"goals": [{"requests": ["x"], "calls": ["fly"]}]}, "'fly'"),
        ({"choose": {"payer": []}}, "'payer'"),
        ({"tools": [{"name": "balance", "returns": {"x": "balances.{who}"}}]}, "'who'"),
        ({"tools": [{"name": "balance", "parameters": {"type": 7}}]}, "JSON Schema"),
        ({"tools": [{"name": "balance", "effects": [{"op": "explode", "path": "x"}]}]}, "explode"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        plugins.build("synthesizer", "tool_use", {"environment": {**tomllib.loads(BANK), **change}})


def test_a_file_that_is_missing_is_an_error_that_names_it() -> None:
    with pytest.raises(PluginError, match=r"'nowhere\.toml' cannot be read"):
        plugins.build("synthesizer", "tool_use", {"environment": "nowhere.toml"})


def test_tools_of_others_can_be_declared_as_they_are() -> None:
    lines = gzip.decompress((shared_data("bfcl") / "BFCL_v4_multiple.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
    given = [tool for line in lines for tool in json.loads(line)["function"]]

    for tool in given:
        goal = {"requests": ["Do it."], "calls": [tool["name"]]}
        environment = msgspec.convert({"state": {}, "tools": [tool], "goals": [goal]}, Environment)
        assert json.loads(environment.offered[0])["parameters"] == tool["parameters"]
    assert len(given) > 300
