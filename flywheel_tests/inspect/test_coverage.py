import random

import polars as pl

from flywheel.inspect.coverage import coverage
from flywheel.records import Feedback, Record, empty, text_message, to_batch

SUBJECTS = {
    "pump": "pump valve pressure gauge piston leak hydraulic seal".split(),  # noqa: SIM905
    "bread": "bread flour yeast oven dough crust sourdough knead".split(),  # noqa: SIM905
    "chess": "chess bishop rook castle opening endgame gambit pawn".split(),  # noqa: SIM905
}


def talks(each: int = 30) -> list[Record]:
    rng = random.Random(0)
    records = []
    for subject, words in SUBJECTS.items():
        for number in range(each):
            prompt = text_message("user", f"please tell me about {' '.join(rng.sample(words, 4))}")
            reply = text_message("assistant", f"about the {' '.join(rng.sample(words, 3))}")
            rated = (Feedback(name="thumbs", value="up"),) if subject == "bread" else ()
            system = text_message("system", "secretword " + " ".join(rng.sample([w for s in SUBJECTS.values() for w in s], 5)))
            records.append(Record(id=f"{subject}-{number}", messages=(system, prompt, reply), feedback=rated))
    return records


def test_three_subjects_become_three_topics_with_their_words() -> None:
    found = coverage(to_batch(talks()), topics=3)

    assert found.topics["rows"].to_list() == [30, 30, 30]
    for row in found.topics.iter_rows(named=True):
        subject = next(name for name, words in SUBJECTS.items() if set(row["terms"].split(", ")) <= set(words))
        assert row["feedback_rows"] == (30 if subject == "bread" else 0)
    together = found.members.with_columns(subject=pl.col("id").str.extract(r"^(\w+)-"))
    assert together.group_by("subject").agg(pl.col("topic").n_unique())["topic"].to_list() == [1, 1, 1]


def test_the_order_of_records_does_not_matter() -> None:
    batch = to_batch(talks())
    first, second = coverage(batch), coverage(batch.sample(fraction=1, shuffle=True, seed=3))

    assert first.topics.equals(second.topics)
    assert first.members.equals(second.members)


def test_system_prompts_and_placeholders_name_no_topic() -> None:
    records = [Record(id=str(i), messages=(text_message("user", f"<PERSON_1> broken hinge {i}"),)) for i in range(20)]

    terms = " ".join(coverage(to_batch(records + talks())).topics["terms"])

    assert "person" not in terms
    assert "secretword" not in terms


def test_a_word_that_only_one_record_has_names_no_topic() -> None:
    lonely = Record(id="x", messages=(text_message("user", "pump valve zanzibar"),))

    assert "zanzibar" not in " ".join(coverage(to_batch([lonely, *talks()]), terms=1000).topics["terms"])


def test_a_sample_is_bounded_and_the_same_each_time() -> None:
    batch = to_batch(talks(200))
    first, second = coverage(batch, sample=90), coverage(batch.reverse(), sample=90)

    assert first.members.height == 90
    assert first.members.equals(second.members)


def test_records_without_words_are_a_group_of_their_own() -> None:
    silent = [Record(id=f"s{i}", messages=(text_message("user", "12 !?"),)) for i in range(4)]

    assert coverage(to_batch(talks() + silent)).topics.row(-1)[:3] == (-1, "(no words)", 4)
    assert coverage(to_batch(silent)).topics["rows"].to_list() == [4]


def test_no_records_have_no_topics() -> None:
    found = coverage(empty())

    assert found.topics.is_empty()
    assert found.members.is_empty()
