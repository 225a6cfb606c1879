import datetime as dt
from collections.abc import Sequence

import polars as pl
import pytest

from flywheel.errors import ConfigError
from flywheel.mix.mixture import choose, mix
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
    chosen = choose({"curated": given["curated"].select("id", "created_at", "split")}, settings=wanted)

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
