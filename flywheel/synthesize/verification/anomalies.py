"""Synthetic records that are far from anything that the real data holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from flywheel.records import Record, derive, to_batch
from flywheel.synthesize.verification.contract import Judge, Known

_LEAST_REAL = 30


@dataclass(frozen=True)
class Anomalies:
    """A measure of the conversation is outside the real records' quartiles by `spread` times their distance.

    Measures are the logarithms of the lengths of prompt and reply, the number of turns, the shares of symbols and of digits in
    the text, and the mean length of words; outside means below the lower quartile or above the upper one by that much (Tukey's
    fences, 3 for what is far out). Reasons name the measure (`anomalous_reply_length`, ...). With fewer than 30 real records
    none can be called anomalous: `too_few_real_records`.

    Source: Tukey 1977, "Exploratory data analysis", section 2D.
    """

    spread: float = 3.0

    def __post_init__(self) -> None:
        if self.spread <= 0:
            raise ValueError(f"`spread` is above 0, not {self.spread}")

    def judge(self) -> Judge:
        limits: dict[str, tuple[float, float]] | None = None

        def judge(children: Sequence[Record], known: Known) -> list[str | None]:
            nonlocal limits
            if limits is None:
                limits = self._limits(known)
            if not limits:
                return ["too_few_real_records"] * len(children)
            outside = [
                pl.when(~pl.col(name).is_between(low, high)).then(pl.lit(f"anomalous_{name}"))
                for name, (low, high) in limits.items()
            ]
            return list(_measured(to_batch(children)).select(pl.coalesce(outside))[:, 0])

        return judge

    def _limits(self, known: Known) -> dict[str, tuple[float, float]]:
        measured = [_measured(batch) for batch in known.real()]
        if sum(batch.height for batch in measured) < _LEAST_REAL:
            return {}
        real = pl.concat(measured)
        found = {}
        for name in real.columns:
            low, high = (float(real[name].quantile(share) or 0) for share in (0.25, 0.75))
            reach = self.spread * max(high - low, 0.05 * max(abs(high), 1e-9))
            found[name] = (min(low - reach, low), max(high + reach, high))
        return found


def _measured(batch: pl.DataFrame) -> pl.DataFrame:
    text = pl.col("text")
    length = text.str.len_chars().clip(lower_bound=1)
    return derive(batch).select(
        prompt_length=pl.col("prompt").str.len_chars().log1p(),
        reply_length=pl.col("reply").str.len_chars().log1p(),
        turns=pl.col("turns").cast(pl.Float64),
        symbols=text.str.count_matches(r"[^\w\s]") / length,
        digits=text.str.count_matches(r"\d") / length,
        word_length=length / text.str.count_matches(r"\S+").clip(lower_bound=1),
    )
