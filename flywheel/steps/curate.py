"""Conversations to curated ones: cleaned, scrubbed, signed, judged, deduplicated."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from flywheel import plugins
from flywheel.engine import Made, map_table
from flywheel.inspect.canaries import canary_report
from flywheel.ledger import Outcome, no_exits
from flywheel.plan import MARKER, content_fingerprints, digest63
from flywheel.project import Project
from flywheel.schema import without_column


def cleaned(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Repair one day's texts."""
    from flywheel.curate.clean import clean

    def stage(batch: pl.DataFrame) -> Outcome:
        return clean(batch, settings=project.settings.clean)

    return map_table(project.tables, "conversations", "cleaned", stage, fingerprint=fingerprint, day=day)


def scrubbed(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Replace one day's secrets and personal data."""
    from flywheel.curate.scrub import scrub

    found: dict[str, int] = {}

    def stage(batch: pl.DataFrame) -> Outcome:
        scrubbed = scrub(batch, settings=project.settings.scrub, key=project.key)
        for entity, count in scrubbed.findings.group_by("entity").agg(pl.col("count").sum()).iter_rows():
            found[entity] = found.get(entity, 0) + count
        return Outcome(scrubbed.kept, scrubbed.exits)

    made = map_table(project.tables, "cleaned", "scrubbed", stage, fingerprint=fingerprint, day=day)
    made.extra["replaced"] = dict(sorted(found.items()))
    made.extra["canaries"] = canary_report(project.settings, project.key)
    return made


def signatures(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Sign one day's conversations for the search for duplicates."""
    from flywheel.curate.dedup.signatures import SIGNATURES, sign

    def stage(batch: pl.DataFrame) -> Outcome:
        return Outcome(sign(batch, settings=project.settings.dedup), no_exits())

    return map_table(project.tables, "scrubbed", "signatures", stage, fingerprint=fingerprint, day=day, schema=SIGNATURES)


def verdicts(project: Project, name: str, day: str, fingerprint: int) -> Made:
    """Let one filter score one day's conversations."""
    from flywheel.curate.judge import VERDICTS, judge

    chosen = _filter(project, name)
    rows = kept = 0

    def verdicts() -> Iterator[pl.DataFrame]:
        nonlocal rows, kept
        for batch in project.tables.batches("scrubbed", day=day):
            judged = judge(batch.drop("day"), chosen)
            rows += judged.height
            kept += int(judged["keep"].sum())
            yield judged

    written = project.tables.write("verdicts", verdicts(), schema=VERDICTS, fingerprint=fingerprint, filter=name, day=day)
    return Made(
        f"verdicts/{name}", rows, rows, written.version, extra={"keeps": kept, "would_drop": rows - kept, "plugin": repr(chosen)}
    )


def review(project: Project, _: str, fingerprint: int) -> Made:
    """Say what becomes of each flagged record whose flag the policy does not drop, and list what waits for a decision."""
    from flywheel.curate.policy import REVIEW, check_masking, decide, write_review_list

    actions = project.settings.policy.held
    for name in [name for name, action in actions.items() if action == "mask"]:
        check_masking(name, _filter(project, name))
    flagged = project.tables.scan("verdicts").filter(~pl.col("keep")).select("id", "day", "filter", "score").collect()
    found = decide(flagged, actions=actions, decisions=project.decisions)
    frames = {day: found.filter(pl.col("day") == day) for day in found["day"].unique().sort()}
    fingerprints = content_fingerprints(found, project.tables.partitions("log_files")) | {MARKER: fingerprint}
    waiting = write_review_list(project.review_list, found, project.tables.scan("scrubbed"))
    written = project.tables.write_partitions("review", frames, schema=REVIEW, fingerprints=fingerprints)
    counts = found.group_by("flag", "policy", "action").agg(rows=pl.len()).sort("flag", "action")
    extra = {"actions": counts, "waiting": waiting, "review_list": str(project.review_list)}
    return Made("review", flagged.height, written.rows, written.version, extra=extra)


def _reviewed(project: Project, day: str | None = None) -> pl.DataFrame | None:
    """What is decided about flagged records, of one day or all; None where the policy only drops."""
    if not project.settings.policy.held:
        return None
    return project.tables.read("review") if day is None else project.tables.read("review", day=day)


def _filter(project: Project, name: str) -> Any:
    from flywheel.curate.label_rules import with_rules

    plugged = next(plugged for plugged in project.settings.filters if plugged.name == name)
    return plugins.build("filter", plugged.use, with_rules("filter", plugged.use, plugged.settings, project.settings.labels))


def duplicates(project: Project, _: str, fingerprint: int) -> Made:
    """Find the duplicates among all conversations that every filter keeps, so that no family loses its only good member."""
    from flywheel.curate.dedup.duplicates import DUPLICATES, find_duplicates
    from flywheel.curate.handover import HANDED_OVER, hand_over

    days = project.tables.partitions("log_files")
    unwanted = project.tables.scan("verdicts").filter(~pl.col("keep")).select("id", "day").unique()
    if (reviewed := _reviewed(project)) is not None:
        staying = reviewed.group_by("id", "day").agg(pl.col("action").is_in(["keep", "mask"]).all()).filter("action")
        unwanted = unwanted.join(staying.lazy(), on=["id", "day"], how="anti")
    signatures = project.tables.scan("signatures").join(unwanted, on=["id", "day"], how="anti")
    duplicates = find_duplicates(signatures, similarity=project.settings.dedup.similarity, scores=_scores(project))
    frames = {day: duplicates.filter(pl.col("day") == day).sort("id", "kept") for day in duplicates["day"].unique().sort()}
    handed = hand_over(duplicates, project.tables.scan("scrubbed"))
    handing = {day: handed.filter(pl.col("day") == day) for day in handed["day"].unique().sort()}
    fingerprints = content_fingerprints(duplicates, days) | {MARKER: fingerprint}
    for day, frame in handing.items():  # what a day's records take over is part of what its node is made from
        fingerprints[day] = digest63(fingerprints[day], frame.to_dicts())
    project.tables.write_partitions("handed_over", handing, schema=HANDED_OVER, fingerprints={MARKER: fingerprint})
    written = project.tables.write_partitions(
        "duplicates", frames, schema=without_column(DUPLICATES, "day"), fingerprints=fingerprints
    )
    reasons = dict(duplicates.group_by("reason").len().sort("reason").iter_rows())
    return Made("duplicates", project.tables.rows("signatures"), written.rows, written.version, extra=reasons)


def _scores(project: Project) -> pl.LazyFrame | None:
    """What decides which of two similar conversations stays, higher being better; None where the older one does."""
    dedup = project.settings.dedup
    if dedup.scored_by is None:
        return None
    scores = project.tables.scan("verdicts", filter=dedup.scored_by).select("id", "day", "score")
    return scores.with_columns(-pl.col("score")) if dedup.keep.startswith("-") else scores


def curated(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Keep one day's conversations that every filter keeps and that repeat no other."""
    from flywheel.curate.handover import take_over
    from flywheel.curate.judge import combine
    from flywheel.curate.policy import mask_flagged

    tables = project.tables
    verdicts = {plugged.name: tables.read("verdicts", filter=plugged.name, day=day) for plugged in project.settings.filters}
    duplicates = tables.read("duplicates", day=day)
    handed = tables.read("handed_over", day=day)
    reviewed = _reviewed(project, day)
    flags = [] if reviewed is None else reviewed.filter(action="mask")["flag"].unique().sort().to_list()
    masking = {name: _filter(project, name) for name in flags}

    def stage(batch: pl.DataFrame) -> Outcome:
        kept, left = combine(batch, verdicts, duplicates, review=reviewed)
        kept = take_over(kept, handed)
        if reviewed is None:
            return Outcome(kept, left)
        masked = mask_flagged(kept, masking, reviewed)
        return Outcome(masked.kept, pl.concat([left, masked.exits]))

    return map_table(tables, "scrubbed", "curated", stage, fingerprint=fingerprint, day=day)
