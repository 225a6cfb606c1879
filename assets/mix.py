"""Curated and synthetic records in, mixtures out: which share of which source a set is made from."""

from assets.expect import Rule, expectations
from assets.graph import PROJECT, node
from assets.ingest import UNIQUE
from flywheel.inspect.facts import duplicate_facts, record_facts
from flywheel.inspect.synthetic import cap_bounds, synthetic_facts
from flywheel.steps.contamination import contamination_facts

GROUP = "mix"

_MIXES = {f"mixture/{mix.name}": mix for mix in PROJECT.settings.mix}
_NAMES = list(_MIXES)

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
_CAPS = {
    "synthetic_share": ("synthetic_share_is_capped", "No more of the rows than configured are made by synthesizers."),
    "generation": ("generation_is_capped", "No row is more steps from a log than configured."),
    "terms_refused": (
        "model_terms_allow_training",
        "No row is made with a model whose terms forbid training on it, or are not stated in `outputs_may_train`, unless "
        "`[policy] model_terms` accepts them.",
    ),
}


def _caps(name: str) -> dict[str, Rule]:
    bounds = cap_bounds(_MIXES[name])
    return {
        check: Rule(fact=fact, maximum=bounds[fact], description=text) for fact, (check, text) in _CAPS.items() if fact in bounds
    }


def _facts(name: str) -> dict[str, float]:
    facts = record_facts(PROJECT.tables, name) | duplicate_facts(PROJECT.tables, name)
    facts |= synthetic_facts(PROJECT.tables, name, PROJECT.settings.policy)
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
        | _caps(name)
        | (_DECONTAMINATED if PROJECT.settings.benchmarks else {}),
    )
    for name in _NAMES
]
