"""Curated and synthetic records in, mixtures out: which share of which source a set is made from."""

from assets.expect import Rule, expectations
from assets.graph import PROJECT, node
from assets.ingest import UNIQUE
from flywheel.inspect.facts import duplicate_facts, record_facts
from flywheel.steps.contamination import contamination_facts

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

_DECONTAMINATED = {
    "no_benchmark_left": Rule(
        fact="contaminated", maximum=0, description="No row holds text of an evaluation set, looked for anew in the mixture."
    )
}


def _facts(name: str) -> dict[str, float]:
    facts = record_facts(PROJECT.tables, name) | duplicate_facts(PROJECT.tables, name)
    return facts | (contamination_facts(PROJECT, name) if PROJECT.settings.benchmarks else {})


checks = [
    expectations(
        name,
        lambda _, name=name: _facts(name),  # type: ignore[misc]
        {
            "ids_unique": UNIQUE,
            "no_duplicate_left": Rule(
                fact="remaining",
                maximum=0,
                description="No row repeats another, as duplicates are known now, whatever came late.",
            ),
            "every_row_has_a_split": Rule(fact="no_split", maximum=0, description="Every row is in train, validation or test."),
        }
        | (_DECONTAMINATED if PROJECT.settings.benchmarks else {}),
    )
    for name in _NAMES
]
