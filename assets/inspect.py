"""Where every row went, what the data is like, what it covers."""

from assets.expect import Rule, expectations
from assets.graph import PROJECT, node
from flywheel.inspect.ledger import ledger_facts

GROUP = "inspect"

ledger = node(
    "ledger",
    group=GROUP,
    kinds={"polars"},
    description="For every log entry where it went: rejected, dropped, merged or kept, at which stage, why, into what.",
)
profile = node(
    "profile", group=GROUP, kinds={"polars"}, description="What the curated records are like: turns, lengths, models, feedback."
)
coverage = node("coverage", group=GROUP, kinds={"numpy"}, description="Topics of the curated prompts and how many rows each has.")

agreement = node(
    "agreement",
    group=GROUP,
    kinds={"polars"},
    description="How far annotators agree, for each kind of feedback that several gave.",
)

anonymity = node(
    "anonymity",
    group=GROUP,
    kinds={"polars"},
    description="How many rows and people share each combination of app, model, day and masked entities: k-anonymity, a report.",
)

checks = [
    expectations(
        "ledger",
        lambda _: ledger_facts(PROJECT.tables, PROJECT.settings),
        {
            "every_entry_ends_once": Rule(
                fact="unaccounted", minimum=0, maximum=0, description="Entries read = entries in the ledger, each once."
            ),
            "every_stage_adds_up": Rule(
                fact="stages_that_do_not_add_up", maximum=0, description="At every stage, rows in = kept + dropped + merged."
            ),
        },
    ),
]
