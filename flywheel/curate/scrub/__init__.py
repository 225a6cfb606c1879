"""Personal data and secrets found and replaced, the same value by the same placeholder throughout a conversation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from flywheel.sections import Scrub

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from flywheel.curate.scrub.replace import Detection, Row
    from flywheel.curate.scrub.surrogates import Surrogates
    from flywheel.curate.scrub.values import Values

__all__ = ["FINDINGS", "Scrubbed", "scrub"]

FINDINGS = pl.Schema({"id": pl.String, "entity": pl.String, "count": pl.UInt32})
"""Columns of the findings: how many places of a record held an entity. Never a value."""

_ROWS_AHEAD = 1000
"""Conversations that a model is shown at once."""


class Scrubbed(NamedTuple):
    """`rows in = kept + exits`. `findings` counts what was replaced in the kept records."""

    kept: pl.DataFrame
    exits: pl.DataFrame
    findings: pl.DataFrame


def scrub(records: pl.DataFrame, *, settings: Scrub, key: bytes, budget: int = 2_000_000) -> Scrubbed:
    """Replace personal data and secrets by placeholders such as `<PERSON_1>`.

    Searched and edited: every message of every role (text, reasoning, names, tool-call arguments, tool results), tools,
    candidates, feedback, tags and session. JSON stays valid JSON. A value found once is replaced wherever the conversation
    repeats it, parts of names included; the same value has the same placeholder within a conversation and says nothing
    about other conversations. A session id that holds personal data, and whoever gave feedback, become keyed HMACs instead,
    because they link records. Not searched: `data:` URLs, images, text that is encoded (base64, percent, HTML entities).

    Under `ner = "none"` fields that say that they hold a name (`"first_name": ...`) are still masked, running text is not.

    A place is personal when it belongs to an address or to somebody (`I live in Lyon`), and a nationality likewise; a trip to
    Norway stays, unless `places = "all"`. Of dates those of birth are masked, all with `dates = "all"`. A name on the
    lists that the text uses for a thing stays too (`my Rollo`, `the Orrin 55`); `allow` says so where rules cannot know.

    This lowers risk; it does not anonymise. On the set of `make bench-pii`, the default overlooks 2 % of the characters of
    names and 10 % of addresses, on other texts more, and it knows Latin script only.

    Under `replace = "surrogate"` fake values stand there instead: of the same kind, gender and language as far as lists tell,
    with their case, separators and format, the same throughout a record and others in every other one (HMAC of the key and
    the record's id). They are nobody's: reserved phone numbers, domains, addresses, ranges and failing checksums. Secrets,
    and values of which no fake one can be made, are placeholders still. Findings are the same in both modes. Scrubbing a second
    time leaves placeholders as they are, but gives surrogates other surrogates, since nobody could tell them from real values;
    so scrub once. Texts that differed by a name alone differ by a surrogate too, and are no exact duplicates any more.

    Under `unmeasured = "quarantine"` a conversation in a script or language that `languages` does not name leaves.

    Args:
        records: a batch; derived columns are computed again, others pass unchanged.
        settings: `ner` (`small`, `rules`, `none` or a model of yours), `entities` to replace (all when empty), phone `regions`,
            values to `allow`.
        key: secret of the HMACs, kept outside the data; not empty.
        budget: the most characters that one record may hold; longer ones leave.

    Returns:
        Kept records in their order; exits with reason `scrub_budget` (too long), `scrub_script`, `scrub_language` or
        `scrub_failed` (an error inside, of which nothing else is told: it could quote the text); findings by record and entity.

    Raises:
        ConfigError: the settings name a detector or region that is not there, or a word list is missing.
        ValueError: the key is empty.
    """
    if not key:
        raise ValueError("scrub needs a key for its HMACs; Settings.key() makes one")
    from flywheel.curate.scrub.ahead import read_ahead
    from flywheel.curate.scrub.detect import choose_detectors  # patterns compile on import, which takes a while
    from flywheel.curate.scrub.replace import COLUMNS, Detection
    from flywheel.ledger import exits
    from flywheel.records import DERIVED, derive

    detection = Detection(choose_detectors(settings))
    outside = _outside(settings)
    edited: list[Row] = []
    origin: list[int] = []
    kept: list[bool] = []
    reasons: list[str] = []
    findings: list[tuple[str, str, int]] = []
    for start in range(0, records.height, _ROWS_AHEAD):
        part = records[start : start + _ROWS_AHEAD]
        rows = part.select(COLUMNS).rows(named=True)
        read_ahead(rows, detection.detectors, budget=budget)
        for identity, row, reason in zip(part["id"], rows, outside(rows), strict=True):
            outcome = reason or _scrub_one(row, detection, key, budget, _surrogates(settings, key, identity))
            if isinstance(outcome, str):
                reasons.append(outcome)
            else:
                changed = outcome[0] != row
                origin.append(records.height + len(edited) if changed else len(kept))
                edited += [outcome[0]] if changed else []
                findings += [(identity, entity, count) for entity, count in sorted(outcome[1].items())]
            kept.append(not isinstance(outcome, str))
    mask = pl.Series(kept, dtype=pl.Boolean)
    left = records.filter(~mask)["id"]
    passed = records.filter(mask)
    if edited:  # rows of Python objects are slow to make into columns, so unchanged ones stay as they came
        before = records.select(COLUMNS)
        passed = passed.with_columns(pl.concat([before, pl.DataFrame(edited, schema=before.schema)])[origin])
    if set(DERIVED) & set(passed.columns):
        passed = derive(passed).select(records.columns)
    return Scrubbed(passed, exits(left, reasons), pl.DataFrame(findings, schema=FINDINGS, orient="row"))


def _outside(settings: Scrub) -> Callable[[list[Row]], list[str | None]]:
    """Tells of rows why the settings hold them back, None of those that pass."""
    if settings.unmeasured == "pass":
        return lambda rows: [None] * len(rows)
    from flywheel.curate.scrub.languages import check_languages, unmeasured

    check_languages(settings.languages)
    return partial(unmeasured, languages=settings.languages)


def _surrogates(settings: Scrub, key: bytes, identity: str) -> Callable[[Values], Surrogates] | None:
    if settings.replace == "placeholder":
        return None
    from flywheel.curate.scrub.surrogates import Surrogates

    return partial(Surrogates, key, identity, regions=settings.regions)


def _scrub_one(
    row: Row, detection: Detection, key: bytes, budget: int, surrogates: Callable[[Values], Surrogates] | None
) -> tuple[Row, Counter[str]] | str:
    """The edited row and its counts, or the reason why it cannot stay. No error's text leaves: it may quote the record."""
    from flywheel.curate.scrub.replace import TooMuchWork, scrub_row

    try:
        return scrub_row(row, detection, key=key, budget=budget, surrogates=surrogates)
    except TooMuchWork:
        return "scrub_budget"
    except Exception:
        return "scrub_failed"
