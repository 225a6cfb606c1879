"""Conversations to curated ones: cleaned, scrubbed, signed, judged, deduplicated."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from flywheel import plugins
from flywheel.engine import Made, map_table
from flywheel.inspect.canaries import canary_report
from flywheel.ledger import Outcome, no_exits
from flywheel.plan import MARKER, content_fingerprints
from flywheel.project import Project


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
    from flywheel.curate.dedup.increments import GROUP_ROWS
    from flywheel.curate.dedup.signatures import SIGNATURES, sign

    def stage(batch: pl.DataFrame) -> Outcome:
        return Outcome(sign(batch, settings=project.settings.dedup), no_exits())

    return map_table(
        project.tables,
        "scrubbed",
        "signatures",
        stage,
        fingerprint=fingerprint,
        day=day,
        schema=SIGNATURES,
        group_rows=GROUP_ROWS,
    )


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


def reviewed(project: Project, day: str | None = None) -> pl.DataFrame | None:
    """What is decided about flagged records, of one day or all; None where the policy only drops."""
    if not project.settings.policy.held:
        return None
    return project.tables.read("review") if day is None else project.tables.read("review", day=day)


def _filter(project: Project, name: str) -> Any:
    from flywheel.curate.label_rules import with_rules

    plugged = next(plugged for plugged in project.settings.filters if plugged.name == name)
    return plugins.build("filter", plugged.use, with_rules("filter", plugged.use, plugged.settings, project.settings.labels))


def curated(project: Project, _: str, day: str, fingerprint: int) -> Made:
    """Keep one day's conversations that every filter keeps and that repeat no other."""
    from flywheel.curate.handover import take_over
    from flywheel.curate.judge import combine
    from flywheel.curate.policy import mask_flagged

    tables = project.tables
    verdicts = {plugged.name: tables.read("verdicts", filter=plugged.name, day=day) for plugged in project.settings.filters}
    duplicates = tables.read("duplicates", day=day)
    handed = tables.read("handed_over", day=day)
    held = reviewed(project, day)
    flags = [] if held is None else held.filter(action="mask")["flag"].unique().sort().to_list()
    masking = {name: _filter(project, name) for name in flags}

    def stage(batch: pl.DataFrame) -> Outcome:
        kept, left = combine(batch, verdicts, duplicates, review=held)
        kept = take_over(kept, handed)
        if held is None:
            return Outcome(kept, left)
        masked = mask_flagged(kept, masking, held)
        return Outcome(masked.kept, pl.concat([left, masked.exits]))

    return map_table(tables, "scrubbed", "curated", stage, fingerprint=fingerprint, day=day)
