"""Curated and synthetic records in, mixtures out: which share of which source a set is made from."""

from assets.expect import Rule, expectations
from assets.graph import PROJECT, node
from assets.ingest import UNIQUE
from flywheel.inspect.facts import duplicate_facts, record_facts

GROUP = "mix"

_NAMES = [f"mixture/{mix.name}" for mix in PROJECT.settings.mix]

mixtures = [
    node(
        name,
        group=GROUP,
        kinds={"polars", "deltalake"},
        description="Rows of all sources in their configured shares, with splits.",
    )
    for name in _NAMES
]

checks = [
    expectations(
        name,
        lambda _, name=name: record_facts(PROJECT.tables, name) | duplicate_facts(PROJECT.tables, name),  # type: ignore[misc]
        {
            "ids_unique": UNIQUE,
            "no_duplicate_left": Rule(
                fact="remaining",
                maximum=0,
                description="No row repeats another, as duplicates are known now, whatever came late.",
            ),
            "every_row_has_a_split": Rule(fact="no_split", maximum=0, description="Every row is in train, validation or test."),
        },
    )
    for name in _NAMES
]
