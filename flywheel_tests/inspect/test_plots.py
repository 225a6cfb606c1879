import struct

import polars as pl
import pytest

from flywheel.inspect import plots
from flywheel.inspect.funnel import Step, funnel
from flywheel.ledger import exits

FUNNEL = funnel([Step("records", 10, 8, exits(["a", "b"], ["length", "language"]))])
REASONS = pl.DataFrame({"reason": [f"reason_{i}" for i in range(30)], "count": list(range(30))})
TOPICS = pl.DataFrame({"terms": ["battery, charge", "x" * 80], "rows": [5, 3]})
NUMBERS = pl.Series([1, 2, 3, 3, 3, 900, None])
DRAWN = {
    "funnel": lambda: plots.funnel_chart(FUNNEL),
    "reasons": lambda: plots.reasons_chart(REASONS),
    "topics": lambda: plots.topics_chart(TOPICS),
    "lengths": lambda: plots.lengths_chart(NUMBERS),
    "tokens": lambda: plots.tokens_chart(NUMBERS, estimated=True),
    "similarity": lambda: plots.similarity_chart(pl.Series([0.8, 0.93, 1.0, None]), threshold=0.8),
}
EMPTY = {
    "funnel": lambda: plots.funnel_chart(FUNNEL.head(0)),
    "reasons": lambda: plots.reasons_chart(REASONS.head(0)),
    "topics": lambda: plots.topics_chart(TOPICS.head(0)),
    "lengths": lambda: plots.lengths_chart(NUMBERS.head(0)),
    "similarity": lambda: plots.similarity_chart(pl.Series([None, None], dtype=pl.Float64)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_is_a_png_of_six_inches_and_the_same_bytes_each_time(name: str) -> None:
    png = DRAWN[name]()

    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width == 1200
    assert 200 < height < 1400
    assert png == DRAWN[name]()


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_plot_is_still_a_png(name: str) -> None:
    assert EMPTY[name]()[:4] == b"\x89PNG"


def test_zeros_and_a_single_value_can_be_plotted() -> None:
    assert plots.lengths_chart(pl.Series([0, 0, 0]))
    assert plots.reasons_chart(pl.DataFrame({"reason": ["a"], "count": [0]}))
