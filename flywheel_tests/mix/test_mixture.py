import datetime as dt
from collections.abc import Sequence

import polars as pl
import pytest

from flywheel.errors import ConfigError
from flywheel.mix.mixture import KEYS, choose, mix
from flywheel.records import Record, text_message, to_batch
from flywheel.sections import Mix

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def records(prefix: str, count: int, splits: Sequence[str | None] = ("train",)) -> pl.DataFrame:
    return to_batch(
        Record(
            id=f"{prefix}{n:04}",
            created_at=START + dt.timedelta(minutes=count - n),
            messages=(text_message("user", f"q{n}"), text_message("assistant", f"a{n}")),
            split=splits[n % len(splits)],
        )
        for n in range(count)
    )


def test_every_row_is_either_in_the_mixture_or_in_the_exits() -> None:
    given = {"curated": records("c", 400, ("train", "test")), "synthetic/x": records("s", 100)}

    made = mix(given, settings=Mix(name="m", take={"curated": 0.5, "synthetic/x": 0.1}))

    assert sorted([*made.kept["id"], *made.exits["id"]]) == sorted([*given["curated"]["id"], *given["synthetic/x"]["id"]])
    assert set(made.exits["reason"]) == {"not_sampled"}
    assert made.report["available"].to_list() == [200, 200, 100]
    assert made.report["taken"].sum() == made.kept.height
    assert 150 < made.report.filter(source="curated")["taken"].sum() < 250


def test_a_larger_share_only_adds_rows() -> None:
    given = {"curated": records("c", 300)}

    some = mix(given, settings=Mix(name="m", take={"curated": 0.3})).kept["id"]
    more = mix(given, settings=Mix(name="m", take={"curated": 0.6})).kept["id"]
    everything = mix(given, settings=Mix(name="m")).kept["id"]

    assert set(some) < set(more) < set(everything)
    assert len(everything) == 300


def test_the_mixture_is_ordered_by_time_whatever_the_batches() -> None:
    whole = records("c", 90)

    one = mix({"curated": whole}, settings=Mix(name="m", take={"curated": 0.8}))
    many = mix({"curated": (whole[at : at + 7] for at in range(84, -1, -7))}, settings=Mix(name="m", take={"curated": 0.8}))

    assert one.kept["created_at"].is_sorted()
    assert one.kept.equals(whole.sort("created_at").filter(pl.col("id").is_in(one.kept["id"].to_list())))
    assert one.kept.equals(many.kept)


def test_max_rows_bounds_each_split_and_a_larger_bound_only_adds() -> None:
    given = {"curated": records("c", 300, ("train", "validation", None)), "synthetic/x": records("s", 300)}
    take = {"curated": 1.0, "synthetic/x": 0.5}

    few = mix(given, settings=Mix(name="m", take=take, max_rows=20))
    more = mix(given, settings=Mix(name="m", take=take, max_rows=40))

    assert dict(few.kept["split"].value_counts().iter_rows()) == {"train": 20, "validation": 20, None: 20}
    assert set(few.kept["id"]) < set(more.kept["id"])
    assert few.kept.height + few.exits.height == 600


def test_a_bound_keeps_the_proportions_that_the_shares_ask_for() -> None:
    given = {"curated": records("c", 1_000), "synthetic/x": records("s", 1_000)}

    made = mix(given, settings=Mix(name="m", take={"curated": 0.8, "synthetic/x": 0.2}, max_rows=500))

    assert 0.74 < made.report.filter(source="curated")["taken"].sum() / 500 < 0.86


def of_users(*users: str | None, prefix: str = "c", each: int = 12) -> pl.DataFrame:
    """`each` rows of every user, whose order in time is not that of their users."""
    splits = [("train", "validation", "test")[n % 3] for n in range(each * len(users))]
    whole = records(prefix, each * len(users), splits)
    return whole.with_columns(user=pl.Series([users[n % len(users)] for n in range(whole.height)], dtype=pl.String))


def test_nobody_contributes_more_rows_than_the_cap_over_all_sources_and_splits() -> None:
    given = {"curated": of_users("ann", "bob"), "synthetic/x": of_users("ann", "eve", prefix="s")}
    take = {"curated": 1.0, "synthetic/x": 1.0}

    made = mix(given, settings=Mix(name="m", take=take, max_rows_per_user=5))

    assert dict(made.kept["user"].value_counts().iter_rows()) == {"ann": 5, "bob": 5, "eve": 5}
    assert made.exits["reason"].unique().to_list() == ["user_cap"]
    assert made.kept.height + made.exits.height == 48


def test_rows_without_a_user_are_not_one_user() -> None:
    made = mix({"curated": of_users("ann", None)}, settings=Mix(name="m", max_rows_per_user=3))

    assert dict(made.kept["user"].value_counts().iter_rows()) == {"ann": 3, None: 12}


def test_a_larger_cap_only_adds_rows_and_the_choice_depends_on_no_order() -> None:
    given = of_users("ann", "bob", "eve", each=20)

    few = mix({"curated": given}, settings=Mix(name="m", max_rows_per_user=4)).kept
    more = mix({"curated": given}, settings=Mix(name="m", max_rows_per_user=9)).kept
    shuffled = mix({"curated": given.sample(fraction=1, shuffle=True, seed=1)}, settings=Mix(name="m", max_rows_per_user=4)).kept

    assert set(few["id"]) < set(more["id"])
    assert shuffled["id"].to_list() == few["id"].to_list()


def test_a_row_that_was_not_drawn_takes_nobodys_place_and_the_cap_comes_before_the_bound() -> None:
    given = {"curated": of_users("ann", "bob", each=40)}

    drawn = mix(given, settings=Mix(name="m", take={"curated": 0.5}, max_rows_per_user=6))
    bounded = mix(given, settings=Mix(name="m", max_rows=3, max_rows_per_user=6))

    assert dict(drawn.kept["user"].value_counts().iter_rows()) == {"ann": 6, "bob": 6}
    assert set(drawn.exits["reason"]) == {"user_cap", "not_sampled"}
    assert bounded.kept["split"].value_counts()["count"].to_list() == [3, 3, 3]
    assert dict(bounded.exits["reason"].value_counts().iter_rows()) == {"user_cap": 68, "not_sampled": 3}


def test_an_id_that_two_sources_share_is_taken_once_and_counted() -> None:
    given = {"curated": records("c", 5), "synthetic/x": records("c", 5)}

    made = mix(given, settings=Mix(name="m", take={"curated": 1.0, "synthetic/x": 1.0}))

    assert made.kept.height == 5
    assert made.exits.select("reason", "outcome").unique().row(0) == ("same_id", "merged")
    assert made.exits.height == 5


def test_keys_alone_give_the_same_choice() -> None:
    given = {"curated": records("c", 200, ("train", "test"))}
    wanted = Mix(name="m", take={"curated": 0.4}, max_rows=30)

    made = mix(given, settings=wanted)
    chosen = choose({"curated": given["curated"].select(KEYS)}, settings=wanted)

    assert chosen.kept["id"].to_list() == made.kept["id"].to_list()
    assert chosen.exits.equals(made.exits)


@pytest.mark.parametrize("nothing", [records("c", 0), []])
def test_an_empty_source_gives_an_empty_mixture_of_records(nothing: pl.DataFrame | list[pl.DataFrame]) -> None:
    made = mix({"curated": nothing}, settings=Mix(name="m"))

    assert made.kept.schema == records("c", 1).schema
    assert made.exits.height == made.report.height == 0


def test_a_source_that_is_missing_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"takes 'synthetic/x'; there is curated"):
        mix({"curated": records("c", 1)}, settings=Mix(name="m", take={"synthetic/x": 1.0}))
