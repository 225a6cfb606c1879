"""What repeats what, for people: clusters of records and passages, conflicts, benchmarks found, leaks between splits."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from flywheel.curate.dedup.prompts import conflicts
from flywheel.curate.dedup.similar import SIMILAR
from flywheel.project import Project
from flywheel.records import derive
from flywheel.schema import SCHEMA
from flywheel.sections import DuplicateRule

SHOWN_CHARACTERS = 100
_Who = tuple[str, str]


class Member(NamedTuple):
    """One record of a cluster: what it is to the one that stays, how similar, by which method, and how its text begins.

    `similarity` is null where none was measured. The preview is scrubbed text.
    """

    id: str
    day: str
    role: str
    similarity: float | None
    method: str
    preview: str


class Cluster(NamedTuple):
    """Records that belong together; `size` counts those that are not shown, too."""

    title: str
    size: int
    members: tuple[Member, ...]


class Section(NamedTuple):
    """One question answered: how many rows it is about in words, and its largest clusters."""

    title: str
    summary: str
    clusters: tuple[Cluster, ...]


def duplicates_report(project: Project, *, clusters: int = 10, members: int = 5) -> list[Section]:
    """The sections of `flywheel report duplicates`, those without a table left out.

    Args:
        clusters: of each section, the largest.
        members: of each cluster.
    """
    tables = project.tables
    sections = []
    if tables.exists("duplicates"):
        sections.append(_found_by_dedup(project, clusters, members))
    for rule in project.settings.duplicates:
        if tables.fingerprint("similar_pairs", rule=rule.name) is not None:
            sections.append(_found_by_rule(project, rule, clusters, members))
    if tables.exists("signatures") and tables.exists("curated"):
        sections.append(_conflicts(project, clusters, members))
    if project.settings.benchmarks and tables.exists("contamination"):
        sections.append(_benchmarks(project, clusters, members))
    if tables.exists("splits"):
        sections.append(_between_splits(project, clusters))
    return sections


def _found_by_dedup(project: Project, clusters: int, members: int) -> Section:
    found = project.tables.read("duplicates")
    counts = ", ".join(f"{reason} {count:,}" for reason, count in _counts(found["reason"]))
    largest = found.group_by("kept", "kept_day").len().sort("len", "kept", descending=[True, False]).head(clusters)
    wanted: list[_Who] = []
    rows: dict[_Who, list[tuple[_Who, str, float | None]]] = {}
    for kept, day, _ in largest.iter_rows():
        own = found.filter((pl.col("kept") == kept) & (pl.col("kept_day") == day)).sort("similarity", "id", nulls_last=True)
        rows[kept, day] = [
            ((row["id"], row["day"]), row["reason"], row["similarity"]) for row in own.head(members).iter_rows(named=True)
        ]
        wanted += [(kept, day), *(who for who, _, _ in rows[kept, day])]
    said = _previews(project, wanted)
    method = f"[dedup] word {project.settings.dedup.ngram}-grams"
    made = []
    for (kept, day, size), (_, others) in zip(largest.iter_rows(), rows.items(), strict=True):
        stays = Member(kept, day, "stays", None, method, said.get((kept, day), ""))
        gone = [Member(*who, reason, similarity, method, said.get(who, "")) for who, reason, similarity in others]
        made.append(Cluster(f"{size:,} for {kept}", size + 1, (stays, *gone)))
    summary = f"{found.height:,} records leave as duplicates" + (f": {counts}." if counts else ".")
    return Section("Duplicates by [dedup]", summary, tuple(made))


def _found_by_rule(project: Project, rule: DuplicateRule, clusters: int, members: int) -> Section:
    pairs = project.tables.read("similar_pairs", rule=rule.name)
    close = pairs.filter(pl.col("similarity") >= rule.threshold)
    groups = _groups(close)
    best: dict[_Who, tuple[float, str | None]] = {}
    for id, day, similarity, other in close.select("id", "day", "similarity", "other").iter_rows():
        best[id, day] = max(best.get((id, day), (0.0, None)), (similarity, other or "not known"))
    shown = sorted(groups, key=lambda group: (-len(group), group))[:clusters]
    place = {(row["id"], row["day"]): row for row in close.iter_rows(named=True)}
    said = _previews(project, [who for group in shown for who in group[:members]], place)
    made = []
    for group in shown:
        listed = [
            Member(
                *who,
                f"like {best[who][1]}" if who in best else "first",
                best[who][0] if who in best else None,
                rule.method,
                said[who],
            )
            for who in group[:members]
            if who in said
        ]
        made.append(Cluster(f"{len(group):,} records", len(group), tuple(listed)))
    summary = (
        f"{close.height:,} pairs of the level {rule.level} by {rule.method} from {rule.threshold:g} on, {pairs.height:,} from "
        f"its floor of {rule.least:g}; {close['id'].n_unique():,} records. Action: {rule.action}."
    )
    return Section(f"Duplicates by the rule {rule.name}", summary, tuple(made))


def _groups(pairs: pl.DataFrame) -> list[list[_Who]]:
    """Records that pairs connect, each group and its members in order of their ids; a record alone is one by itself."""
    parent: dict[Hashable, Hashable] = {}

    def root(who: Hashable) -> Hashable:
        while parent.setdefault(who, who) != who:
            parent[who] = parent[parent[who]]
            who = parent[who]
        return who

    for id, day, other, other_day in pairs.select("id", "day", "other", "other_day").iter_rows():
        root((id, day))
        if other is not None:
            parent[root((id, day))] = root((other, other_day))
    grouped: dict[Hashable, list[_Who]] = defaultdict(list)
    for who in sorted(parent, key=str):
        grouped[root(who)].append(who)  # type: ignore[arg-type]
    return list(grouped.values())


def _conflicts(project: Project, clusters: int, members: int) -> Section:
    found = conflicts(project.tables.scan("signatures"), project.tables.scan("curated").select("id", "day"))
    shown = found["prompt"].unique(maintain_order=True).head(clusters).to_list()
    groups: dict[int, list[_Who]] = {
        prompt: found.filter(pl.col("prompt") == prompt).select("id", "day").rows() for prompt in shown
    }
    said = _previews(project, [who for group in groups.values() for who in group[:members]])
    made = [
        Cluster(
            f"{len(group):,} answers to one prompt",
            len(group),
            tuple(Member(*who, "answer", None, "same messages before it", said.get(who, "")) for who in group[:members]),
        )
        for group in groups.values()
    ]
    stitched = project.tables.scan("curated").filter(pl.col("candidates").list.len() > 0).select(pl.len()).collect().item()
    summary = (
        f"{found['prompt'].n_unique():,} prompts are answered differently by {found.height:,} curated records, which all stay; "
        f"{stitched:,} more hold the other answers as candidates."
    )
    return Section("Conflicts: the same prompt, different answers", summary, tuple(made))


def _benchmarks(project: Project, clusters: int, members: int) -> Section:
    found = project.tables.read("contamination")
    rows = found.group_by("benchmark").agg(pl.col("row").n_unique(), pl.col("id").n_unique()).sort("benchmark")
    told = "; ".join(f"{name}: {row:,} of its rows in {ids:,} records" for name, row, ids in rows.iter_rows())
    largest = found.group_by("benchmark", "row").len().sort("len", "benchmark", "row", descending=[True, False, False])
    shown = [(name, row, size, found.filter((pl.col("benchmark") == name) & (pl.col("row") == row)).head(members))
             for name, row, size in largest.head(clusters).iter_rows()]  # fmt: skip
    said = _previews(project, [who for *_, own in shown for who in own.select("id", "day").rows()])
    made = []
    for name, row, size, own in shown:
        listed = [
            Member(one["id"], one["day"], "holds it", one["similarity"], one["method"], said.get((one["id"], one["day"]), ""))
            for one in own.iter_rows(named=True)
        ]
        made.append(Cluster(f"row {row} of {name}", size, tuple(listed)))
    return Section("Evaluation sets", (told or "No text of an evaluation set was found") + ".", tuple(made))


def _between_splits(project: Project, clusters: int) -> Section:
    """Pairs of the rules' evidence, from their floors on, whose records are in one test split or in two splits."""
    splits = project.tables.read("splits").select("id", "day", "split")
    pairs = project.tables.read("similar_pairs") if project.tables.exists("similar_pairs") else None
    if pairs is None:
        return Section("Between splits", "No [[duplicates]] rule has compared anything; one tells what test rows resemble.", ())
    placed = (
        pairs.select(*SIMILAR.names, "rule")
        .filter(pl.col("id").ne_missing(pl.col("other")))
        .join(splits, on=["id", "day"])
        .join(splits.rename({"id": "other", "day": "other_day", "split": "other_split"}), on=["other", "other_day"])
    )
    within = placed.filter((pl.col("split") == "test") & (pl.col("other_split") == "test"))
    across = placed.filter(pl.col("split") != pl.col("other_split")).sort("similarity", "id", descending=[True, False])
    shown = across.head(clusters)
    said = _previews(project, [who for row in shown.iter_rows(named=True) for who in _both(row)])
    made = []
    for row in shown.iter_rows(named=True):
        one, other = _both(row)
        first = Member(*other, row["other_split"], None, row["method"], said.get(other, ""))
        second = Member(*one, row["split"], row["similarity"], row["method"], said.get(one, ""))
        made.append(Cluster(f"{row['other_split']} and {row['split']}, by {row['rule']}", 2, (first, second)))
    summary = f"{within.height:,} pairs within test, {across.height:,} between two splits, from the rules' floors on."
    return Section("Between splits", summary, tuple(made))


def _both(row: Mapping[str, str]) -> tuple[_Who, _Who]:
    return (row["id"], row["day"]), (row["other"], row["other_day"])


def _previews(
    project: Project, wanted: Iterable[_Who], places: Mapping[_Who, Mapping[str, int]] | None = None
) -> dict[_Who, str]:
    """How each record's scrubbed text begins: its passage where a place is given, else what was asked and answered."""
    chosen = pl.DataFrame(sorted(set(wanted)), schema={"id": pl.String, "day": pl.String}, orient="row")
    rows = project.tables.scan("scrubbed").join(chosen.lazy(), on=["id", "day"], how="semi").collect()
    said = {}
    for row in derive(rows.select(*SCHEMA.names, "day")).iter_rows(named=True):
        who = (row["id"], row["day"])
        at = (places or {}).get(who)
        if at is not None and at["message"] is not None:
            parts = [part["text"] or "" for part in row["messages"][at["message"]]["content"]]
            text = "\n".join(parts) if at["part"] is None else parts[at["part"]][at["start"] : at["stop"]]
        else:
            text = f"{_short(row['prompt'], SHOWN_CHARACTERS // 2)} → {row['reply']}"
        said[who] = _short(text, SHOWN_CHARACTERS)
    return said


def _short(text: str, most: int) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= most else folded[:most].rstrip() + " …"


def _counts(values: pl.Series) -> Sequence[tuple[str, int]]:
    rows: list[tuple[str, int]] = values.value_counts().sort("count", values.name, descending=[True, False]).rows()
    return rows
