"""Checks of synthetic records, named by `verify` of a `[[synthesize]]` entry; one check a module."""

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from flywheel.errors import ConfigError
from flywheel.ledger import Outcome, exits, no_exits
from flywheel.records import from_batch, to_batch
from flywheel.synthesize.verification.contract import Check, Judge, Known

CHECKS = {
    "anomalies": "anomalies:Anomalies",
    "code_lints": "code:CodeLints",
    "code_parses": "code:CodeParses",
    "code_runs": "code:CodeRuns",
    "code_tests": "code:CodeTests",
    "math_answer": "math_answer:MathAnswer",
    "near_duplicates": "near_duplicates:NearDuplicates",
    "self_instruct": "self_instruct:SelfInstruct",
    "tool_calls": "tool_calls:ToolCalls",
}


def build_checks(entries: Sequence[str | Mapping[str, Any]]) -> list[Check]:
    """The checks that a configuration names: `"math_answer"`, or `{use = "code_tests", wall_seconds = 5}` with settings.

    Raises:
        ConfigError: a check is unknown, or a setting is unknown or has a wrong value.
    """
    return [_built(entry) for entry in entries]


def _built(entry: str | Mapping[str, Any]) -> Check:
    given = {"use": entry} if isinstance(entry, str) else dict(entry)
    name = given.pop("use", None)
    if name not in CHECKS:
        near = difflib.get_close_matches(str(name), CHECKS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"`verify` names no check {name!r}.{hint} There is {', '.join(CHECKS)}.")
    module, _, title = CHECKS[name].partition(":")
    cls = getattr(importlib.import_module(f"{__name__}.{module}"), title)
    if unknown := sorted(set(given) - set(cls.__dataclass_fields__)):
        raise ConfigError(f"check {name!r} has no setting {unknown[0]!r}; its settings: {', '.join(cls.__dataclass_fields__)}")
    try:
        check: Check = msgspec.convert(given, cls)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"check {name!r}: {error}") from None
    return check


def apply_checks(children: pl.DataFrame, judges: Sequence[Judge], known: Known, *, keep: bool = False) -> Outcome:
    """Keep the children in which no judge finds anything wrong; the others leave with the first reason.

    Each judge sees what the ones before it passed, so that the cheap checks spare the dear ones work.

    Args:
        children: records, in the order of the earlier calls with the same judges.
        judges: one a check, from `Check.judge()`; made once a run.
        known: parents and real records.
        keep: rows in which something is wrong stay too, with a tag `unverified=REASON`.
    """
    records = from_batch(children)
    wrong: dict[int, str] = {}
    for judge in judges:
        left = [at for at in range(len(records)) if at not in wrong]
        found = judge([records[at] for at in left], known)
        wrong |= {at: reason for at, reason in zip(left, found, strict=True) if reason is not None}
    if not wrong:
        return Outcome(children, no_exits())
    if keep:
        tagged = [
            msgspec.structs.replace(record, tags=(*record.tags, f"unverified={wrong[at]}")) if at in wrong else record
            for at, record in enumerate(records)
        ]
        return Outcome(to_batch(tagged), no_exits())
    stays = pl.Series([at not in wrong for at in range(len(records))], dtype=pl.Boolean)
    return Outcome(children.filter(stays), exits([records[at].id for at in sorted(wrong)], [wrong[at] for at in sorted(wrong)]))
