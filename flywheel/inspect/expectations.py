"""Great Expectations over facts: a query reduces a table to one row of numbers, and the suite judges that row.

Great Expectations itself takes 10 s for 500,000 rows on pandas; reducing first costs a query and keeps its suites, severities
and results. Importing it takes seconds, so that happens on the first call.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

Bounds = tuple[float | None, float | None]


class Expected(NamedTuple):
    """One judged fact."""

    fact: str
    observed: float
    passed: bool


def expect(facts: Mapping[str, float], bounds: Mapping[str, Bounds]) -> list[Expected]:
    """Judge each fact against its least and greatest allowed value (None: no bound), both included.

    Raises:
        KeyError: a bound names a fact that is not there.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    row = pd.DataFrame({fact: [float(facts[fact])] for fact in bounds})
    batch = context.data_sources.add_pandas("facts").add_dataframe_asset("facts").add_batch_definition_whole_dataframe("row")
    suite = gx.ExpectationSuite(name="facts")
    for fact, (minimum, maximum) in bounds.items():
        suite.add_expectation(ExpectColumnValuesToBeBetween(column=fact, min_value=minimum, max_value=maximum))
    result = batch.get_batch({"dataframe": row}).validate(suite, result_format={"result_format": "BOOLEAN_ONLY"})
    passed = {one.expectation_config.kwargs["column"]: bool(one.success) for one in result.results if one.expectation_config}
    return [Expected(fact, float(facts[fact]), passed[fact]) for fact in bounds]
