"""How many records share the same quasi-identifiers: facts that name nobody, but single somebody out when put together."""

from collections.abc import Iterable, Sequence

import polars as pl
import pyarrow as pa

from flywheel.records import derive
from flywheel.schema import column
from flywheel.sections import Anonymity

_PLACEHOLDER = r"<([A-Z][A-Z0-9_]*)_\d{1,9}>"
_COLUMNS = {
    "app": pl.col("app"),
    "model": pl.col("model"),
    "session": pl.col("session"),
    "day": pl.col("created_at").dt.strftime("%Y-%m-%d"),
    "hour": pl.col("created_at").dt.strftime("%Y-%m-%d %H"),
    "weekday": pl.col("created_at").dt.strftime("%a"),
    "tags": pl.col("tags").list.sort().list.join(" "),
    "entities": pl.col("text")
    .str.extract_all(_PLACEHOLDER)
    .list.eval(pl.element().str.extract(_PLACEHOLDER))
    .list.unique()
    .list.sort()
    .list.join(" "),
}
KNOWN = (*_COLUMNS, "language")
_NOT_STATED = "(none)"
ANONYMITY = pa.schema(
    [
        column("quasi_identifiers", pa.string(), "which facts, or all together"),
        column("classes", pa.int64(), "different values that rows have of them"),
        column("smallest_k", pa.int64(), "rows of the smallest class"),
        column("rows_below_k", pa.int64(), "rows in classes of fewer than `[anonymity] k` rows"),
        column("smallest_users", pa.int64(), "people in the smallest class"),
        column("rows_below_k_users", pa.int64(), "rows in classes of fewer than that many people"),
    ]
)


def columns(settings: Anonymity) -> list[str]:
    """The columns of a record that `anonymity` looks at."""
    looked_at = {root for name in settings.quasi_identifiers for root in _roots(name)} | {"user"}
    return sorted(looked_at - {"text"} | ({"messages"} if "text" in looked_at else set()))


def _roots(name: str) -> list[str]:
    return _COLUMNS[name].meta.root_names() if name in _COLUMNS else ["text"]


def anonymity(records: pl.DataFrame | Iterable[pl.DataFrame], *, settings: Anonymity) -> pl.DataFrame:
    """The sizes of the equivalence classes of each quasi-identifier, and of all of them together.

    An equivalence class is the rows that agree in every quasi-identifier; a table is k-anonymous when none has fewer than k.
    `entities` is which kinds of values were masked in the text, `language` what `py3langid` takes it for. A value that is
    missing counts as one of its own.

    This measures columns and nothing that the texts tell: whoever knows a person's story finds it in a class of any size, and a
    class whose rows all say the same gives it away (no l-diversity). It does not show that a set is anonymous.

    Memory: one short text a quasi-identifier and row.

    Args:
        records: whole records, or their `columns`.

    Returns:
        One row a quasi-identifier, the last for all together (`a + b`): the number of `classes`, `smallest_k` in rows and
        `rows_below_k`, the rows in classes of fewer than `settings.k`; then the same counted in people (`smallest_users`,
        `rows_below_k_users`), because one person's rows do not hide that person. All rows without a user count as one person,
        which is the least that they can be. No rows give no classes, and null for the smallest.

    Source: Samarati and Sweeney, "Protecting Privacy when Disclosing Information: k-Anonymity and Its Enforcement through
        Generalization and Suppression", 1998.
    """
    names = list(settings.quasi_identifiers)
    batches = [records] if isinstance(records, pl.DataFrame) else records
    facts = [_facts(batch, names) for batch in batches]
    schema = dict.fromkeys([*names, "user"], pl.String)
    rows = pl.concat([pl.DataFrame(schema=schema), *facts])
    chosen = [[name] for name in names] + ([names] if len(names) > 1 else [])
    return pl.DataFrame([_classes(rows, each, settings.k) for each in chosen], schema=pl.Schema(ANONYMITY), orient="row")


def _facts(batch: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    derived = derive(batch) if "messages" in batch.columns else batch
    wanted = [_COLUMNS[name].cast(pl.String).fill_null(_NOT_STATED).alias(name) for name in names if name in _COLUMNS]
    facts = derived.select(*wanted, pl.col("user").fill_null(_NOT_STATED))
    if "language" in names:
        import py3langid

        spoken = [py3langid.classify(text[:2000])[0] if text.strip() else _NOT_STATED for text in derived["text"]]
        facts = facts.with_columns(language=pl.Series(spoken, dtype=pl.String))
    return facts.select(*names, "user")


def _classes(rows: pl.DataFrame, names: Sequence[str], k: int) -> tuple[str, int, int | None, int, int | None, int]:
    sizes = rows.group_by(names).agg(_rows=pl.len().cast(pl.Int64), _users=pl.col("user").n_unique().cast(pl.Int64))
    below = [int(sizes.filter(pl.col(counted) < k)["_rows"].sum()) for counted in ("_rows", "_users")]
    least = sizes.select(pl.col("_rows", "_users").min()).row(0)
    return (" + ".join(names), sizes.height, least[0], below[0], least[1], below[1])
