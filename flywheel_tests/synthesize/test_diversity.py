"""Measures of variety: what they say of rows whose variety is known."""

import math

import pytest

from flywheel.synthesize.diversity import diversity, verb_noun

REAL = [f"Question {n}: what is the price of item {n * 7} in shop {n * 3}?" for n in range(40)]


def test_copies_of_one_row_have_no_variety() -> None:
    same = diversity(["Write a poem."] * 50, ["Write a poem about rain"] * 50, REAL)

    assert same.distinct_1 == 5 / 250
    assert same.entropy_2 == pytest.approx(2.0)
    assert same.spread == pytest.approx(0.0, abs=1e-5)
    assert (same.verb_share, same.verb_nouns, same.verb_entropy) == (1.0, 1 / 50, 0.0)


def test_rows_without_a_word_in_common_are_as_far_apart_as_can_be() -> None:
    texts = [f"a{n} b{n} c{n}" for n in range(8)]

    apart = diversity(texts, texts, ["something else entirely"])

    assert apart.distinct_1 == apart.distinct_2 == 1.0
    assert apart.entropy_2 == pytest.approx(math.log2(16))
    assert apart.spread > 0.95
    assert apart.to_real > 0.95


def test_a_row_that_repeats_a_real_one_is_at_no_distance_to_it() -> None:
    copied = diversity(REAL[:10], REAL[:10], REAL)
    among = diversity(REAL, REAL, REAL)

    assert copied.to_real == pytest.approx(0.0, abs=1e-5)
    assert among.to_real > 0.05


def test_no_rows_and_empty_texts_are_measured_too() -> None:
    assert diversity([], [], REAL).rows == 0
    assert diversity(["", ""], ["", ""], []).distinct_1 == 0.0


@pytest.mark.parametrize(
    ("prompt", "pair"),
    [
        ("Please write me a short poem about the sea.", ("write", "poem")),
        ("Could you explain the theory of relativity?", ("explain", "theory")),
        ("I would like to cancel my order 4711", ("cancel", "order")),
        ("Given two numbers, compute their sum.", ("compute", "sum")),
        ("Hello there!", None),
        ("Stop", None),
    ],
)
def test_the_verb_of_an_instruction_and_its_noun(prompt: str, pair: tuple[str, str] | None) -> None:
    assert verb_noun(prompt) == pair
