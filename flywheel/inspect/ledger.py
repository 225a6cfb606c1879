"""The ledger: for every log entry where it went, and the sums that prove that none is missing."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl
import pyarrow as pa

from flywheel.engine import ALL_DAYS
from flywheel.inspect.funnel import Step, check_sums, funnel
from flywheel.ledger import exits, no_exits
from flywheel.schema import column
from flywheel.settings import Settings
from flywheel.tables import Tables

LEDGER = pa.schema(
    [
        column("file", pa.string(), "the log file, as in `log_files`"),
        column("offset", pa.int64(), "byte offset of the entry in the unpacked stream"),
        column("day", pa.string(), "the file's day"),
        column("id", pa.string(), "the record that the entry gave; null for a rejected one"),
        column("fate", pa.string(), "`kept` (in at least one set), `dropped`, `merged` or `rejected`"),
        column("stage", pa.string(), "where it left; null for a kept one"),
        column("reason", pa.string(), "why; null for a kept one"),
        column("into", pa.string(), "the id that stays, for a merged one or a duplicate"),
        column("score", pa.float64(), "what was measured, where something was"),
        column("masked", pa.list_(pa.string()), "for a kept one: the filters that took something out of its text"),
        column("sets", pa.list_(pa.string()), "the training sets that hold it"),
    ]
)
DAILY_STAGES = ("records", "conversations", "cleaned", "scrubbed", "curated")


def build_ledger(tables: Tables, settings: Settings) -> pl.DataFrame:
    """One row an entry that was read, in the order of day, file, offset. Blank lines are counted in `reads` alone.

    An entry that gave several records has a row for each. A record that passed every stage but that no set took is
    `dropped` where the first of them left it.

    Memory: one short row an entry, no text.
    """
    records = tables.scan("records").select("id", "day", pl.col("source").struct.field("file", "offset"))
    repeats = (
        tables.scan("repeats").select("id", "day", "file", "offset", "reason", "outcome").with_columns(stage=pl.lit("records"))
    )
    daily = (
        tables.scan("exits")
        .filter(pl.col("stage").is_in(DAILY_STAGES[1:]))
        .select("id", "day", "stage", "outcome", "reason", "into", "score")
        .unique(["id", "day"], keep="first")
    )
    taken, refused = _sets(tables, settings)
    read = (
        records.join(daily, on=["id", "day"], how="left")
        .join(_masked(tables, settings), on=["id", "day"], how="left")
        .join(taken.lazy(), on="id", how="left")
        .join(refused.lazy(), on="id", how="left", suffix="_late")
        .with_columns(gone=pl.col("stage").is_not_null(), held=pl.col("sets").list.len().fill_null(0) > 0)
    )
    late = ~pl.col("gone") & ~pl.col("held")
    outcome = pl.when("gone").then("outcome").when(pl.col("held")).then(pl.lit("kept")).otherwise(pl.lit("dropped"))
    left_at = [pl.when(late).then(f"{name}_late").otherwise(name).alias(name) for name in ("stage", "reason", "into", "score")]
    of_kept = [pl.when(~pl.col("gone")).then(name).alias(name) for name in ("masked", "sets")]
    kept_or_left = read.select("file", "offset", "day", "id", outcome.alias("fate"), *left_at, *of_kept)
    repeated = repeats.select("file", "offset", "day", "id", "stage", "reason", fate="outcome", into="id")
    rejected = tables.scan("rejected").select("file", "offset", "day", "reason", fate=pl.lit("rejected"), stage=pl.lit("records"))
    ledger = pl.concat([kept_or_left, repeated, rejected], how="diagonal")
    return ledger.select(LEDGER.names).sort("day", "file", "offset", "id", nulls_last=True).collect()


def _masked(tables: Tables, settings: Settings) -> pl.LazyFrame:
    """`id`, `day` and `masked`, the flags that were taken out of its text."""
    if not settings.policy.held:
        return pl.LazyFrame(schema={"id": pl.String, "day": pl.String, "masked": pl.List(pl.String)})
    flags = tables.scan("review").filter(pl.col("action") == "mask")
    return flags.group_by("id", "day").agg(masked=pl.col("flag").sort())


def _sets(tables: Tables, settings: Settings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Which sets hold an id (`id`, `sets`), and where the first set that does not lost it (`id`, `stage`, `reason`, ...)."""
    members, refusals = [], []
    left = tables.read("exits", day=ALL_DAYS).select("id", "stage", "reason", "into", "score")
    for chosen in settings.sets:
        mixture, own = f"mixture/{chosen.mix}", f"training_set/{chosen.name}"
        refused = left.filter(pl.col("stage").is_in([mixture, own]))
        refusals.append(refused)
        ids = tables.scan(mixture).select("id").collect().join(refused, on="id", how="anti")
        members.append(ids.with_columns(sets=pl.lit(chosen.name)))
    held = (
        pl.concat(members).group_by("id").agg("sets")
        if members
        else pl.DataFrame(schema={"id": pl.String, "sets": pl.List(pl.String)})
    )
    lost = pl.concat(refusals).unique("id", keep="first", maintain_order=True) if refusals else left.clear()
    return held, lost


def flows(tables: Tables, settings: Settings) -> list[Step]:
    """Every stage of the project in order, as the tables have it now; stages that were never made are left out."""
    return [flow for flow in _flows(tables, settings) if flow is not None]


def _flows(tables: Tables, settings: Settings) -> Iterator[Step | None]:
    yield _reading(tables)
    for source, target in pairwise(DAILY_STAGES):
        yield _flow(tables, target, [source])
    if settings.synthesize:
        yield _flow(tables, "verified", [f"synthetic/{entry.name}" for entry in settings.synthesize])
    for mix in settings.mix:
        yield _flow(tables, f"mixture/{mix.name}", list(mix.take))
    for chosen in settings.sets:
        yield _flow(tables, f"training_set/{chosen.name}", [f"mixture/{chosen.mix}"])


def _reading(tables: Tables) -> Step | None:
    if not tables.exists("reads"):
        return None
    entries = tables.scan("reads").select((pl.col("records") + pl.col("rejected")).sum()).collect().item()
    rejected = tables.read("rejected")
    repeats = tables.read("repeats")
    left = pl.concat(
        [
            exits(pl.Series([""] * rejected.height), rejected["reason"]),
            repeats.select("id", "outcome", "reason", into="id", score=pl.lit(None, pl.Float64)),
        ]
    )
    return Step("records", int(entries or 0), tables.rows("records"), left)


def _flow(tables: Tables, stage: str, sources: Sequence[str]) -> Step | None:
    if stage.startswith("training_set/"):
        own = {"set": stage.removeprefix("training_set/")}
        if not tables.fingerprint("training_sets", **own):
            return None
        kept = int(tables.scan("training_sets", version=None, **own).select(pl.col("rows").sum()).collect().item() or 0)
    elif tables.exists(stage):
        kept = tables.rows(stage)
    else:
        return None
    rows_in = sum(_available(tables, source, stage) for source in sources)
    left = tables.read("exits", stage=stage) if tables.exists("exits") else no_exits()
    return Step(stage, rows_in, kept, left.select(no_exits().columns))


def _available(tables: Tables, source: str, stage: str) -> int:
    """Rows that a stage takes in from a source; a mixture sees only the verified ones of a synthesizer."""
    if not (source.startswith("synthetic/") and stage.startswith("mixture/")):
        return tables.rows(source)
    own = pl.col("origin") == source.replace("/", ":")
    return int(tables.scan("verified").filter(own).select(pl.len()).collect().item())


def ledger_facts(tables: Tables, settings: Settings) -> dict[str, float]:
    """`entries`, `unaccounted` = entries read - entries in the ledger, and `stages_that_do_not_add_up`."""
    entries = tables.scan("reads").select((pl.col("records") + pl.col("rejected")).sum()).collect().item() or 0
    wrong = {problem.partition(":")[0] for problem in check_sums(funnel(flows(tables, settings)))}
    return {
        "entries": float(entries),
        "unaccounted": float(entries - tables.rows("ledger")),
        "stages_that_do_not_add_up": float(len(wrong)),
    }
