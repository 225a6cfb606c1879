import gzip
import json
import socket
import subprocess
import sys
from collections import Counter
from typing import Any, NoReturn

import polars as pl
import pytest

from flywheel.curate.scrub import Scrubbed, scrub
from flywheel.curate.scrub import gazetteer as gazetteer_module
from flywheel.curate.scrub import replace as replace_module
from flywheel.errors import ConfigError
from flywheel.ledger import EXITS
from flywheel.records import (
    Candidate,
    Feedback,
    Message,
    Part,
    Record,
    ToolCall,
    derive,
    from_batch,
    text_message,
    to_batch,
)
from flywheel.sections import Scrub
from flywheel_tests.shared import shared_data

KEY = b"test key"


def scrubbed(*records: Record, **settings: Any) -> Scrubbed:
    return scrub(to_batch(records), settings=Scrub(**settings), key=KEY)


def said(*texts: str, **settings: Any) -> str:
    """The scrubbed texts of a conversation of user turns, joined by ` | `."""
    record = Record(id="r", messages=tuple(text_message("user", text) for text in texts))
    return " | ".join(m.text for m in from_batch(scrubbed(record, **settings).kept)[0].messages)


def test_a_value_is_the_same_placeholder_in_every_turn_field_and_spelling() -> None:
    record = Record(
        id="r",
        session="chat-of-mia.li@example.com",
        messages=(
            text_message("system", "The customer is Mia Li, mia.li@example.com."),
            text_message("user", "Hi, it is mia. Ring me on (415) 555-0132.", name="mia_li"),
            Message(
                role="assistant",
                reasoning="Mia Li wants a call",
                tool_calls=(ToolCall(name="call", arguments='{"to": "+1 415 555 0132", "notes": {"Mia Li": 1.50}}'),),
            ),
            text_message("tool", '[{"first_name": "Mia", "last_name": "Li", "dob": "1990-04-05"}]'),
            text_message("assistant", "Done, Mia. Your birthday is April 5, 1990."),
        ),
        tools=('{"name": "call", "description": "Call Mia Li"}',),
        candidates=(Candidate(messages=(text_message("assistant", "Goodbye Mia Li"),)),),
        feedback=(Feedback(name="thumb", value="up", comment="Mia Li was happy", by="annotator-joe@example.com"),),
        tags=("customer_name=Mia Li", "tier=gold"),
    )

    (after,) = from_batch(scrubbed(record).kept)

    assert after.messages[0].text == "The customer is <PERSON_1>, <EMAIL_ADDRESS_1>."
    assert after.messages[1].text == "Hi, it is <PERSON_1>. Ring me on <PHONE_NUMBER_1>."
    assert after.messages[1].name == "<PERSON_1>"
    assert after.messages[2].reasoning == "<PERSON_1> wants a call"
    assert json.loads(after.messages[2].tool_calls[0].arguments)["notes"] == {"<PERSON_1>": 1.5}
    assert after.messages[3].text == '[{"first_name": "<PERSON_1>", "last_name": "<PERSON_1>", "dob": "<DATE_OF_BIRTH_1>"}]'
    assert after.messages[4].text == "Done, <PERSON_1>. Your birthday is <DATE_OF_BIRTH_1>."
    assert after.tools == ('{"name": "call", "description": "Call <PERSON_1>"}',)
    assert after.candidates[0].messages[0].text == "Goodbye <PERSON_1>"
    assert after.feedback[0].comment == "<PERSON_1> was happy"
    assert after.tags == ("customer_name=<PERSON_1>", "tier=gold")
    assert after.session is not None
    assert after.session.startswith("hmac:")
    assert (after.feedback[0].by or "").startswith("hmac:")


def test_two_people_are_two_placeholders_and_a_shared_surname_goes_to_the_first() -> None:
    assert said("Anna Becker met Robert Becker.", "Anna left, Robert stayed.") == (
        "<PERSON_1> met <PERSON_2>. | <PERSON_1> left, <PERSON_2> stayed."
    )


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("card 4111.1111.1111.1111", "card <CREDIT_CARD_1>"),
        ("card ４１１１ １１１１ １１１１ １１１１", "card <CREDIT_CARD_1>"),
        ("card 4111\u200b1111\u200b1111\u200b1111!", "card <CREDIT_CARD_1>!"),
        ("iban DE89 3704 0044 0532 0130 00", "iban <IBAN_CODE_1>"),
        ("ssn 536-90-4399", "ssn <US_SSN_1>"),
        ("from 203.0.113.9", "from <IP_ADDRESS_1>"),
        ("mail bob@corp.internal", "mail <EMAIL_ADDRESS_1>"),
        ("They do not answer at 71-33-52-22", "They do not answer at <PHONE_NUMBER_1>"),
        ("write to a@b.example or +44 7700 900123.", "write to <EMAIL_ADDRESS_1> or <PHONE_NUMBER_1>."),
        ('{"customer": {"name": "Xqv Zzyx"}, "name": "Xqt"}', '{"customer": {"name": "<PERSON_1>"}, "name": "Xqt"}'),
        ('{"products": [{"name": "Xqv Zzyx"}]}', '{"products": [{"name": "Xqv Zzyx"}]}'),
        ("Ich wohne in der Goethestraße 12, 60313 Frankfurt", "Ich wohne in der <STREET_ADDRESS_1>"),
        ("J'habite 12 rue de la Paix, 75002 Paris", "J'habite <STREET_ADDRESS_1>"),
        ("I live at 20 Oak St, Springfield, IL 62704", "I live at <STREET_ADDRESS_1>"),
        ("Hello, I'm Priya and it's urgent", "Hello, I'm <PERSON_1> and it's urgent"),
        ("Ask Mr. van der Berg", "Ask <TITLE_1> <PERSON_1>"),
        ("I am 31 and tired", "I am <AGE_1> and tired"),
        ("my user id is mia_li_3668", "my user id is <USER_ID_1>"),
        ("zip code: 10001", "zip code: <ZIP_CODE_1>"),
    ],
)
def test_personal_values_are_replaced(text: str, after: str) -> None:
    assert said(text) == after


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of Estonia?",
        "Explain Python decorators such as @property and npm's react@18.2.0.",
        "The flight leaves on 2024-05-20 at 10:00:00 and costs 1,234.50 euros.",
        "Is Claude better than Gemini or Llama at Markdown?",
        "def password(self, value: str) -> None: self.password = value",
        "In May it will rain; Grace is a virtue.",
        "clone git@github.com:acme/widgets.git and bind to 127.0.0.1:8080",
        "Is 1234567890123 prime? 12/24 of the 1000 boxes arrived.",
    ],
)
def test_what_is_not_personal_stays(text: str) -> None:
    assert said(text) == text


def test_scrubbing_again_changes_nothing_and_numbers_go_on() -> None:
    once = said("Mia Li and <PERSON_1> met; mail mia@example.com")
    assert once == "<PERSON_2> and <PERSON_1> met; mail <EMAIL_ADDRESS_1>"
    assert said(once) == once


def test_entities_limit_and_allow_exempts() -> None:
    text = "Mia Li, help@example.com, mia@example.com"

    assert said(text, entities=("EMAIL_ADDRESS",), allow=("HELP@example.com",)) == "Mia Li, help@example.com, <EMAIL_ADDRESS_1>"


def test_an_allowed_name_of_a_product_stays_where_rules_see_a_person() -> None:
    text = "I bought Rollo Max. Anna Becker asks."

    assert said(text) == "I bought <PERSON_1>. <PERSON_2> asks."
    assert said(text, allow=("rollo max",)) == "I bought Rollo Max. <PERSON_1> asks."


def test_a_trip_stays_and_a_home_goes_wherever_it_is_repeated() -> None:
    assert said("I live in Lyon.", "Lyon is nice. I am travelling to Norway.") == (
        "I live in <LOCATION_1>. | <LOCATION_1> is nice. I am travelling to Norway."
    )


def test_records_with_nothing_personal_keep_their_place_and_every_byte() -> None:
    plain = Record(id="b", messages=(text_message("user", "2 + 2?"),), tools=('{"name": "f"}',), tags=("tier=gold",))
    named = [Record(id=i, messages=(text_message("user", f"I am {n}"),)) for i, n in (("a", NAMES[0]), ("c", NAMES[1]))]

    batch = to_batch([named[0], plain, named[1]])
    outcome = scrubbed(named[0], plain, named[1])

    assert outcome.kept.schema == batch.schema
    assert [r.messages[0].text for r in from_batch(outcome.kept)] == ["I am <PERSON_1>", "2 + 2?", "I am <PERSON_1>"]
    assert outcome.kept.row(1) == batch.row(1)
    assert scrubbed(plain).kept.equals(to_batch([plain]))


def test_importing_scrub_loads_no_detector() -> None:
    heavy = "{'presidio_analyzer', 'spacy', 'phonenumbers', 'pyarrow', 'flywheel.curate.scrub.names'}"
    code = f"import flywheel.curate.scrub, sys; print(sorted({heavy} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_ner_none_leaves_names_in_because_it_was_stated() -> None:
    assert said("Anna Becker, anna@example.com", ner="none") == "Anna Becker, <EMAIL_ADDRESS_1>"


def test_an_unknown_detector_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"spacy_xl.*`rules`.*`none`"):
        said("x", ner="spacy_xl")


def test_a_missing_word_list_is_refused_and_never_finds_nothing_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    gazetteer_module.gazetteer.cache_clear()
    monkeypatch.setattr("gzip.decompress", lambda _: b"")
    try:
        with pytest.raises(ConfigError, match="missing or damaged"):
            said("Mia Li")
    finally:
        gazetteer_module.gazetteer.cache_clear()


def test_an_unknown_phone_region_and_an_empty_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="'XX'"):
        said("x", regions=("XX",))
    with pytest.raises(ValueError, match="key"):
        scrub(to_batch([]), settings=Scrub(), key=b"")


def test_a_record_over_its_budget_leaves_instead_of_staying_unscrubbed() -> None:
    long = Record(id="long", messages=(text_message("user", "x" * 101),))
    short = Record(id="short", messages=(text_message("user", "ok"),))

    kept, exits, _ = scrub(to_batch([long, short]), settings=Scrub(), key=KEY, budget=100)

    assert kept["id"].to_list() == ["short"]
    assert exits.columns == EXITS.names
    assert exits.row(0) == ("long", "dropped", "scrub_budget", None, None)


def test_an_error_inside_becomes_an_exit_row_without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str, detectors: object) -> NoReturn:
        raise RuntimeError(f"cannot scrub {text}")

    monkeypatch.setattr(replace_module, "detect", fail)
    outcome = scrubbed(Record(id="a", messages=(text_message("user", "Mia Li is here"),)))

    assert outcome.kept.is_empty()
    assert outcome.exits.rows() == [("a", "dropped", "scrub_failed", None, None)]


def test_columns_order_and_derived_columns_stay_as_they_came() -> None:
    batch = derive(to_batch([Record(id="a", messages=(text_message("user", "I am Anna Becker"),))])).with_columns(day=pl.lit("d"))

    kept = scrub(batch, settings=Scrub(), key=KEY).kept

    assert kept.schema == batch.schema
    assert kept["prompt"].to_list() == ["I am <PERSON_1>"]


def test_a_record_comes_out_the_same_alone_and_in_any_company() -> None:
    records = [Record(id=str(i), messages=(text_message("user", f"I am {n}, call 415-555-013{i}"),)) for i, n in enumerate(NAMES)]

    together = {record.id: record for record in from_batch(scrubbed(*reversed(records)).kept)}

    assert all(from_batch(scrubbed(record).kept) == [together[record.id]] for record in records)


NAMES = ("Anna Becker", "Robert Hughes", "Maria Garcia")


def test_findings_count_and_never_quote() -> None:
    record = Record(id="a", messages=(text_message("user", "anna@example.com and anna@example.com"),))

    assert scrubbed(record).findings.rows() == [("a", "EMAIL_ADDRESS", 2)]


def test_lone_surrogates_escaped_in_json_survive_as_they_were() -> None:
    arguments = '{"a": "\\ud800 mia@example.com", "b": "\\ud800", "n": 1e400, "n": 2}'
    record = Record(id="a", messages=(Message(role="assistant", tool_calls=(ToolCall(name="f", arguments=arguments),)),))

    (after,) = from_batch(scrubbed(record).kept)

    assert after.messages[0].tool_calls[0].arguments == '{"a": "\\ud800 <EMAIL_ADDRESS_1>", "b": "\\ud800", "n": 1e400, "n": 2}'


def test_invalid_json_arguments_are_scrubbed_as_text() -> None:
    record = Record(
        id="a", messages=(Message(role="assistant", tool_calls=(ToolCall(name="f", arguments='{"mail": "mia@example.com",'),)),)
    )

    (after,) = from_batch(scrubbed(record).kept)

    assert after.messages[0].tool_calls[0].arguments == '{"mail": "<EMAIL_ADDRESS_1>",'


def test_numbers_under_telling_keys_become_placeholder_strings() -> None:
    record = Record(id="a", messages=(text_message("tool", '{"zip": 10001, "price": 10001, "phone": 4155550132}'),))

    (after,) = from_batch(scrubbed(record).kept)

    assert after.messages[0].text == '{"zip": "<ZIP_CODE_1>", "price": 10001, "phone": "<PHONE_NUMBER_1>"}'


def test_nothing_opens_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    outcome = scrubbed(Record(id="a", messages=(text_message("user", "mia@example.co.uk, https://mia.example.com"),)))

    assert outcome.exits.is_empty()
    assert outcome.findings["entity"].to_list() == ["EMAIL_ADDRESS"]


@pytest.mark.hostile
@pytest.mark.parametrize(
    "piece", ["12-", "a.a.", "A-", "Ab ", "a@a.", "1 ", "(1", "password ", "{", '{"a":', "é\u0301", "1.2.3.", "at 12 Ab "]
)
def test_hostile_repetition_is_scrubbed_or_leaves_but_never_hangs(piece: str) -> None:
    record = Record(id="a", messages=(text_message("user", piece * (30_000 // len(piece))),))

    outcome = scrubbed(record)

    assert outcome.kept.height + outcome.exits.height == 1


def tau_records() -> list[Record]:
    folder = shared_data("tau_bench")
    with gzip.open(folder / "gpt-4o-airline.trajectories.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [
            Record(id=str(number), messages=tuple(_message(m) for m in json.loads(line)["traj"]))
            for number, line in enumerate(lines)
        ]


def _message(raw: dict[str, Any]) -> Message:
    calls = tuple(ToolCall(id=c["id"], **c["function"]) for c in raw.get("tool_calls") or ())
    content = (Part(text=raw["content"]),) if raw.get("content") else ()
    return Message(role=raw["role"], content=content, tool_calls=calls, name=raw.get("name"))


def test_no_annotated_value_survives_anywhere_in_a_real_tool_calling_log_and_arguments_stay_json() -> None:
    truth = shared_data("tau_bench") / "pii_truth_airline.jsonl.gz"
    records = tau_records()

    outcome = scrubbed(*records)
    after = {record.id: record for record in from_batch(outcome.kept)}
    anywhere = {identity: words("\n".join(map(written, record.messages))) for identity, record in after.items()}
    left: Counter[str] = Counter()
    with gzip.open(truth, "rt", encoding="utf-8") as lines:
        for entry in map(json.loads, lines):
            conversation = anywhere[str(entry["trajectory"])]
            left.update(span["type"] for span in entry["spans"] if words(span["value"]) in conversation)

    assert outcome.kept.height == len(records)
    assert left == {}
    for record in after.values():
        for message in record.messages:
            for call in message.tool_calls:
                json.loads(call.arguments)


def written(message: Message) -> str:
    """All that a message says: text, reasoning, name, tool calls."""
    return "\n".join([message.text, message.reasoning or "", message.name or "", *(c.arguments for c in message.tool_calls)])


def words(text: str) -> str:
    """Its words in lower case, a space before and after each."""
    return f" {' '.join(''.join(c.lower() if c.isalnum() else ' ' for c in text).split())} "


def test_flight_data_beside_personal_data_is_left_alone() -> None:
    before = tau_records()[:30]
    after = from_batch(scrubbed(*before).kept)
    flights = Counter(word for r in before for m in r.messages for word in m.text.split() if word.startswith('"HAT'))
    still = Counter(word for r in after for m in r.messages for word in m.text.split() if word.startswith('"HAT'))

    assert still.total() >= 0.99 * flights.total() > 0
