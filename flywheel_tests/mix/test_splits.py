import random
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import ConfigError
from flywheel.mix.splits import SPLITS, assign_splits
from flywheel.sections import Splits

HALF = Splits(validation=0.25, test=0.25)


def frame(rows: Sequence[tuple[str, str, list[str], str | None]]) -> pl.DataFrame:
    schema = pl.Schema({"id": pl.String(), "day": pl.String(), "parents": pl.List(pl.String()), "session": pl.String()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def links(rows: Sequence[tuple[str, str]] = ()) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.String, "kept": pl.String}, orient="row")


def singles(count: int) -> pl.DataFrame:
    return frame([(f"r{n}", "2026-01-01", [], None) for n in range(count)])


def by_id(split: pl.DataFrame, column: str = "split") -> dict[str, str]:
    return dict(split.select("id", column).iter_rows())


def test_ancestry_sessions_and_duplicates_chain_into_one_family() -> None:
    records = frame(
        [
            ("grandchild", "2026-01-03", ["child"], None),
            ("child", "2026-01-02", ["root"], None),
            ("root", "2026-01-01", [], "s"),
            ("same_session", "2026-01-02", [], "s"),
            ("copy", "2026-01-05", [], None),
            ("stranger", "2026-01-01", [], "t"),
        ]
    )

    families = by_id(assign_splits(records, links([("copy", "same_session")]), settings=HALF), "family")

    assert families == dict.fromkeys(("grandchild", "child", "root", "same_session", "copy"), "root") | {"stranger": "stranger"}


def test_siblings_stay_together_when_their_parent_was_never_seen() -> None:
    records = frame([("a", "2026-01-01", ["gone"], None), ("b", "2026-01-02", ["gone"], None)])

    assert set(by_id(assign_splits(records, links(), settings=HALF), "family").values()) == {"a"}


def test_a_synthetic_child_never_names_the_family_even_when_it_sorts_first() -> None:
    records = frame([("a_child", "2026-01-01", ["z_parent"], None), ("z_parent", "2026-01-01", [], None)])

    assert set(by_id(assign_splits(records, links(), settings=HALF), "family").values()) == {"z_parent"}


def test_a_session_named_like_a_record_links_nothing() -> None:
    records = frame([("a", "2026-01-01", [], None), ("b", "2026-01-01", [], "a"), ("c", "2026-01-01", [], None)])

    assert len(set(by_id(assign_splits(records, links(), settings=HALF), "family").values())) == 3


def test_equal_prompts_stay_together_when_the_column_is_given() -> None:
    records = singles(3).with_columns(prompt=pl.Series([7, 7, None]))

    assert by_id(assign_splits(records, links(), settings=HALF), "family") == {"r0": "r0", "r1": "r0", "r2": "r2"}


def test_growing_data_moves_no_row_and_a_larger_share_takes_from_train_only() -> None:
    small = by_id(assign_splits(singles(500), links(), settings=HALF))
    grown = by_id(assign_splits(singles(2_000), links(), settings=HALF))
    more = by_id(assign_splits(singles(2_000), links(), settings=Splits(validation=0.4, test=0.25)))

    assert {key: grown[key] for key in small} == small
    assert {(grown[key], more[key]) for key in grown if grown[key] != more[key]} == {("train", "validation")}


def test_shares_are_met_and_another_seed_draws_anew() -> None:
    first = assign_splits(singles(4_000), links(), settings=HALF)
    counts = dict(first["split"].value_counts().iter_rows())
    other = assign_splits(singles(4_000), links(), settings=Splits(validation=0.25, test=0.25, seed=1))

    assert all(abs(counts[name] / 4_000 - share) < 0.03 for name, share in (("train", 0.5), ("validation", 0.25), ("test", 0.25)))
    assert first["split"].to_list() != other["split"].to_list()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40),
    st.lists(st.integers(0, 6) | st.none(), min_size=31, max_size=31),
    st.randoms(use_true_random=False),
)
def test_no_link_crosses_a_split_in_any_order_of_the_rows(
    pairs: list[tuple[int, int]], sessions: list[int | None], order: random.Random
) -> None:
    parents: dict[int, list[str]] = {}
    for child, parent in pairs[::2]:
        parents.setdefault(child, []).append(f"r{parent}")
    rows = [
        (f"r{n}", f"2026-01-{n % 9 + 1:02}", parents.get(n, []), None if s is None else f"s{s}") for n, s in enumerate(sessions)
    ]
    copies = [(f"r{a}", f"r{b}") for a, b in pairs[1::2]]
    first = assign_splits(frame(rows), links(copies), settings=HALF)
    order.shuffle(rows)
    order.shuffle(copies)

    assert assign_splits(frame(rows), links(copies), settings=HALF).equals(first)
    split, family = by_id(first), by_id(first, "family")
    linked = [(row[0], parent) for row in rows for parent in row[2]] + copies
    linked += [(a[0], b[0]) for a in rows for b in rows if a[3] is not None and a[3] == b[3]]
    assert all(split[a] == split[b] and family[a] == family[b] for a, b in linked)
    assert len(set(family.values())) == _components(31, [(int(a[1:]), int(b[1:])) for a, b in linked])


def _components(count: int, edges: list[tuple[int, int]]) -> int:
    group = list(range(count))
    for a, b in edges:
        group = [group[a] if one == group[b] else one for one in group]
    return len(set(group))


def test_no_records_give_an_empty_table_with_the_promised_columns() -> None:
    assert assign_splits(singles(0), links(), settings=HALF).columns == SPLITS.names


def test_shares_that_leave_less_than_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"add up to 1\.2"):
        assign_splits(singles(1), links(), settings=Splits(validation=0.6, test=0.6))
