"""The bundled logs hold what planted.json says; tests of other stages build on these facts."""

import itertools
import json
import re
import zlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard

from flywheel.demo import DEMO
from flywheel.demo.make_logs import make
from flywheel.demo.people import luhn
from flywheel.settings import load_settings

LOGS = DEMO / "logs"
PLANTED: dict[str, Any] = json.loads((DEMO / "planted.json").read_text("utf-8"))
FILES: dict[str, Any] = PLANTED["files"]


def unpacked(name: str, body: bytes) -> bytes:
    if name.endswith(".gz"):
        return zlib.decompressobj(31).decompress(body)
    return zstandard.ZstdDecompressor().decompress(body) if name.endswith(".zst") else body


@cache
def text_of(name: str) -> str:
    return unpacked(name, (LOGS / name).read_bytes()).decode("utf-8", "replace")


def entries(name: str) -> list[Any]:
    """The good JSON objects of a file, whatever its dialect."""
    text = text_of(name).removeprefix("\ufeff")
    if text.startswith("["):
        return list(json.loads(text))
    found = []
    for line in text.split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [entry for entry in found if "event" not in entry and "note" not in entry]


def chats(name: str) -> list[tuple[str, str, str]]:
    """Session, id and what was said in each answered call, without system prompts."""
    rows: list[tuple[str, str, list[str | None]]] = []
    for entry in entries(name):
        match FILES[name]["dialect"]:
            case "openai_chat" if "choices" in entry["response"]:
                messages = [*entry["request"]["messages"], entry["response"]["choices"][0]["message"]]
                said = [message["content"] for message in messages if message["role"] != "system"]
                rows.append((entry["metadata"]["session"], entry["response"]["id"].removeprefix("chatcmpl-"), said))
            case "langfuse" if entry["output"]:
                generation = entry["observations"][0]
                said = [
                    message["content"] for message in [*generation["input"], generation["output"]] if message["role"] != "system"
                ]
                rows.append((entry["sessionId"], generation["id"], said))
            case "otel_genai":
                rows += [span for span in map(_span, entry["resourceSpans"][0]["scopeSpans"][0]["spans"]) if span]
            case "messages":
                said = [message["content"] for message in entry["messages"] if message["role"] != "system"]
                rows.append((f"{name} {len(rows)}", f"{name} {len(rows)}", said))
            case "sharegpt":
                rows.append((entry["id"], entry["id"], [turn["value"] for turn in entry["conversations"]]))
    return [(session, id, " ".join(text or "" for text in said)) for session, id, said in rows]


def _span(span: Any) -> tuple[str, str, list[str | None]] | None:
    told = {attribute["key"]: attribute["value"].get("stringValue") for attribute in span["attributes"]}
    if "gen_ai.output.messages" not in told:
        return None
    messages = json.loads(told["gen_ai.input.messages"]) + json.loads(told["gen_ai.output.messages"])
    said = [message["parts"][0]["content"] for message in messages if message["role"] != "system"]
    return told["gen_ai.conversation.id"], span["spanId"], said


def trigrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def test_every_file_is_there_and_all_are_small() -> None:
    found = {str(path.relative_to(LOGS)): path for path in LOGS.rglob("*") if path.is_file()}

    assert sorted(found) == sorted(FILES)
    assert sum(path.stat().st_size for path in found.values()) < 3_000_000
    assert {facts["dialect"] for facts in FILES.values()} == {"openai_chat", "otel_genai", "langfuse", "messages", "sharegpt"}


def test_the_generator_makes_these_files_again() -> None:
    made, planted = make()

    assert planted == PLANTED
    whole = [name for name in FILES if "truncated_file" not in FILES[name]]
    assert [name for name in whole if unpacked(name, made.files[name]) != unpacked(name, (LOGS / name).read_bytes())] == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_has_as_many_lines_answers_and_blanks_as_stated(name: str) -> None:
    facts = FILES[name]
    lines = entries(name) if facts.get("array") else text_of(name).removesuffix("\n").split("\n")

    assert len(chats(name)) == facts["answered"]
    assert len(lines) == facts["lines"] == facts["entries"] + facts["blank"] + sum(facts["broken"].values())
    assert sum(isinstance(line, str) and not line.strip() for line in lines) == facts["blank"]


def test_totals_are_the_sums_of_the_files() -> None:
    ids = Counter(id for name in FILES if "redelivery_of" not in FILES[name] for _, id, _ in chats(name))

    assert max(ids.values()) == 1
    assert len(ids) == PLANTED["totals"]["answered_calls"]
    assert 2000 <= len(ids) <= 4000
    assert sum(facts["lines"] for facts in FILES.values()) == PLANTED["totals"]["lines"]


def test_every_planted_personal_value_and_secret_is_in_the_logs() -> None:
    # User ids are exempt: some belong to calls behind the end of the cut file.
    everything = "\n".join(text_of(name) for name in FILES)
    missing = {
        kind: absent
        for kind, values in PLANTED["personal"].items()
        if kind != "user_id" and (absent := [value for value in values if value not in everything])
    }

    assert missing == {}
    assert {kind: len(values) for kind, values in PLANTED["personal"].items()} == PLANTED["totals"]["personal_values"]


def test_planted_values_belong_to_nobody() -> None:
    personal = PLANTED["personal"]

    assert all(luhn(re.sub(r"\D", "", card)) == 0 for card in personal["card"])
    assert all(re.fullmatch(r"[^@]+@example\.(com|org|net)", email) for email in personal["email"])
    assert all(re.search(r"555-01\d\d$|020 7946 0\d{3}$|7700 900\d{3}$", phone) for phone in personal["phone"])
    assert all(re.fullmatch(r"9\d\d-[1-4]\d-\d{4}", ssn) for ssn in personal["ssn"])
    secrets = {"aws_key", "github_token", "openai_key", "url_password", "password", "bearer"}
    assert secrets <= set(personal)
    assert all("FAKE" in value for kind, values in personal.items() if kind in secrets for value in values)


def conversations() -> dict[str, tuple[str, str]]:
    """The longest answered call of each session: session -> id and text."""
    longest: dict[str, tuple[str, str]] = {}
    for name, facts in FILES.items():
        if "redelivery_of" not in facts:
            for session, id, text in chats(name):
                if len(text) >= len(longest.get(session, ("", ""))[1]):
                    longest[session] = (id, text)
    return longest


def test_duplicates_are_the_planted_ones_and_no_others() -> None:
    told = list(conversations().values())
    grams = [trigrams(text) for _, text in told]
    shared: dict[tuple[str, ...], list[int]] = {}
    for place, found in enumerate(grams):
        for gram in found:
            shared.setdefault(gram, []).append(place)
    overlap: Counter[tuple[int, int]] = Counter()
    for places in shared.values():
        if len(places) <= 60:  # phrases of the grammar; a pair that overlaps by three quarters shares rarer ones too
            overlap.update(itertools.combinations(places, 2))
    families: dict[str, str] = {}
    for row in PLANTED["exact_duplicates"] + PLANTED["near_duplicates"]:
        families[row["id"]] = row["of"]
    strangers = []
    for (one, other), _ in overlap.most_common():
        if len(grams[one] & grams[other]) >= 0.75 * len(grams[one] | grams[other]):
            first, second = told[one][0], told[other][0]
            if families.get(first, first) != families.get(second, second):
                strangers.append((first, second))

    assert strangers == []


def test_planted_duplicates_overlap_as_stated() -> None:
    texts = {id: text for name in FILES for _, id, text in chats(name)}

    for row in PLANTED["exact_duplicates"]:
        assert texts[row["id"]] == texts[row["of"]]
    for row in PLANTED["near_duplicates"]:
        one, other = trigrams(texts[row["id"]]), trigrams(texts[row["of"]])
        assert texts[row["id"]] != texts[row["of"]]
        assert len(one & other) / len(one | other) == pytest.approx(row["jaccard"], abs=1e-3)
        assert row["jaccard"] > 0.85


def test_each_planted_fault_is_where_it_is_said_to_be() -> None:
    texts = {id: text for name in FILES for _, id, text in chats(name)}
    signs = {
        "control": r"<\|im_end\|>|\[INST\]|<\|eot_id\|>|<start_of_turn>",
        "html": r"<div dir=",
        "mojibake": "â€™",
        "surrogate": "\ud83d",
        "secret": "FAKE",
        "repetitive": r"(.{3,}?\. )\1{9}",
    }

    for kind, sign in signs.items():
        assert PLANTED["kinds"][kind], kind
        assert [id for id in PLANTED["kinds"][kind] if not re.search(sign, texts[id], re.DOTALL)] == [], kind
    assert not set(PLANTED["kinds"]["error"]) & set(texts)
    assert {kind: len(ids) for kind, ids in PLANTED["kinds"].items()} == PLANTED["counts"]


def test_a_redelivered_file_has_the_same_bytes_and_the_cut_one_has_no_end() -> None:
    for name, facts in FILES.items():
        if "redelivery_of" in facts:
            assert (LOGS / name).read_bytes() == (LOGS / facts["redelivery_of"]).read_bytes()
    cut = zlib.decompressobj(31)
    cut.decompress((LOGS / "2026-03-05/cut-transfer.jsonl.gz").read_bytes())
    assert not cut.eof


def test_the_demo_project_is_a_valid_configuration() -> None:
    settings = load_settings(DEMO / "flywheel.toml")

    assert [chosen.name for chosen in settings.sets] == ["chat", "trl", "completion"]
    assert all(Path(name).parts[0] >= settings.project.start for name in FILES)
