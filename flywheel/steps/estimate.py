"""What a run is about to spend on models, told before it starts."""

from collections.abc import Iterable, Iterator

import polars as pl

from flywheel import plugins
from flywheel.project import Project
from flywheel.records import from_batch
from flywheel.schema import SCHEMA
from flywheel.synthesize.estimate import Estimate, estimate

_TRIED = 8


def estimates(project: Project, names: Iterable[str]) -> dict[str, list[Estimate]]:
    """Estimates of these synthesizers, by name; those that ask no model are left out.

    The number of seeds is that of the curated rows as they are, less the shares of validation and test.
    """
    settings = project.settings
    if settings.model is None or not project.tables.exists("curated"):
        return {}
    chosen = set(names)
    train = round(project.tables.rows("curated") * (1 - settings.splits.validation - settings.splits.test))
    spaced = project.tables.scan("curated").select(SCHEMA.names).gather_every(max(1, train // _TRIED)).head(_TRIED)
    tried = from_batch(spaced.filter(pl.col("messages").list.len() > 0).collect())
    models = {"generator": settings.model, **settings.models}
    found = {}
    for entry in settings.synthesize:
        if entry.name in chosen and tried:
            plugin = plugins.build("synthesizer", entry.use, entry.settings)
            found[entry.name] = estimate(plugin, tried, seeds=min(train, entry.limit or train), models=models)
    return {name: parts for name, parts in found.items() if parts}


def cost_lines(project: Project, names: Iterable[str]) -> Iterator[str]:
    """The estimates as a terminal prints them, one line for each synthesizer and role, and their sum beside the budget."""
    found = estimates(project, names)
    if not found:
        return
    yield "About to ask models (an estimate of four bytes a token; answers bought before cost nothing again):"
    for name, parts in found.items():
        for part in parts:
            each = part.questions / max(part.seeds, 1)
            yield (
                f"  {name}: {part.seeds:,} seeds x {each:.3g} questions = {part.questions:,} requests to {part.model} "
                f"({part.role}), about {part.prompt_tokens:,} tokens in and {part.completion_tokens:,} out: "
                f"${part.dollars:.2f}, at most ${part.most_dollars:.2f}"
            )
    every = [part for parts in found.values() for part in parts]
    budget = project.settings.model.budget_dollars if project.settings.model else None
    limit = "there is no budget_dollars in [model]" if budget is None else f"spending stops at the budget of ${budget:.2f}"
    yield f"  together ${sum(p.dollars for p in every):.2f}, at most ${sum(p.most_dollars for p in every):.2f}; {limit}"
