import random
from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from flywheel.curate.dedup import duplicates, spool
from flywheel.curate.dedup.components import Groups, connected
from flywheel.curate.dedup.lookup import Index
from flywheel.curate.dedup.spool import Spool
from flywheel.sections import Dedup
from flywheel_tests.curate.dedup.samples import chat, signed, varied, words


def test_the_index_finds_the_first_of_equal_values_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2**63, 5000, dtype=np.uint64)
    values[3000:] = values[:2000]
    values[[0, 3000]] = 0

    index = Index(values)

    assert index.first().tolist() == [*range(3000), *range(2000)]
    assert index.find(generator.integers(0, 2**63, 1000, dtype=np.uint64)).tolist() == [-1] * 1000
    assert Index(values[:0]).find(values[:2]).tolist() == [-1, -1]


def slow_components(bands: list[list[int]]) -> list[list[int]]:
    parents = list(range(len(bands[0])))
    for band in bands:
        first: dict[int, int] = {}
        for row, value in enumerate(band):
            one, other = parents[row], parents[first.setdefault(value, row)]
            parents = [min(one, other) if parent in (one, other) else parent for parent in parents]
    members = defaultdict(list)
    for row, parent in enumerate(parents):
        members[parent].append(row)
    return sorted(rows for rows in members.values() if len(rows) > 1)


@pytest.mark.parametrize("seed", range(20))
def test_components_are_those_of_a_slow_search_and_groups_hold_whole_ones(seed: int) -> None:
    generator = random.Random(seed)
    rows, values = generator.randrange(1, 80), generator.choice([20, 80, 300])
    bands = [[generator.randrange(values) for _ in range(rows)] for _ in range(3)]
    expected = slow_components(bands)

    groups = connected(np.array(bands, np.uint32), limit=7)

    assert groups.rows.tolist() == [row for component in expected for row in component]
    inside = [groups.rows[a:b].tolist() for a, b in zip(groups.starts[:-1], groups.starts[1:], strict=True)]
    assert all(sum(component[0] in group for group in inside) == 1 for component in expected)
    assert all(len(group) <= 7 or group in expected for group in inside)
    assert all(set(component) <= set(group) for component in expected for group in inside if component[0] in group)


@pytest.mark.parametrize("loaded", [1 << 26, 0])
def test_the_spool_gives_back_sets_in_the_order_of_rows_whatever_order_they_came_in(
    loaded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_LOADED_VALUES", loaded)
    groups = Groups(np.array([2, 5, 0, 1, 3]), np.array([0, 2, 5]))
    lists = {row: [7, 7, row, 3] for row in range(6)}
    kept = Spool(groups, 6)
    for batch in ([5, 4, 3, -1], [3, 2, 2, 0], [1]):
        values = np.array([value for row in batch for value in lists.get(row, [9, 9, 9, 9])], np.uint32)
        kept.add(np.array(batch, np.int32), np.arange(len(batch) + 1) * 4, values)

    for group, rows in enumerate([[2, 5], [0, 1, 3]]):
        spans = kept.load(group)
        got = [spans.values[a:b].tolist() for a, b in zip(spans.starts, spans.stops, strict=True)]
        assert got == [sorted({7, row, 3}) for row in rows]
        assert len(spans.values) == 4 * len(rows), "a set that comes twice is kept once"


def test_small_groups_find_what_one_large_group_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [chat(f"{f:02}-{m}", varied(words(50, f), m, m)) for f in range(40) for m in range(4)]
    whole = duplicates.find_duplicates(signed(records))

    monkeypatch.setattr(duplicates, "_GROUP_ROWS", 5)
    found = duplicates.find_duplicates(signed(records))

    assert found.height > 40
    assert found.equals(whole)


def test_bands_of_two_settings_are_refused() -> None:
    one = signed([chat("a", "one two three four")])
    other = signed([chat("b", "five six seven eight")], settings=Dedup(similarity=0.5))

    with pytest.raises(ValueError, match="sign all days with the same"):
        duplicates.find_duplicates(pl.concat([one, other]))
