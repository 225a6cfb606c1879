"""Curated records to what people look at: the ledger, the profile, the coverage."""

import polars as pl
import pyarrow as pa

from flywheel.engine import Made
from flywheel.project import Project
from flywheel.schema import column

PROFILE = pa.schema(
    [
        column("metric", pa.string(), "what was measured"),
        column("label", pa.string(), "of what, or which quantile; empty for a total"),
        column("value", pa.float64(), "the number"),
    ]
)
TOPICS = pa.schema(
    [
        column("topic", pa.int64(), "0 is the largest, -1 has no words"),
        column("terms", pa.string(), "words that name it"),
        column("rows", pa.int64(), "sampled records in it"),
        column("share", pa.float64(), "of the sample"),
        column("feedback_rows", pa.int64(), "of them with any feedback"),
        column("multi_turn_share", pa.float64(), "of them with more than one turn"),
    ]
)
SAMPLE = 20_000


def ledger(project: Project, _: str, fingerprint: int) -> Made:
    """Where every log entry went."""
    from flywheel.inspect.funnel import compact, drop_reasons, funnel
    from flywheel.inspect.ledger import LEDGER, build_ledger, flows
    from flywheel.inspect.plots import funnel_chart, reasons_chart

    rows = build_ledger(project.tables, project.settings)
    written = project.tables.write("ledger", rows, schema=LEDGER, fingerprint=fingerprint)
    stages = funnel(flows(project.tables, project.settings))
    fates = dict(rows.group_by("fate").len().sort("fate").iter_rows())
    shown = {
        "funnel": compact(stages),
        "funnel_chart": funnel_chart(stages),
        "reasons_chart": reasons_chart(drop_reasons(stages)),
    }
    return Made("ledger", rows.height, written.rows, written.version, extra=fates | shown)


def profile(project: Project, _: str, fingerprint: int) -> Made:
    """Counts, shares and quantiles of the curated records."""
    from flywheel.inspect.plots import lengths_chart
    from flywheel.inspect.profile import profile as measure
    from flywheel.records import derive

    measured = measure(batch.drop("day") for batch in project.tables.batches("curated"))
    written = project.tables.write("profile", measured, schema=PROFILE, fingerprint=fingerprint)
    words = [derive(batch)["reply"].str.count_matches(r"\S+") for batch in project.tables.batches("curated")]
    chart = lengths_chart(pl.concat(words) if words else pl.Series([], dtype=pl.UInt32))
    rows = project.tables.rows("curated")
    return Made("profile", rows, written.rows, written.version, extra={"profile": measured, "reply_lengths": chart})


def coverage(project: Project, _: str, fingerprint: int) -> Made:
    """Topics of the curated prompts."""
    from flywheel.inspect.coverage import coverage as group
    from flywheel.inspect.coverage import draw
    from flywheel.inspect.plots import topics_chart

    sampled = draw((batch.drop("day") for batch in project.tables.batches("curated")), sample=SAMPLE)
    topics = group(sampled, sample=SAMPLE).topics
    written = project.tables.write("coverage", topics, schema=TOPICS, fingerprint=fingerprint)
    extra = {"topics": topics, "topics_chart": topics_chart(topics)}
    return Made("coverage", sampled.height, written.rows, written.version, extra=extra)


def agreement(project: Project, _: str, fingerprint: int) -> Made:
    """How far the annotators of each kind of feedback agree."""
    from flywheel.inspect.agreement import AGREEMENT
    from flywheel.inspect.agreement import agreement as measure

    rated = project.tables.scan("curated").filter(pl.col("feedback").list.len() > 1).drop("day").collect()
    measured = measure(rated)
    written = project.tables.write("agreement", measured, schema=AGREEMENT, fingerprint=fingerprint)
    return Made("agreement", rated.height, written.rows, written.version, extra={"agreement": measured})


def anonymity(project: Project, _: str, fingerprint: int) -> Made:
    """How many rows and people share each combination of quasi-identifiers."""
    from flywheel.inspect.anonymity import ANONYMITY, columns
    from flywheel.inspect.anonymity import anonymity as measure

    settings = project.settings.anonymity
    measured = measure(project.tables.batches("curated", columns=columns(settings)), settings=settings)
    written = project.tables.write("anonymity", measured, schema=ANONYMITY, fingerprint=fingerprint)
    extra = {"anonymity": measured, "k": settings.k}
    return Made("anonymity", project.tables.rows("curated"), written.rows, written.version, extra=extra)
