"""Nothing personal outside the originals and the tables before `scrubbed`: every byte that a run wrote is searched.

Each record holds values of its own, in one place of a log entry each; all share a marker, so that one search finds them.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from flywheel.plan import nodes
from flywheel.project import Project
from flywheel_tests.assets.processes import ROOT
from flywheel_tests.commands import environment
from flywheel_tests.projects import call, write_project
from flywheel_tests.synthesize.scripted_server import Reply, Request, ScriptedServer, completion

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DAY, NEXT = "2026-03-02", "2026-03-03"
RAW = ("records", "conversations", "cleaned")
"""The tables that hold what was logged, by design; besides them only the logs themselves do."""
MARK = "velmorqzx"
CARD, PHONE = "4929777", "415297"
TOML = """
[[filters]]
use = "length"

[[filters]]
use = "disliked"

[model]
base_url = "{url}"
model = "scripted-1"
key_env = ""

[[synthesize]]
use = "typos"

[[synthesize]]
use = "paraphrase"
limit = 3

[policy]
model_terms = ["unstated"]

[[mix]]
name = "chat"
take = {{ curated = 1.0, "synthetic/typos" = 1.0, "synthetic/paraphrase" = 1.0 }}
"""
PLACES: tuple[str, ...] = (
    "prompt",
    "reply",
    "system",
    "arguments",
    "result",
    "metadata",
    "user",
    "feedback",
    "choice",
    "reasoning",
    "tools",
)
PLACES += ("unparsable", "session", "name", "disliked", "refused", "huge", "id")


class Person(NamedTuple):
    """The values of one record. The marker is in each, in words or in digits."""

    name: str
    email: str
    phone: str
    card: str
    address: str
    token: str

    @property
    def said(self) -> str:
        return (
            f"My name is {self.name} and I live at {self.address}. Write to {self.email} or ring {self.phone}; "
            f"my card is {self.card} and my key {self.token}."
        )

    @property
    def fields(self) -> dict[str, str]:
        keys = ("customer_name", "email", "phone", "card_number", "address", "api_key")
        return dict(zip(keys, self, strict=True))


def person(number: int) -> Person:
    tail = chr(97 + number // 26) + chr(97 + number % 26)
    digits = f"{CARD}{number:08d}"
    card = digits + str(-sum(d if i % 2 else sum(divmod(2 * d, 10)) for i, d in enumerate(map(int, digits))) % 10)
    token = f"ghp_{MARK}{hashlib.sha256(tail.encode()).hexdigest()[:27]}"
    written = " ".join(card[at : at + 4] for at in range(0, 16, 4))
    return Person(
        name=f"Rosalind {MARK.title()}{tail}",
        email=f"rosalind.{MARK}.{tail}@kestrel.example",
        phone=f"+1 415 297 {1000 + number}",
        card=written if number % 2 else card,
        address=f"{1200 + number} {MARK.title()}{tail} Lane",
        token=token,
    )


def entry(number: int, place: str) -> dict[str, Any]:  # noqa: PLR0912
    """A logged call that holds one person's values in this place and nowhere else."""
    who = person(number)
    made = call(number, prompt=f"{who.said} How do I reset router number {number}?" if place == "prompt" else None)
    messages, answer = made["request"]["messages"], made["response"]["choices"][0]["message"]
    if place == "reply":
        answer["content"] = f"Certainly. You told me: {who.said}"
    elif place == "system":
        messages.insert(0, {"role": "system", "content": f"You speak to a customer. {who.said}"})
    elif place in ("arguments", "unparsable"):
        arguments = json.dumps(who.fields)
        arguments = arguments[:-2] if place == "unparsable" else arguments
        tool = {"id": "call_1", "type": "function", "function": {"name": "update", "arguments": arguments}}
        messages += [{"role": "assistant", "content": None, "tool_calls": [tool]}]
        messages += [{"role": "tool", "tool_call_id": "call_1", "content": '{"status": "saved"}'}]
    elif place == "result":
        tool = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        messages += [{"role": "assistant", "content": None, "tool_calls": [tool]}]
        messages += [{"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"rows": [who.fields]})}]
    elif place == "metadata":
        made["metadata"] = {"note": who.said, **who.fields}
    elif place == "user":
        made["request"]["user"] = who.email
    elif place == "session":
        made["metadata"] = {"session_id": f"chat of {who.email}", "user_id": who.email}
    elif place in ("feedback", "disliked"):
        made["feedback"] = {"name": "thumb", "value": "down" if place == "disliked" else "up", "comment": who.said}
        made["feedback"] |= {"by": who.email}
    elif place == "choice":
        other = {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": who.said}}
        made["response"]["choices"].append(other)
    elif place == "reasoning":
        answer["reasoning_content"] = f"The customer said: {who.said}"
    elif place == "tools":
        parameters = {"type": "object", "properties": {"to": {"type": "string", "description": f"such as {who.email}"}}}
        made["request"]["tools"] = [{"type": "function", "function": {"name": "send", "parameters": parameters}}]
    elif place == "name":
        messages[0]["name"] = who.email
    elif place == "id":
        made["response"]["id"] = f"{who.email}-{number:012d}"
    elif place == "refused":
        made["response"] = {"error": {"message": who.said, "code": 400}}
    elif place == "huge":
        answer["content"] = who.said + " and so on" * 210_000
    return made


def logs() -> dict[str, list[dict[str, Any] | str]]:
    """Two days: every place once on each, the same call on both, a near-duplicate, and lines that are no JSON."""
    days: dict[str, list[dict[str, Any] | str]] = {}
    for start, day in ((0, DAY), (100, NEXT)):
        entries: list[dict[str, Any] | str] = [entry(start + n, place) for n, place in enumerate(PLACES)]
        broken = json.dumps(entry(start + 50, "prompt"))
        entries += [broken[:-9], broken.encode("utf-8")[40:].decode(), f"{person(start + 51).said}", entry(60, "prompt")]
        entries += [call(70, prompt=f"{person(start + 61).said} Where is my parcel, and when will it be here?")]
        days[day] = entries
    return days


CRASHES = '''
import contextlib, json, os, sys
import polars as pl
from pathlib import Path
from rich.console import Console

config, text = Path(sys.argv[1]), Path(sys.argv[2]).read_text()
os.environ["FLYWHEEL_CONFIG"] = str(config)
import assets.curate, assets.definitions, assets.ingest, assets.inspect, assets.mix, assets.synthesize
from assets.graph import PROJECT
from assets.run import run
from flywheel import steps
from flywheel.filters.length import Length
from flywheel.format.openai_chat import OpenaiChat
from flywheel.sources.openai_chat import OpenAIChat
from flywheel.synthesize.synthesizers.typos import Typos

armed, crashed = set(), []
KINDS = [
    lambda: RuntimeError(text),
    lambda: pl.exceptions.ComputeError(text),
    lambda: FileNotFoundError(2, "No such file or directory", text),
    lambda: UnicodeEncodeError("utf-8", text, 0, 1, text),
    lambda: FileNotFoundError(text),
    lambda: KeyError(text),
    lambda: OSError(36, "File name too long", text),
]


def crash_once(holder, name, *, called, get=getattr, put=setattr):
    """The function raises the first time, with record text in its message and in that of its cause."""
    original = get(holder, name)

    def crashing(*arguments, **named):
        if called in armed:
            armed.discard(called)
            crashed.append(called)
            try:
                raise ValueError(text)
            except ValueError as cause:
                raise KINDS[len(crashed) % len(KINDS)]() from cause
        return original(*arguments, **named)

    armed.add(called)
    put(holder, name, crashing)


for table in (steps._OF_ONE_DAY, steps._OF_ALL_DAYS):
    for kind in list(table):
        crash_once(table, kind, called=kind, get=dict.__getitem__, put=dict.__setitem__)
for module in (assets.ingest, assets.curate, assets.synthesize, assets.mix, assets.inspect):
    for name in [name for name in vars(module) if name.endswith("_facts")]:
        crash_once(module, name, called=f"{module.__name__}.{name}")
for plugin, method in ((OpenAIChat, "parse"), (Length, "score"), (Typos, "synthesize"), (OpenaiChat, "render")):
    crash_once(plugin, method, called=f"{plugin.__name__}.{method}")
never = set(armed) - set(json.loads(sys.argv[3])) - {name for name in armed if "." in name}
armed -= never

console = Console(highlight=False, width=200)
codes = []
for _ in range(40):
    codes.append(run(config, console=console, examples=3))
    if codes[-1] == 0:
        break
for day in ("2026-03-02", "2026-03-03"):  # another version of a table whose first one stays on disk
    steps.make(PROJECT, "scrubbed", day)
print(json.dumps({"armed": sorted(armed), "crashed": crashed, "codes": codes}))
'''


class Ran(NamedTuple):
    """A project after its crashes and the run that finished it, with the folders that its process wrote to."""

    project: Project
    home: Path
    printed: str
    told: dict[str, Any]


def echo(request: Request) -> Reply:
    return completion(f"In other words: {request.prompt[-300:]}")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = tmp_path_factory.mktemp("leaks")
    for folder in ("project", "tmp", "home"):
        (home / folder).mkdir()
    script, text = tmp_path_factory.mktemp("script") / "crashes.py", tmp_path_factory.mktemp("text") / "text"
    script.write_text(CRASHES, "utf-8")
    text.write_text("".join(json.dumps(entry(n, place)) for n, place in enumerate(PLACES[:8])), "utf-8")
    with ScriptedServer(echo) as server:
        project = write_project(home / "project", logs(), toml=TOML.format(url=server.url))
        kinds = json.dumps(sorted({name.partition("/")[0] for name in nodes(project.settings)}))
        where = {"TMPDIR": str(home / "tmp"), "HOME": str(home / "home"), "XDG_CACHE_HOME": str(home / "home" / "cache")}
        numba = {"NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", "")} if "NUMBA_CACHE_DIR" in os.environ else {}
        done = subprocess.run(
            [sys.executable, str(script), str(project.settings.path), str(text), kinds],
            cwd=home / "project",
            env=environment(PYTHONPATH=str(ROOT), NO_PROXY="127.0.0.1", FLYWHEEL_KEY="k" * 32, **where, **numba),
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        (home / "stdout.txt").write_text(done.stdout, "utf-8")
        (home / "stderr.txt").write_text(done.stderr, "utf-8")
        assert done.returncode == 0, re.sub(MARK, "…", done.stdout[-3000:] + done.stderr[-3000:])
        assert server.requests, "nobody asked the model"
        assert not [request for request in server.requests if MARK in request.prompt.lower()]
    return Ran(project, home, done.stdout + done.stderr, json.loads(done.stdout.splitlines()[-1]))


def searched() -> re.Pattern[bytes]:
    """The marker in letters, whole cards and phones however they are parted, and encodings and hashes of them.

    Their first digits alone would be found in the middle of many a 64-bit hash.
    """
    forms = [re.escape(MARK.encode()), MARK.encode().hex().encode()]
    for digits, further in ((CARD, 9), (PHONE, 4)):
        forms.append(
            rb"(?<!\d)(?:1[ -]?)?%b(?:[ -]?\d){%d}(?!\d)" % (rb"[ -]?".join(re.findall(rb"\d", digits.encode())), further)
        )
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + MARK.encode()).decode().rstrip("=")
        forms.append(re.escape(encoded[(0, 2, 3)[shift] : -1].encode()))
    for number in (*range(len(PLACES)), *range(100, 100 + len(PLACES))):
        for hashed in (hashlib.md5, hashlib.sha1, hashlib.sha256):
            forms.append(hashed(person(number).email.encode()).hexdigest()[:16].encode())
    return re.compile(b"|".join(forms), re.IGNORECASE)


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes as they are and, where they are packed, unpacked."""
    raw = path.read_bytes()
    yield raw
    if path.suffix == ".parquet":
        yield pl.read_parquet(path, hive_partitioning=False).write_ndjson().encode()
    elif raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)


def leaks(folder: Path, *, without: tuple[Path, ...] = ()) -> list[str]:
    """Where something was found: file and the bytes around it."""
    pattern = searched()
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or any(path.is_relative_to(one) for one in without):
            continue
        for held in contents(path):
            for match in list(pattern.finditer(held))[:2]:
                around = held[max(0, match.start() - 60) : match.end() + 60]
                found.append(f"{path.relative_to(folder)}: {around!r}")
    return found


def by_design(ran: Ran) -> tuple[Path, ...]:
    tables = Path(ran.project.tables.root) / "tables"
    return (ran.project.settings.root / "logs", *(tables / name for name in RAW))


def test_every_stage_crashed_once_with_record_text_in_its_message_and_was_finished_by_a_later_run(ran: Ran) -> None:
    kinds = {name.partition("/")[0] for name in nodes(ran.project.settings)} - {"rejected"}

    assert set(ran.told["armed"]) <= {"assets.mix.contamination_facts"}, "asked only where there are [[benchmarks]]"
    assert kinds <= set(ran.told["crashed"])
    assert {"OpenAIChat.parse", "Length.score", "Typos.synthesize", "OpenaiChat.render"} <= set(ran.told["crashed"])
    assert ran.told["codes"][-1] == 0
    assert ran.told["codes"].count(1) > 15
    for kind in ("cleaned", "scrubbed", "duplicates", "curated", "splits", "ledger"):
        assert re.search(rf": {kind} failed with \w+ at", ran.printed), kind


def test_no_byte_outside_the_originals_and_the_raw_tables_holds_anything_personal(ran: Ran) -> None:
    assert leaks(ran.home, without=by_design(ran)) == []


def test_what_was_searched_is_all_that_a_run_writes(ran: Ran) -> None:
    files = {str(path.relative_to(ran.project.settings.root)) for path in ran.project.settings.root.rglob("*") if path.is_file()}
    kinds = ("runs/.*[.]db", "history/.*[.]db", "answers[.]sqlite", "manifest[.]json", "README[.]md", "train[.]jsonl")

    for kind in (*kinds, "lineage[.]parquet", "tables/rejected/.*parquet", "tables/exits/.*parquet", "tables/ledger/.*parquet"):
        assert any(re.search(kind, name) for name in files), kind
    scrubbed = sum(1 for name in files if re.search("tables/scrubbed/.*parquet", name))
    assert scrubbed > len(ran.project.tables.partitions("scrubbed")), "old versions are there and were searched"
    reasons = set(ran.project.tables.read("exits")["reason"]) | set(ran.project.tables.read("rejected")["reason"])
    assert {"scrub_budget", "disliked", "not_json", "synthesizer_failed:UnicodeEncodeError"} & reasons >= {
        "scrub_budget",
        "disliked",
    }


def test_the_search_finds_what_is_there(ran: Ran) -> None:
    tables = Path(ran.project.tables.root) / "tables"

    for name in RAW:
        assert leaks(tables / name), name
    records = b"".join(held for path in (tables / "records").rglob("*.parquet") for held in contents(path)).decode(
        errors="replace"
    )
    missing = [place for number, place in enumerate(PLACES) if person(number).email not in records]
    assert set(missing) <= {"user", "refused", "session", "id"}, "in these places nothing is kept of it"
    for planted in (
        MARK.upper(),
        base64.b64encode(f"..{MARK}".encode()).decode(),
        "4929-7770 00000012",
        "+1 415 297 1000",
        "14152971000",
    ):
        assert searched().search(planted.encode()), planted
    assert not searched().search(b"-1176441529736731732,10004152971000999")
