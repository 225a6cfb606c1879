"""The search for duplicates of all days: of a day that is new or changed, and of what is connected with it; else of everything.

What was searched is noted in the commit of the table `duplicates`, as fingerprints: `searched` is the way of searching,
`searched/version` the version of `signatures`, `searched/DAY` what a day's rows were made from.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from flywheel.curate.handover import HANDED_OVER, hand_over
from flywheel.engine import Made
from flywheel.plan import MARKER, Plan, content_fingerprints, digest63
from flywheel.project import Project
from flywheel.schema import without_column
from flywheel.steps.curate import reviewed
from flywheel.tables import NotMade, Overtaken, Tables

_SEARCHED, _VERSION = "searched", "version"


class _Input(NamedTuple):
    """What there is to search: the way of searching, the version of `signatures`, what each day's rows were made from."""

    way: int
    version: int
    days: dict[str, int]


class _Result(NamedTuple):
    """What a search says of some days, and how many rows it looked at.

    `since`: the versions of `duplicates` and `handed_over` that it goes on from; None when it goes on from nothing.
    """

    duplicates: pl.DataFrame
    handed: pl.DataFrame
    days: list[str]
    rows: int
    since: tuple[int | None, int | None] | None


def duplicates(project: Project, _: str, fingerprint: int) -> Made:
    """Find the duplicates among all conversations that every filter keeps, so that no family loses its only good member.

    A day that is new, changed or gone costs its own work and look-ups in the signatures of the others; the result is that of a
    search from scratch. Everything is searched where that is less work, and where the search before is of no use: its settings
    were others, or the old signatures of a changed day are deleted.
    """
    there = _input(project)
    result = _continued(project, there)
    if result is not None:
        try:
            return _write(project, there, result, fingerprint)
        except Overtaken:  # what this one goes on from is no longer what the table says
            pass
    return _write(project, there, _from_scratch(project, there), fingerprint)


def _input(project: Project) -> _Input:
    plan, tables = Plan(project), project.tables
    node = plan.nodes["duplicates"]
    plan.expected(node.name)  # reads all fingerprints before any data: a day that changes in between is changed the next time
    version = tables.version("signatures")
    if version is None:
        raise NotMade("table 'signatures' has not been made yet; `flywheel run` makes it")
    days = tables.partitions("signatures", version=version)
    return _Input(
        way=digest63(node.version, node.inputs, tables.identity("signatures")),
        version=version,
        days={day: digest63(*(plan.stored(source, day) for source in node.inputs)) for day in days},
    )


def _continued(project: Project, there: _Input) -> _Result | None:
    """The result of the search before, brought up to date; None where a search from scratch is due."""
    from flywheel.curate.dedup.increments import find_again, unless_again

    tables = project.tables
    since = (tables.version("duplicates"), tables.version("handed_over"))
    known = tables.fingerprints("duplicates")
    version = known(of=_SEARCHED, what=_VERSION)
    if known(of=_SEARCHED) != there.way or version is None or known() != tables.fingerprint("handed_over"):
        return None
    changed = _changed(tables, there, known, version)
    before = None if changed is None else _signatures_before(tables, version, changed)
    if changed is None or before is None:
        return None
    again = find_again(
        tables.scan("signatures", version=there.version),
        before=before,
        changed=changed,
        pick=lambda days, exact: tables.pick("signatures", "exact", exact, partitions=("day", days), version=there.version),
        wanted=functools.partial(_wanted, project),
        similarity=project.settings.dedup.similarity,
        scores=_scores(project),
    )
    if again is None:
        return None
    there_before = tables.scan("duplicates").filter(_on(again.days)).collect()
    told_before = tables.scan("handed_over").filter(_on(again.days), ~pl.col("given_on").is_in(changed)).collect()
    told_before = told_before.join(again.rows, left_on=["given_by", "given_on"], right_on=["id", "day"], how="anti")
    told = hand_over(again.duplicates, tables.scan("scrubbed"))
    return _Result(
        duplicates=unless_again(there_before, again, changed),
        handed=pl.concat([told_before.select(told.columns), told]).sort("day", "id", "given_on", "given_by"),
        days=again.days,
        rows=again.rows.height,
        since=since,
    )


def _from_scratch(project: Project, there: _Input) -> _Result:
    from flywheel.curate.dedup.duplicates import find_duplicates

    tables = project.tables
    signatures = tables.scan("signatures", version=there.version)
    similarity = project.settings.dedup.similarity
    found = find_duplicates(_wanted(project, signatures), similarity=similarity, scores=_scores(project))
    rows = int(signatures.select(pl.len()).collect().item())
    return _Result(found, hand_over(found, tables.scan("scrubbed")), list(there.days), rows, None)


def _changed(tables: Tables, there: _Input, known: Callable[..., int | None], version: int) -> list[str] | None:
    """The days whose rows are not those that were searched before; None where that cannot be told any more."""
    from deltalake.exceptions import DeltaError

    try:
        seen = set(tables.partitions("signatures", version=version))
    except DeltaError:  # the table's log does not reach back that far
        return None
    changed = {day for day, made_from in there.days.items() if day not in seen or known(of=_SEARCHED, day=day) != made_from}
    return sorted(changed | (seen - set(there.days)))


def _signatures_before(tables: Tables, version: int, days: list[str]) -> pl.DataFrame | None:
    """What is connected through the rows that some days had in the search before; None where their files are deleted."""
    from flywheel.curate.dedup.increments import KEYS

    try:
        return tables.scan("signatures", version=version).filter(_on(days)).select(KEYS).collect()
    except OSError:
        return None


def _on(days: list[str]) -> pl.Expr:
    return pl.col("day").is_in(days)


def _wanted(project: Project, signatures: pl.LazyFrame, days: list[str] | None = None) -> pl.LazyFrame:
    """Of the signatures, of some days or all, those of records that every filter keeps or that people decided to keep."""
    filters = [plugged.name for plugged in project.settings.filters]
    unwanted = project.tables.scan("verdicts").filter(~pl.col("keep"), pl.col("filter").is_in(filters))
    if days is not None:
        unwanted = unwanted.filter(_on(days))
    unwanted = unwanted.select("id", "day").unique()
    if (held := reviewed(project)) is not None:
        staying = held.group_by("id", "day").agg(pl.col("action").is_in(["keep", "mask"]).all()).filter("action")
        unwanted = unwanted.join(staying.lazy(), on=["id", "day"], how="anti")
    return signatures.join(unwanted, on=["id", "day"], how="anti")


def _scores(project: Project) -> pl.LazyFrame | None:
    """What decides which of two similar conversations stays, higher being better; None where the older one does."""
    dedup = project.settings.dedup
    if dedup.scored_by is None:
        return None
    scores = project.tables.scan("verdicts", filter=dedup.scored_by).select("id", "day", "score")
    return scores.with_columns(-pl.col("score")) if dedup.keep.startswith("-") else scores


def _write(project: Project, there: _Input, result: _Result, fingerprint: int) -> Made:
    from flywheel.curate.dedup.duplicates import DUPLICATES

    tables = project.tables
    known = tables.fingerprints("duplicates")
    unmade = [day for day in tables.partitions("log_files") if result.since is None or known(day=day) is None]
    found, handed = (frame.partition_by("day", as_dict=True) for frame in (result.duplicates, result.handed))
    fingerprints = content_fingerprints(result.duplicates, sorted({*result.days, *unmade}))
    for (day,), frame in handed.items():  # what a day's records take over is part of what its node is made from
        fingerprints[day] = digest63(fingerprints[day], frame.to_dicts())
    fresh = [day for day, made_from in fingerprints.items() if result.since is None or known(day=day) != made_from]
    handing = {day: handed.get((day,), result.handed.clear()) for day in fresh}
    frames = {day: found.get((day,), result.duplicates.clear()) for day in fresh}
    searched = {f"{_SEARCHED}/{day}": made_from for day, made_from in there.days.items()}
    searched |= {_SEARCHED: there.way, f"{_SEARCHED}/{_VERSION}": there.version}
    since, since_handed = result.since or (None, None)
    tables.write_partitions("handed_over", handing, schema=HANDED_OVER, fingerprints={MARKER: fingerprint}, since=since_handed)
    written = tables.write_partitions(
        "duplicates",
        frames,
        schema=without_column(DUPLICATES, "day"),
        fingerprints=fingerprints | searched | {MARKER: fingerprint},
        since=since,
    )
    counted = tables.scan("duplicates", version=written.version).group_by("reason").len().sort("reason").collect()
    reasons = dict(counted.iter_rows())
    extra = reasons | {"searched_rows": result.rows}
    return Made("duplicates", tables.rows("signatures"), sum(reasons.values()), written.version, extra=extra)
