"""Mixtures in, files that a trainer reads out, each with its manifest and dataset card."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets.graph import PROJECT, key, no_record_text, node
from flywheel.format.latest import problems

GROUP = "format"

_NAMES = [f"training_set/{chosen.name}" for chosen in PROJECT.settings.sets]
_FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=2))

training_sets = [
    node(
        f"training_set/{chosen.name}",
        group=GROUP,
        kinds={"jsonl", "huggingface"},
        description=f"Mixture `{chosen.mix}` as `{chosen.format}` files, with card, manifest and lineage.",
        freshness=_FRESH,
    )
    for chosen in PROJECT.settings.sets
]


def _valid(name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(f"training_set/{name}"),
        name="valid_for_its_trainer",
        description="Every line has the shape that the trainer documents, and the files are those of the manifest.",
        blocking=True,
    )
    def check() -> dg.AssetCheckResult:
        with no_record_text(f"check of training_set/{name}"):
            found = problems(PROJECT, name)
        errors = [problem for problem in found if problem.level == "error"]
        shown = "\n".join(f"- {problem}" for problem in found[:20]) or "none"
        return dg.AssetCheckResult(
            passed=not errors,
            metadata={"errors": len(errors), "warnings": len(found) - len(errors), "found": dg.MetadataValue.md(shown)},
        )

    return check


def _all() -> Iterator[dg.AssetChecksDefinition]:
    for chosen in PROJECT.settings.sets:
        yield _valid(chosen.name)


checks = list(_all())
