"""Log files in, conversations out."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.expect import Rule, expectations
from assets.graph import DAILY, PROJECT, key, node, report_step, run_step, spec
from flywheel.inspect.facts import file_facts, flow_facts, reading_facts, record_facts

GROUP = "ingest"
UNIQUE = Rule(fact="repeated_ids", maximum=0, description="No id stands twice.")
SUMS = Rule(fact="unaccounted", minimum=0, maximum=0, description="Every row that came in was kept, dropped or merged.")

log_files = node(
    "log_files",
    group=GROUP,
    kinds={"file"},
    description="Every log file: address, day, size, sha256. Originals are registered here and never touched.",
)
_READ = {
    "records": "Log entries of every dialect as records of one schema. What does not parse goes to `rejected`.",
    "rejected": "Log entries that are no record: file, offset, length and reason, never their text.",
}


@dg.multi_asset(
    name="read",
    specs=[
        dg.AssetSpec(
            **spec(name, group=GROUP, kinds={"json", "deltalake"}, description=text), skippable=True, partitions_def=DAILY
        )
        for name, text in _READ.items()
    ],
    can_subset=True,
)
def records(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
    """One pass over a day's files makes both; asked for one, it makes both."""
    results = {"records": run_step(context, "records"), "rejected": report_step(context, "rejected")}
    for name, result in results.items():
        if key(name) in context.selected_asset_keys:
            yield result


conversations = node(
    "conversations",
    group=GROUP,
    kinds={"polars", "deltalake"},
    description="Requests that repeat their history, stitched into threads; a regenerated answer becomes a candidate.",
)

checks = [
    expectations(
        "log_files",
        lambda _: file_facts(PROJECT.tables),
        {
            "every_file_can_be_read": Rule(
                fact="problems",
                maximum=0,
                blocking=False,
                description="No file is unreadable, undated or outside of the project's days.",
            ),
        },
    ),
    expectations(
        "records",
        lambda day: record_facts(PROJECT.tables, "records", day) | reading_facts(PROJECT.tables, str(day)),
        {
            "ids_unique": UNIQUE,
            "every_record_has_messages": Rule(
                fact="no_messages", maximum=0, description="A record without messages is no record."
            ),
            "lines_add_up": Rule(
                fact="unaccounted", minimum=0, maximum=0, description="Lines = accepted + rejected + blank, for every file."
            ),
            "few_lines_rejected": Rule(
                fact="rejected_share", maximum=0.1, blocking=False, description="At most a tenth of the lines does not parse."
            ),
        },
    ),
    expectations(
        "conversations",
        lambda day: flow_facts(PROJECT.tables, "records", "conversations", day),
        {"rows_add_up": SUMS},
    ),
]
