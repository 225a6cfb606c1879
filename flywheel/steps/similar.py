"""The nodes `similar/NAME`: what each `[[duplicates]]` rule finds; and who leaves before the sets, for whatever reason."""

from collections.abc import Iterator

import polars as pl

from flywheel import plugins
from flywheel.engine import Made
from flywheel.project import Project
from flywheel.sections import DuplicateRule
from flywheel.steps.contamination import contaminated

TABLE = "similar_pairs"
_NO_PASSAGES = {"id": pl.String, "day": pl.String, "message": pl.Int64, "part": pl.Int64, "start": pl.Int64, "stop": pl.Int64}


def similar(project: Project, name: str, fingerprint: int) -> Made:
    """Compare what one rule is about, over all days, and keep every pair from the rule's floor on."""
    from flywheel.curate.dedup.similar import SIMILAR, find_similar, what_is_cut, who_leaves

    rule = next(rule for rule in project.settings.duplicates if rule.name == name)
    gone, rows = settled(project), 0

    def current() -> Iterator[pl.DataFrame]:
        nonlocal rows
        for batch in project.tables.batches("curated", columns=["id", "day", "created_at", "messages"]):
            staying = batch.join(gone, on=["id", "day"], how="anti", maintain_order="left")
            rows += staying.height
            yield staying

    method = plugins.similarity(rule.method, rule.settings, model=project.model)
    pairs = find_similar(current(), rule, method)
    written = project.tables.write(TABLE, pairs, schema=SIMILAR, fingerprint=fingerprint, rule=name)
    close = pairs.filter(pl.col("similarity") >= rule.threshold)
    extra: dict[str, object] = {"pairs_from_floor": pairs.height, "pairs_from_threshold": close.height}
    extra["records"] = close["id"].n_unique()
    if rule.action == "drop":
        extra["drops"] = who_leaves(pairs, rule).height
    elif rule.action == "cut":
        extra["cuts"] = what_is_cut(pairs, rule, gone).height
    return Made(f"similar/{name}", rows, written.rows, written.version, extra=extra)


def settled(project: Project) -> pl.DataFrame:
    """Who of `curated` left as a duplicate or for a benchmark: `id`, `day`, `reason`, `into`, `score`; one row a record."""
    repeated = project.tables.read("duplicates").select("id", "day", "reason", into="kept", score="similarity")
    return pl.concat([repeated, contaminated(project)], how="diagonal").unique(["id", "day"], keep="first")


def leaving(project: Project) -> pl.DataFrame:
    """Who of `curated` is in no set, as things stand now: those of `settled`, then those that a rule drops."""
    from flywheel.curate.dedup.similar import who_leaves

    dropped = [who_leaves(_pairs(project, rule), rule) for rule in project.settings.duplicates if rule.action == "drop"]
    return pl.concat([settled(project), *dropped]).unique(["id", "day"], keep="first", maintain_order=True)


def passages(project: Project, gone: pl.DataFrame) -> pl.DataFrame:
    """The passages that the rules cut out of the records that stay, `gone` being who leaves."""
    from flywheel.curate.dedup.similar import what_is_cut

    cuts = [what_is_cut(_pairs(project, rule), rule, gone) for rule in project.settings.duplicates if rule.action == "cut"]
    return pl.concat(cuts) if cuts else pl.DataFrame(schema=_NO_PASSAGES | {"rule": pl.String})


def _pairs(project: Project, rule: DuplicateRule) -> pl.DataFrame:
    return project.tables.read(TABLE, rule=rule.name)
