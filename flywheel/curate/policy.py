"""What becomes of a record that a filter flags: `drop`, `mask` or `review`, as `[policy]` says; people's decisions come back."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec
import polars as pl
import pyarrow as pa

from flywheel.curate.judge import judge
from flywheel.errors import ConfigError, PluginError
from flywheel.ledger import Outcome, exits
from flywheel.plugins import Filter
from flywheel.records import Candidate, Message, Record, derive, from_batch, to_batch
from flywheel.schema import column

REVIEW = pa.schema(
    [
        column("id", pa.string(), "the record that was flagged"),
        column("flag", pa.string(), "the filter that flags it, by its name in the configuration"),
        column("score", pa.float64(), "what the filter measured"),
        column("policy", pa.string(), "`mask` or `review`, as `[policy.actions]` says of the flag"),
        column("decision", pa.string(), "what somebody decided: `keep`, `mask` or `drop`; null while nobody has"),
        column("action", pa.string(), "what is done: `keep`, `mask`, `drop`, or `review` while it waits for a decision"),
    ]
)
DECISIONS = ("keep", "mask", "drop")
MASKED = "masked="
LIST_COLUMNS = ("id", "flag", "decision", "score", "day", "prompt", "reply")
_DECIDED = {"id": pl.String, "flag": pl.String, "decision": pl.String}


@runtime_checkable
class Masking(Protocol):
    """A filter that can take what it flags out of a text; needed for `mask`."""

    def mask(self, texts: pl.Series) -> pl.Series:
        """The texts, each with what the filter flags replaced; the score of what is left must be one that it keeps."""
        ...


def read_decisions(path: Path) -> pl.DataFrame:
    """People's decisions from an annotated review list, CSV or JSON Lines: `id`, `flag`, `decision`; other columns are ignored.

    Rows without a decision are left out, and the last one for an id and flag holds. No file is no decision.

    Raises:
        ConfigError: the file cannot be read, lacks a column, or holds another decision; the message quotes no row.
    """
    if not path.exists():
        return pl.DataFrame(schema=_DECIDED)
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            rows: list[dict[str, Any]] = [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        found = pl.DataFrame([{name: row[name] for name in _DECIDED} for row in rows], schema=_DECIDED)
    except (ValueError, csv.Error, pl.exceptions.PolarsError, TypeError):
        raise ConfigError(f"[policy] decisions: {path} is neither CSV nor JSON Lines with {', '.join(_DECIDED)}.") from None
    except KeyError as missing:
        raise ConfigError(f"[policy] decisions: {path} has no column {missing}; it needs {', '.join(_DECIDED)}.") from None
    found = found.with_columns(pl.col("decision").str.strip_chars().str.to_lowercase().replace("", None)).drop_nulls()
    if wrong := found.with_row_index("row", 1).filter(~pl.col("decision").is_in(DECISIONS))["row"].to_list():
        raise ConfigError(f"[policy] decisions: decision {wrong[0]} of {path} is none of {', '.join(DECISIONS)}.")
    return found.unique(["id", "flag"], keep="last", maintain_order=True)


def decide(verdicts: pl.DataFrame, *, actions: Mapping[str, str], decisions: pl.DataFrame) -> pl.DataFrame:
    """What is done with each record that a flag of `mask` or `review` holds and that no other filter drops.

    Args:
        verdicts: `id`, `day`, `filter`, `score` of every record that a filter does not keep.
        actions: policy by filter; `drop` where none is given.
        decisions: from `read_decisions`; they outrank the policy.

    Returns:
        `day` and the columns of `REVIEW`, in the order of day, id, flag.
    """
    policy = pl.col("filter").replace_strict(dict(actions), default="drop", return_dtype=pl.String)
    flagged = verdicts.with_columns(policy=policy)
    dropped = flagged.filter(policy="drop").select("id", "day").unique()
    held = flagged.filter(pl.col("policy") != "drop").join(dropped, on=["id", "day"], how="anti").rename({"filter": "flag"})
    decided = held.join(decisions, on=["id", "flag"], how="left").with_columns(action=pl.coalesce("decision", "policy"))
    return decided.select("day", *REVIEW.names).sort("day", "id", "flag")


def mask_flagged(records: pl.DataFrame, filters: Mapping[str, Filter], review: pl.DataFrame) -> Outcome:
    """Take what filters flag out of the texts of the records whose action is `mask`; each gets a tag `masked=FLAG`.

    Every text part, reasoning and candidate is masked. A record that is still flagged afterwards leaves with the flag as its
    reason, so that what stays holds nothing that the filter would flag.

    Raises:
        PluginError: a filter cannot mask, or failed at it.
    """
    left = exits([], [])
    for name, chosen in filters.items():
        wanted = review.filter(flag=name, action="mask").select("id")
        rows = records.with_row_index("_row").join(wanted, on="id", how="semi")
        if rows.is_empty():
            continue
        masked = to_batch(_masked(record, name, chosen) for record in from_batch(rows.drop("_row")))
        verdict = judge(masked, chosen)
        still = verdict.filter(~pl.col("keep"))
        left = pl.concat([left, exits(still["id"], name, score=still["score"])])
        changed = masked.with_columns(_row=rows["_row"]).filter(verdict["keep"])
        others = records.with_row_index("_row").join(wanted, on="id", how="anti")
        records = pl.concat([others.select(changed.columns), changed]).sort("_row").select(records.columns)
    return Outcome(records, left)


def check_masking(name: str, chosen: Filter) -> Masking:
    """The filter, when it can mask.

    Raises:
        PluginError: it cannot; the message says what to do.
    """
    if not isinstance(chosen, Masking):
        raise PluginError(
            f'filter {type(chosen).__name__} cannot mask what it flags, which [policy.actions] {name} = "mask" asks for. '
            "Choose drop or review, or a filter with a method `mask`."
        )
    return chosen


def _masked(record: Record, name: str, chosen: Filter) -> Record:
    masking = check_masking(name, chosen)

    def text(written: str | None) -> str | None:
        if not written:
            return written
        try:
            answer = masking.mask(pl.Series([written], dtype=pl.String))
            assert len(answer) == 1
            return str(answer[0])
        except Exception as error:  # its message may quote the record
            raise PluginError(f"filter {type(chosen).__name__}: mask() failed with {type(error).__name__}.") from None

    def messages(given: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(
            msgspec.structs.replace(
                message,
                content=tuple(msgspec.structs.replace(part, text=text(part.text)) for part in message.content),
                reasoning=text(message.reasoning),
            )
            for message in given
        )

    candidates: tuple[Candidate, ...] = tuple(
        msgspec.structs.replace(one, messages=messages(one.messages)) for one in record.candidates
    )
    tags = (*record.tags, f"{MASKED}{name}")
    return msgspec.structs.replace(record, messages=messages(record.messages), candidates=candidates, tags=tags)


def write_review_list(path: Path, review: pl.DataFrame, records: pl.LazyFrame) -> int:
    """Write what waits for a decision, with its scrubbed text, as CSV or JSON Lines by the path's suffix; how many rows.

    Somebody fills in `decision` and saves it where `[policy] decisions` points to.
    """
    waiting = review.filter(action="review")
    texts = derive(records.join(waiting.lazy().select("id", "day"), on=["id", "day"], how="semi").collect())
    listed = waiting.join(texts.select("id", "day", "prompt", "reply"), on=["id", "day"], how="left", maintain_order="left")
    listed = listed.with_columns(decision=pl.lit("")).select(LIST_COLUMNS)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    if path.suffix == ".jsonl":
        listed.write_ndjson(new)
    else:
        listed.write_csv(new)
    new.replace(path)
    return listed.height
