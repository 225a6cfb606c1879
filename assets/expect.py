"""Asset checks whose expectations are Great Expectations over facts that one query has reduced a table to."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from assets.graph import DAILY, NODES, PROJECT, key, no_record_text
from flywheel.inspect.expectations import Expected, expect

Facts = Callable[[str | None], Mapping[str, float]]


class Rule(dg.Model):
    """One check: the fact must lie between the two numbers.

    A blocking one that fails, or cannot be judged, stops what comes after in the run, and its node is stale until it passes.
    """

    fact: str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    blocking: bool = True


def expectations(name: str, facts: Facts, rules: Mapping[str, Rule]) -> dg.AssetChecksDefinition:
    """The checks of one node. `facts` is given the day, or None for a node of all days."""
    daily = NODES[name].daily
    specs = [
        dg.AssetCheckSpec(
            check, asset=key(name), description=rule.description, blocking=rule.blocking, partitions_def=DAILY if daily else None
        )
        for check, rule in rules.items()
    ]

    @dg.multi_asset_check(specs=specs, name="expect_" + name.replace("/", "__"))
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        day = context.partition_key if daily else None
        with no_record_text(f"checks of {name}"):
            bounds = {rule.fact: (rule.minimum, rule.maximum) for rule in rules.values()}
            passed = False
            try:
                results = {result.fact: result for result in expect(facts(day), bounds)}
                passed = all(results[rule.fact].passed for rule in rules.values() if rule.blocking)
            finally:
                if not passed:
                    PROJECT.tables.invalidate(NODES[name].table, **NODES[name].where(day))
        for check_name, rule in rules.items():
            yield _result(name, check_name, rule, results[rule.fact])

    return check


def _result(name: str, check: str, rule: Rule, expected: Expected) -> dg.AssetCheckResult:
    bounds = [
        f"{label} {bound:g}" for label, bound in (("at least", rule.minimum), ("at most", rule.maximum)) if bound is not None
    ]
    details: dict[str, Any] = {rule.fact: expected.observed, "allowed": ", ".join(bounds)}  # text: Dagster plots every number
    severity = dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=expected.passed, asset_key=key(name), check_name=check, severity=severity, metadata=details)
