"""Make the demo's logs, and planted.json with what is wrong in them: `python -m flywheel.demo.make_logs`.

Run by developers; its output is committed. The same seed gives the same files.
"""

import datetime as dt
import gzip
import itertools
import json
import random
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywheel.demo import DEMO, write
from flywheel.demo.talk import Call, Json, Teller, again, jaccard, trigrams

SEED = 20260302
DAYS = [dt.date(2026, 3, day) for day in (2, 3, 4, 5)]
# Conversations a day and application; the first of each are planted, the rest are ordinary.
_PLAN = {"support": 195, "langfuse": 48, "coding": 62, "cut": 0}
_PLANTED = {
    "support": {
        "personal": 38, "tool": 16, "candidates": 8, "regenerated": 4, "error": 5, "truncated": 5, "refusal": 8, "empty": 3,
        "control": 3, "repetitive": 3, "foreign": 4, "mojibake": 4, "html": 4, "secret": 4, "surrogate": 1,
    },
    "langfuse": {"personal": 10, "error": 2, "refusal": 2, "foreign": 2, "mojibake": 1},
    "coding": {"secret": 6, "error": 2, "truncated": 2, "empty": 1, "control": 1},
}  # fmt: skip
_ONE_TURN = {"error", "truncated", "refusal", "empty", "control", "repetitive", "mojibake", "html", "surrogate", "regenerated"}
_NOISE = {
    "not_json": b"2026-03-02 04:00:11 WARN worker restarted, 3 requests requeued",
    "nul": b"\x00" * 48,
    "not_chat": b'{"event":"healthcheck","ok":true,"uptime_s":86400}',
    "not_utf8": b'{"timestamp":"2026-03-02T04:00:12Z","note":"caf\xe9 \xff"}',
}


@dataclass
class Made:
    """Files by their path below logs/, and what each holds."""

    files: dict[str, bytes] = field(default_factory=dict)
    facts: dict[str, Json] = field(default_factory=dict)


def make(seed: int = SEED) -> tuple[Made, Json]:
    """All files and the planted facts."""
    teller, made = Teller(seed), Made()
    repeats: Json = {"exact_duplicates": [], "near_duplicates": [], "continued_sessions": []}
    talks: dict[tuple[dt.date, str], list[list[Call]]] = {}
    for day in DAYS:
        for app, count in _PLAN.items():
            talks[day, app] = _talks(teller, day, app, count)
        _plant_repeats(teller, day, talks, repeats)
    _continue_sessions(teller, talks, repeats)
    for (_, app), told in talks.items():
        _rate(teller.rng, app, [call for talk in told for call in talk])
    for day in DAYS:
        _write_day(teller, day, talks, made)
    _write_exports(teller, made)
    _redeliver(made, "2026-03-03/support-chat.jsonl.gz", "2026-03-05/backfill-0303.jsonl.gz")
    _redeliver(made, "2026-03-04/handover-messages.jsonl", "2026-03-05/handover-messages-copy.jsonl")
    _write_cut(teller, made)
    return made, _planted(seed, teller, talks, made, repeats)


def _talks(teller: Teller, day: dt.date, app: str, count: int) -> list[list[Call]]:
    spoken = "coding" if app == "coding" else "support"
    kinds = [kind for kind, times in _PLANTED.get(app, {}).items() for _ in range(times)]
    kinds += ["plain"] * (count - len(kinds))
    return [teller.talk(day, spoken, kind, turns=1 if kind in _ONE_TURN else None) for kind in kinds]


def _plant_repeats(teller: Teller, day: dt.date, talks: dict[tuple[dt.date, str], list[list[Call]]], repeats: Json) -> None:
    """Copies of this and earlier days' short conversations in this day's support log."""
    pool = [t for (_, app), told in talks.items() if app == "support" for t in told if len(t) == 1 and t[0].kind == "plain"]
    pool = [talk for talk in pool if len(trigrams(talk[0])) >= 60]
    chosen = teller.rng.sample(pool, 24)
    for number, talk in enumerate(chosen):
        kind = "exact" if number < 12 else "near"
        copy = again(teller, talk, max(day, talk[0].at.date()), kind)
        talks[day, "support"].append(copy)
        row: Json = {"id": copy[-1].id, "of": talk[-1].id}
        if kind == "near":
            row["jaccard"] = round(jaccard(trigrams(copy[-1]), trigrams(talk[-1])), 4)
        repeats[f"{kind}_duplicates"].append(row)


def _continue_sessions(teller: Teller, talks: dict[tuple[dt.date, str], list[list[Call]]], repeats: Json) -> None:
    """Some customers come back the next day to the same session, whose history is then repeated in that day's log."""
    for day, following in itertools.pairwise(DAYS):
        told = [talk for talk in talks[day, "support"] if len(talk) >= 3 and talk[0].kind == "plain"]
        for talk in teller.rng.sample(told, 3):
            tail = talk[len(talk) - 1 :]
            del talk[len(talk) - 1 :]
            for call in tail:
                call.at = call.at + (following - day)
            talks[following, "support"].append(tail)
            repeats["continued_sessions"].append({"session": tail[0].session, "ids": [talk[-1].id, tail[0].id]})


def _rate(rng: random.Random, app: str, calls: list[Call]) -> None:
    """Thumbs in the support log; in Langfuse two or three annotators who mostly agree, and an automatic score."""
    for call in calls:
        if call.reply is None or call.finish == "tool_calls":
            continue
        good = rng.random() < (0.1 if call.kind in ("empty", "truncated", "repetitive") else 0.8)
        if app == "support" and rng.random() < 0.14:
            comment = rng.choice([None, None, "solved it", "clear steps"] if good else [None, "wrong answer", "did not help"])
            given = {"name": "thumbs", "value": "up" if good else "down", "comment": comment, "at": write.iso(call.at)}
            call.feedback = [given]
        if app == "langfuse" and rng.random() < 0.7:
            for annotator in rng.sample(["annotator-1", "annotator-2", "annotator-3"], rng.choice([2, 2, 3])):
                label = "good" if good != (rng.random() < 0.1) else "bad"
                stamp = {"timestamp": write.iso(call.at), "source": "ANNOTATION", "dataType": "CATEGORICAL"}
                call.feedback.append({"name": "helpful", "value": None, "stringValue": label, "authorUserId": annotator} | stamp)
            score = {"name": "relevance", "value": round(rng.uniform(0.3, 1.0), 2), "dataType": "NUMERIC", "source": "EVAL"}
            call.feedback.append(score | {"timestamp": write.iso(call.at)})


def _write_day(teller: Teller, day: dt.date, talks: dict[tuple[dt.date, str], list[list[Call]]], made: Made) -> None:
    def in_order(app: str) -> list[Call]:
        return sorted((call for talk in talks[day, app] for call in talk), key=lambda call: (call.at, call.id))

    number = DAYS.index(day)
    support = in_order("support")
    suffix = ("", ".gz", ".zst", ".gz")[number]
    lines = [write.openai_chat(call) for call in support]
    _lines(teller, made, f"{day}/support-chat.jsonl{suffix}", "openai_chat", lines, support)
    coding = in_order("coding")
    batches = [coding[i : i + 3] for i in range(0, len(coding), 3)]
    _lines(teller, made, f"{day}/coding-helper.otlp.jsonl.gz", "otel_genai", [write.otlp(batch) for batch in batches], coding)
    traces = [write.langfuse(call) for call in in_order("langfuse")]
    if number == 1:
        body = json.dumps(traces, ensure_ascii=False, indent=1).encode()
        _file(made, f"{day}/langfuse-traces.json.gz", body, "langfuse", in_order("langfuse"), lines=len(traces), array=True)
    else:
        eol = b"\r\n" if number == 2 else b"\n"
        name = f"{day}/langfuse-traces.jsonl{'.gz' if number else ''}"
        _lines(
            teller, made, name, "langfuse", [write.dump(trace) for trace in traces], in_order("langfuse"), eol, bom=number == 2
        )


def _write_exports(teller: Teller, made: Made) -> None:
    kinds = ["personal"] * 20 + ["plain"] * 100
    told = [teller.talk(DAYS[2], "support", kind) for kind in kinds]
    name = "2026-03-04/handover-messages.jsonl"
    _lines(teller, made, name, "messages", [write.hf_messages(talk) for talk in told], [talk[-1] for talk in told])
    told = [teller.talk(DAYS[3], "support", kind) for kind in ["personal"] * 12 + ["plain"] * 68]
    body = json.dumps([write.sharegpt(talk) for talk in told], ensure_ascii=False, indent=1).encode()
    _file(made, "2026-03-05/legacy-sharegpt.json", body, "sharegpt", [talk[-1] for talk in told], lines=len(told), array=True)


def _lines(
    teller: Teller,
    made: Made,
    name: str,
    dialect: str,
    lines: list[bytes],
    calls: list[Call],
    eol: bytes = b"\n",
    bom: bool = False,
) -> None:
    """Write one file of lines, with broken ones between the good ones."""
    rng = teller.rng
    noise = [(kind, line) for kind, line in _NOISE.items() if rng.random() < 0.6]
    cut = rng.choice([line for line in lines if b"@example" not in line and b"FAKE" not in line])
    noise += [("cut_json", cut[: int(len(cut) * share)]) for share in (0.35, 0.8)]
    noise += [("blank", b""), ("blank", b"   "), ("blank", b"")]
    mixed = list(lines)
    for _, line in noise:
        mixed.insert(rng.randrange(1, len(mixed)), line)
    body = (b"\xef\xbb\xbf" if bom else b"") + eol.join(mixed) + eol
    broken = Counter(kind for kind, _ in noise)
    blank = broken.pop("blank")
    _file(made, name, body, dialect, calls, lines=len(mixed), blank=blank, broken=dict(broken), entries=len(lines))


def _file(made: Made, name: str, body: bytes, dialect: str, calls: list[Call], **facts: Any) -> None:
    made.files[name] = _packed(name, body)
    errors = sum(call.error is not None for call in calls)
    facts = {"blank": 0, "broken": {}, "entries": len(calls)} | facts
    made.facts[name] = {"dialect": dialect, "calls": len(calls), "errors": errors, "answered": len(calls) - errors} | facts


def _packed(name: str, body: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(body, 9, mtime=0)
    if name.endswith(".zst"):
        import zstandard

        return zstandard.ZstdCompressor(level=12).compress(body)
    return body


def _redeliver(made: Made, name: str, copy: str) -> None:
    made.files[copy] = made.files[name]
    made.facts[copy] = made.facts[name] | {"redelivery_of": name}


def _write_cut(teller: Teller, made: Made) -> None:
    """A transfer that broke off: a gzip file without its end. `answered` counts the lines that can still be read."""
    calls = [call for _ in range(40) for call in teller.talk(DAYS[3], "support")]
    packed = gzip.compress(b"\n".join(write.openai_chat(call) for call in calls) + b"\n", 9, mtime=0)
    packed = packed[: len(packed) * 6 // 10]
    whole = zlib.decompressobj(31).decompress(packed).count(b"\n")
    name = "2026-03-05/cut-transfer.jsonl.gz"
    made.files[name] = packed
    made.facts[name] = {"dialect": "openai_chat", "calls": len(calls), "errors": 0, "answered": whole, "entries": whole}
    made.facts[name] |= {"blank": 0, "broken": {"cut_json": 1}, "lines": whole + 1, "truncated_file": True}


def _planted(seed: int, teller: Teller, talks: dict[tuple[dt.date, str], list[list[Call]]], made: Made, repeats: Json) -> Json:
    kinds: dict[str, list[str]] = defaultdict(list)
    for told in talks.values():
        for talk in told:
            kinds[talk[-1].kind].append(talk[-1].id)
    plain = kinds.pop("plain")
    fresh = [facts for facts in made.facts.values() if "redelivery_of" not in facts]
    personal: dict[str, dict[str, str]] = defaultdict(dict)
    for (kind, value), where in sorted(teller.planted.values.items()):
        personal[kind][value] = " ".join(sorted(where))
    return {
        "about": "Made by flywheel/demo/make_logs.py. Ids are those of the last call of a conversation; in OpenAI logs they "
        "follow `chatcmpl-`, in OpenTelemetry they are span ids, in Langfuse observation ids. "
        "`lines` of an array are its elements.",
        "seed": seed,
        "days": [str(day) for day in DAYS],
        "totals": {
            "files": len(made.files),
            "lines": sum(facts["lines"] for facts in made.facts.values()),
            "answered_calls": sum(facts["answered"] for facts in fresh),
            "failed_calls": sum(facts["errors"] for facts in fresh),
            "ordinary_conversations": len(plain),
            "personal_values": {kind: len(values) for kind, values in personal.items()},
        },
        "counts": {kind: len(ids) for kind, ids in sorted(kinds.items())},
        "files": dict(sorted(made.facts.items())),
        "kinds": dict(sorted(kinds.items())),
        **repeats,
        "personal": personal,
    }


def main() -> None:
    """Replace logs/ and planted.json beside this file."""
    made, planted = make()
    logs = DEMO / "logs"
    for old in sorted(logs.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    for name, body in made.files.items():
        path = Path(logs, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (DEMO / "planted.json").write_text(json.dumps(planted, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(made.files)} files, {sum(map(len, made.files.values())):,} bytes, {planted['totals']}")


if __name__ == "__main__":
    main()
