"""Conversations in, the ones worth training on out: cleaned, scrubbed, deduplicated, judged."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.expect import Rule, expectations
from assets.graph import DAILY, NODES, PROJECT, about, key, node, run_step, spec
from assets.ingest import SUMS, UNIQUE
from flywheel.inspect.canaries import canary_facts
from flywheel.inspect.facts import flow_facts, record_facts

GROUP = "curate"

cleaned = node(
    "cleaned",
    group=GROUP,
    kinds={"polars"},
    description="Conversations with broken Unicode, control characters, noise markup and stray whitespace repaired; code stays.",
)
scrubbed = node(
    "scrubbed",
    group=GROUP,
    kinds={"presidio"},
    description="Conversations whose secrets and personal data are placeholders or surrogates, the same throughout each.",
)
signatures = node(
    "signatures",
    group=GROUP,
    kinds={"numba"},
    description="MinHash signatures and shingle hashes: what a day costs later days in the search for duplicates.",
)
duplicates = node(
    "duplicates",
    group=GROUP,
    kinds={"numba"},
    description="Exact, near, prefix and same-id duplicates over all days: which, of whom, how similar. The oldest survives.",
)
curated = node(
    "curated",
    group=GROUP,
    kinds={"polars", "deltalake"},
    description="Conversations that every filter keeps and that repeat no other.",
)

similar = [
    node(
        f"similar/{rule.name}",
        group=GROUP,
        kinds={"numpy"},
        description=f"{about('similarity', rule.method)}\n\nPairs of the level {rule.level}, from similarity {rule.least:g} on; "
        f"from {rule.threshold:g} on: {rule.action}.",
    )
    for rule in PROJECT.settings.duplicates
]

_WHEN_CONFIGURED = {
    "review": "Flagged conversations that the policy masks, or keeps out until somebody decides; `review_list` has those.",
    "contamination": "Curated conversations that hold text of an evaluation set: which text, how much of it. They are in no set.",
}
when_configured = [
    node(name, group=GROUP, kinds={"polars"}, description=description)
    for name, description in _WHEN_CONFIGURED.items()
    if name in NODES
]

_VERDICTS = [f"verdicts/{plugged.name}" for plugged in PROJECT.settings.filters]


def _verdict_spec(name: str) -> dg.AssetSpec:
    plugged = next(plugged for plugged in PROJECT.settings.filters if f"verdicts/{plugged.name}" == name)
    settings = ", ".join(f"{setting} = {value!r}" for setting, value in plugged.settings.items()) or "its defaults"
    description = f"{about('filter', plugged.use)}\n\nThe filter `{plugged.use}`: score, keep. Settings: {settings}."
    return dg.AssetSpec(
        **spec(name, group=GROUP, kinds={"filter"}, description=description), skippable=True, partitions_def=DAILY
    )


@dg.multi_asset(name="judge", specs=[_verdict_spec(name) for name in _VERDICTS], can_subset=True)
def verdicts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
    """One node a configured filter, all from one step; a filter that fails leaves the others standing."""
    failures: list[str] = []
    for name in _VERDICTS:
        if key(name) in context.selected_asset_keys:
            try:
                yield run_step(context, name)
            except dg.Failure as failure:
                context.log.error(failure.description or name)
                failures.append(failure.description or name)
    if failures:
        raise dg.Failure("; ".join(failures), allow_retries=False)


def _flow(source: str, target: str) -> dg.AssetChecksDefinition:
    return expectations(target, lambda day: flow_facts(PROJECT.tables, source, target, day), {"rows_add_up": SUMS})


checks = [
    _flow("conversations", "cleaned"),
    expectations(
        "scrubbed",
        lambda day: flow_facts(PROJECT.tables, "cleaned", "scrubbed", day) | canary_facts(PROJECT.settings, PROJECT.key),
        {
            "rows_add_up": SUMS,
            "canaries_gone": Rule(
                fact="canaries_below_floor",
                maximum=0,
                description="Planted conversations with known personal data, scrubbed with the same settings: no entity's recall "
                "is below its floor, and few other words are gone. The node's metadata has the figures.",
            ),
        },
    ),
    expectations(
        "curated",
        lambda day: record_facts(PROJECT.tables, "curated", day) | flow_facts(PROJECT.tables, "scrubbed", "curated", day),
        {
            "ids_unique": UNIQUE,
            "no_empty_reply": Rule(
                fact="no_reply", maximum=0, description="Every conversation ends with an answer or a tool call."
            ),
            "rows_add_up": SUMS,
        },
    ),
]
