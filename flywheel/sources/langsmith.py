"""LangSmith runs, from the API, the bulk export or the SDK's own `post`/`patch` batches.

Source: langchain-ai/langsmith-sdk `python/langsmith/schemas.py` at bc8dd67.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from flywheel.errors import Rejected
from flywheel.records import Feedback, Record
from flywheel.sources.anything import read_anything
from flywheel.sources.chat import tool_schemas, usage
from flywheel.sources.envelope import labels, to_record
from flywheel.sources.feedback import feedback_beside
from flywheel.sources.several import several
from flywheel.sources.values import decoded, first, has_keys, items, mapping, moment, scalar, string

__all__ = ["LangSmith"]


@dataclass(frozen=True)
class LangSmith:
    """One record an `llm` run; chains, tools and retrievers are skipped: the runs inside them repeat what they held."""

    specificity: ClassVar[int] = 50

    def sniff(self, head: bytes) -> bool:
        """Runs have a run type."""
        return has_keys(head, "run_type") and not has_keys(head, "resourceSpans")

    def parse(self, entry: Any) -> Iterator[Record]:
        """The records of the entry's model runs, in its order.

        Raises:
            Rejected: `no_llm_run`; where every model run failed to map, the first one's reason.
        """
        return several(_runs(entry), _record, none="no_llm_run")


def _runs(entry: Any) -> Iterator[dict[str, Any]]:
    """Every `llm` run; a batch's `patch` completes the run of the same id that its `post` began."""
    pending = deque(items(entry) or [entry])
    while pending:
        run = mapping(pending.popleft())
        if isinstance(run.get("post"), list) or isinstance(run.get("patch"), list):
            pending.extendleft(reversed(_merged(items(run.get("post")), items(run.get("patch")))))
            continue
        pending.extendleft(reversed(items(run.get("runs")) + items(run.get("child_runs"))))
        if run.get("run_type") == "llm":
            yield run


def _merged(begun: list[Any], ended: list[Any]) -> list[Any]:
    merged = [dict(mapping(run)) for run in begun]
    for patch in map(mapping, ended):
        keys = ("id", "dotted_order", "trace_id")
        mine = next((run for run in merged if any(run.get(key) and run.get(key) == patch.get(key) for key in keys)), None)
        if mine is None:
            merged.append(dict(patch))
        else:
            mine |= {key: value for key, value in patch.items() if value not in (None, {}, [])}
    return list(merged)


def _record(run: dict[str, Any]) -> Record:
    told = mapping(decoded(run.get("outputs")))
    if run.get("error") and not told:
        raise Rejected("http_error")
    exchange = read_anything(run.get("inputs"), told)
    extra = mapping(decoded(run.get("extra")))
    metadata, parameters = mapping(extra.get("metadata")), mapping(extra.get("invocation_params"))
    spent = first(told, "usage_metadata", "usage") or mapping(told.get("llm_output")).get("token_usage")
    offered = first(parameters, "tools", "functions")
    return to_record(
        replace(
            exchange,
            model=exchange.model or string(first(metadata, "ls_model_name")) or string(parameters.get("model")),
            usage=exchange.usage or usage(spent) or usage(run),
            tools=exchange.tools or (tool_schemas(offered) if offered else ()),
        ),
        {},
        id=scalar(run.get("id")) or "",
        created_at=moment(run.get("start_time")),
        session=scalar(first(metadata, "session_id", "conversation_id", "thread_id") or run.get("trace_id")),
        user=scalar(first(metadata, "user_id", "user")),
        app=scalar(first(run, "session_name")),
        feedback=(*feedback_beside(run), *_averages(run.get("feedback_stats"))),
        tags=tuple(dict.fromkeys(labels(run.get("tags"), metadata))),
    )


def _averages(stats: Any) -> Iterator[Feedback]:
    """The export keeps each key's average, not its single scores."""
    for key, stat in mapping(decoded(stats)).items():
        if value := scalar(first(mapping(stat), "avg", "value")):
            yield Feedback(name=key, value=value)
