"""Plots as PNG bytes in one quiet style, readable at 600 pixels: counts and labels, never the text of a record."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008, a palette that colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREY, _INK = "#0072B2", "#E69F00", "#B8BEC4", "#2B2F33"
_WIDTH = 6.0
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.facecolor": "white",
}


def funnel_chart(funnel: pl.DataFrame, *, title: str = "Rows after each stage") -> bytes:
    """Rows kept by each stage, the rows that left in grey. `funnel` comes from `flywheel.inspect.funnel.funnel`."""
    figure, axes = _canvas(title, bars=funnel.height)
    stages, into, kept = (funnel[name].to_list() for name in ("stage", "rows_in", "kept"))
    place = np.arange(len(stages))
    axes.barh(place, into, color=_GREY, height=0.68, label="rows in")
    axes.barh(place, kept, color=_BLUE, height=0.68, label="kept")
    notes = [f"{k:,}  ({_percent(k, n)})" if k != n else f"{k:,}" for k, n in zip(kept, into, strict=True)]
    _bars(axes, stages, into, notes)
    if funnel.height and kept != into:
        axes.legend(loc="upper right", bbox_to_anchor=(1, 0), frameon=False, ncols=2, fontsize=9.5, borderaxespad=0.2)
    return _png(figure)


def reasons_chart(reasons: pl.DataFrame, *, title: str = "Why rows left", top: int = 15) -> bytes:
    """Most frequent reasons. `reasons` has `reason` and `count`, as from `flywheel.inspect.funnel.drop_reasons`."""
    rows = reasons.filter(pl.col("count") > 0).sort(-pl.col("count"), "reason")
    labels, counts = rows["reason"].to_list()[:top], rows["count"].to_list()[:top]
    if rows.height > top:
        labels, counts = [*labels, f"{rows.height - top} others"], [*counts, int(rows["count"][top:].sum())]
    return _bar_chart(title, labels, counts, _ORANGE)


def topics_chart(topics: pl.DataFrame, *, title: str = "What the conversations are about", top: int = 15) -> bytes:
    """Largest topics with their words. `topics` comes from `flywheel.inspect.coverage.coverage`."""
    rows = topics.head(top)
    labels = [_shortened(terms, 38) for terms in rows["terms"]]
    return _bar_chart(title, labels, rows["rows"].to_list(), _BLUE)


def lengths_chart(words: pl.Series, *, title: str = "Length of replies", unit: str = "words") -> bytes:
    """Histogram of lengths, with the median; lengths above the 99th percentile are counted in the last bar."""
    return _histogram(words, title, unit)


def tokens_chart(tokens: pl.Series, *, title: str = "Tokens per row", estimated: bool = False) -> bytes:
    """Histogram of token counts; says so when they are estimates."""
    return _histogram(tokens, title, "tokens (estimated)" if estimated else "tokens")


def similarity_chart(similarity: pl.Series, *, threshold: float | None = None, title: str = "Near-duplicates") -> bytes:
    """Histogram of the Jaccard similarity of pairs, 0 to 1, in steps of 0.01 from the lowest; the threshold is drawn."""
    values = similarity.drop_nulls().to_numpy()
    figure, axes = _canvas(f"{title} ({_count(len(values), 'pair')})" if len(values) else title)
    if not len(values):
        return _nothing(figure, axes)
    lowest = float(np.floor(min(float(values.min()), threshold or 1.0) * 20 - 1e-9) / 20)
    counts, edges = np.histogram(values, bins=np.round(np.arange(lowest, 1.0101, 0.01), 4))
    axes.bar(edges[:-1], counts, width=np.diff(edges) * 0.92, align="edge", color=_BLUE)
    if threshold is not None:
        axes.axvline(threshold, color=_ORANGE, linewidth=2)
        note = f" threshold {threshold:g}"
        axes.text(threshold, 1.0, note, transform=axes.get_xaxis_transform(), va="bottom", fontsize=9.5)
    _finish_histogram(axes, "Jaccard similarity of word 3-grams", "pairs")
    return _png(figure)


def _histogram(values: pl.Series, title: str, unit: str) -> bytes:
    from matplotlib.ticker import MaxNLocator

    numbers = values.drop_nulls().cast(pl.Float64).to_numpy()
    figure, axes = _canvas(f"{title} ({_count(len(numbers), 'row')})" if len(numbers) else title)
    if not len(numbers):
        return _nothing(figure, axes)
    last = max(float(np.quantile(numbers, 0.99)), float(numbers.min()) + 1)
    step = max(1, int(np.ceil((last - numbers.min()) / 40)))
    edges = np.arange(np.floor(numbers.min()), last + step + 1, step)
    counts, _ = np.histogram(np.minimum(numbers, edges[-1]), bins=edges)
    colours = [_BLUE] * len(counts)
    beyond = int((numbers > edges[-1]).sum())
    if beyond:
        colours[-1] = _ORANGE
    axes.bar(edges[:-1], counts, width=step * 0.92, align="edge", color=colours)
    if beyond:
        axes.text(
            edges[-1],
            counts[-len(counts) // 5 :].max(),
            f"{beyond:,} longer \n(to {numbers.max():,.0f}) ",
            ha="right",
            va="bottom",
            fontsize=9,
        )
    middle = float(np.median(numbers))
    axes.axvline(middle, color=_INK, linewidth=1.2, linestyle="--")
    side = "right" if middle > edges[0] + 0.7 * (edges[-1] - edges[0]) else "left"
    axes.text(middle, 1.01, f" median {middle:,.0f} ", transform=axes.get_xaxis_transform(), va="bottom", ha=side, fontsize=9.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    _finish_histogram(axes, unit, "rows")
    return _png(figure)


def _finish_histogram(axes: "Axes", unit: str, what: str) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.set_xlabel(unit)
    axes.set_ylabel(what)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", color=_GREY, alpha=0.35)
    axes.set_axisbelow(True)


def _bar_chart(title: str, labels: Sequence[str], counts: Sequence[int], colour: str) -> bytes:
    figure, axes = _canvas(title, bars=len(labels))
    axes.barh(np.arange(len(labels)), counts, color=colour, height=0.68)
    _bars(axes, labels, counts, [f"{count:,}" for count in counts])
    return _png(figure)


def _bars(axes: "Axes", labels: Sequence[str], lengths: Sequence[int], notes: Sequence[str]) -> None:
    """Names at the left of horizontal bars, notes at their right end, the first bar on top."""
    if not labels:
        axes.text(0.5, 0.5, "nothing to show", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.set_yticks(np.arange(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(left=False)
    for place, (length, note) in enumerate(zip(lengths, notes, strict=True)):
        axes.annotate(note, (length, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9.5)
    axes.set_xlim(0, max(*lengths, 1) * (1.12 + 0.018 * max(map(len, notes))))
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _canvas(title: str, *, bars: int | None = None) -> "tuple[Figure, Axes]":
    """A figure of 600 pixels' width; its own canvas, so nothing global is touched and threads do not meet."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 3.3 if bars is None else 1.1 + 0.3 * max(bars, 2)), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        figure.suptitle(title, x=0.01, ha="left")
    return figure, axes


def _nothing(figure: "Figure", axes: "Axes") -> bytes:
    axes.text(0.5, 0.5, "nothing to show", ha="center", transform=axes.transAxes)
    axes.set_axis_off()
    return _png(figure)


def _png(figure: "Figure") -> bytes:
    """The same data give the same bytes: no date and no version inside."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _shortened(label: str, limit: int) -> str:
    return label if len(label) <= limit else label[: limit - 1].rstrip(", ") + "…"
