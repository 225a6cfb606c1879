"""All texts of many conversations shown to the named-entity model at once, before they are scrubbed one by one."""

from collections.abc import Iterable

from flywheel.curate.scrub.detect import Detectors, prepare
from flywheel.curate.scrub.replace import Row, TooMuchWork, walk


def read_ahead(rows: Iterable[Row], detectors: Detectors, *, budget: int) -> None:
    """Let the model of `detectors` read what scrubbing the rows will ask it; without a model, nothing.

    It changes when the model works, not what it finds. A row that cannot be read, or that is longer than `budget` characters,
    is left out: whoever scrubs it meets the same fault and says so.
    """
    if detectors.names is None:
        return
    texts: dict[str, None] = {}
    for row in rows:
        try:
            texts |= dict.fromkeys(_texts(row, budget))
        except Exception:  # not this module's to tell: the row leaves with a reason when it is scrubbed
            continue
    try:
        detectors.names.read(prepare(text, detectors).seen for text in texts)
    except Exception:  # one text that the model fails on must not cost the others: asked one by one, only its row leaves
        return


def _texts(row: Row, budget: int) -> list[str]:
    texts: list[str] = []
    left = budget

    def note(text: str, _: str | None) -> str:
        nonlocal left
        left -= len(text) + 1
        if left < 0:
            raise TooMuchWork
        texts.append(text)
        return text

    walk(row, note)
    return texts
