"""Splits first, so that no test row ever seeds a synthesizer."""

from assets.expect import Rule, expectations
from assets.graph import PROJECT, about, node
from flywheel.inspect.facts import split_facts

GROUP = "synthesize"

splits = node(
    "splits",
    group=GROUP,
    kinds={"polars"},
    description="Train, validation and test, by family: records linked by ancestry, session or duplication stay together.",
)

synthetic = [
    node(
        f"synthetic/{entry.name}",
        group=GROUP,
        kinds={"openai"} if PROJECT.settings.model else {"python"},
        description=f"{about('synthesizer', entry.use)}\n\nWhat the synthesizer `{entry.use}` makes of train records: children "
        "with their lineage, yield and cost.",
    )
    for entry in PROJECT.settings.synthesize
]
if synthetic:
    synthetic.append(
        node(
            "verified",
            group=GROUP,
            kinds={"polars"},
            description="Synthetic records that hold every rule and pass the checks of their entry. No others are mixed.",
        )
    )

checks = [
    expectations(
        "splits",
        lambda _: split_facts(PROJECT.tables),
        {
            "no_family_straddles": Rule(fact="straddling", maximum=0, description="No family has rows in two splits."),
            "no_prompt_leaks": Rule(
                fact="leaking", maximum=0, description="Nothing that a test or validation row asks is asked in a training row."
            ),
        },
    ),
]
