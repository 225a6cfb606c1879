import datetime as dt
import ipaddress
import json
import re
from typing import Any

import msgspec
import phonenumbers
import pytest

from flywheel.curate.scrub import Scrubbed, scrub
from flywheel.curate.scrub.canaries import canary_records
from flywheel.curate.scrub.detect import PLACEHOLDER
from flywheel.curate.scrub.numbers import is_iban, luhn
from flywheel.curate.scrub.surrogate_lists import lists, who
from flywheel.records import Message, Record, ToolCall, from_batch, text_message, to_batch
from flywheel.sections import Scrub

KEY = b"test key"


def scrubbed(*records: Record, **settings: Any) -> Scrubbed:
    return scrub(to_batch(records), settings=Scrub(ner="rules", replace="surrogate", **settings), key=KEY)


def said(*texts: str, conversation: str = "r") -> list[str]:
    """The texts of a conversation of user turns with surrogates."""
    record = Record(id=conversation, messages=tuple(text_message("user", text) for text in texts))
    (after,) = from_batch(scrubbed(record).kept)
    return [message.text for message in after.messages]


def test_parts_initials_handles_and_case_of_a_name_are_those_of_one_other_name() -> None:
    name, rest = said(
        "My name is Jane Doe.",
        "Jane's, JANE DOE, jane doe, J. Doe, jdoe, janed, doejane, jane-doe, Jane_Doe_CV.pdf, JaneDoe.pdf, "
        "?n=Jane%20Doe, janes car",
    )
    first, last = name.removeprefix("My name is ").removesuffix(".").split(" ")
    low, family = first.lower(), last.lower()

    assert {first, last}.isdisjoint({"Jane", "Doe"})
    assert first in lists().names["en_US"]["female"] + lists().names["en_GB"]["female"] + lists().names["en_IE"]["female"]
    assert rest == (
        f"{first}'s, {first.upper()} {last.upper()}, {low} {family}, {first[0]}. {last}, {low[0]}{family}, {low}{family[0]}, "
        f"{family}{low}, {low}-{family}, {first}_{last}_CV.pdf, {first}{last}.pdf, ?n={first}%20{last}, {low}s car"
    )


def test_an_address_with_a_name_in_it_holds_the_name_that_stands_for_it() -> None:
    name, mail = said("I am Anna Becker", "anna.becker@acme.de, a.becker42@acme.de, becker@web.de, support@acme.de")
    first, last = name.removeprefix("I am ").lower().split(" ")
    one, two, three, shared = mail.split(", ")
    domain = one.partition("@")[2]

    assert re.fullmatch(r"(?:\w+\.)?example\.(?:com|org|net)", domain)
    assert one == f"{first}.{last}@{domain}"
    assert re.fullmatch(rf"{first[0]}\.{last}\d\d@{re.escape(domain)}", two)
    assert two.partition("@")[0][-2:] != "42"
    assert three.startswith(f"{last}@")
    assert not three.endswith(f"@{domain}")
    assert shared == f"support@{domain}"


def test_relatives_share_the_fake_surname_and_nobody_else_does() -> None:
    (text,) = said("Anna Becker met Robert Becker and Maria Jones.")
    anna, robert, maria = re.findall(r"[^\W\d_]+ [^\W\d_]+(?= met| and|\.)", text)

    assert anna.split(" ")[1] == robert.split(" ")[1] != maria.split(" ")[1]
    assert len({anna, robert, maria}) == 3


@pytest.mark.parametrize(
    ("name", "locale", "gender"),
    [
        (("jane", "smith"), "en_US", "female"),
        (("wojciech", "kowalczyk"), "pl_PL", "male"),
        (("björn", "lindqvist"), "sv_SE", "male"),
        (("bjorn", "lindqvist"), "sv_SE", "male"),
        (("priya", "sharma"), "en_IN", "female"),
        (("ольга", "смирнова"), "ru_RU", "female"),
        (("hanako",), "ja_Latn", "female"),
        (("太郎",), "ja_JP", None),
    ],
)
def test_lists_tell_language_and_gender_of_a_name(name: tuple[str, ...], locale: str, gender: str | None) -> None:
    assert who(name).locale == locale
    assert who(name).gender == gender or gender is None


def test_the_fake_name_is_written_in_the_script_of_the_real_one() -> None:
    (cyrillic,) = said('{"full_name": "Ольга Смирнова"}')
    (hindi,) = said('{"full_name": "राहुल शर्मा"}')

    first, last = json.loads(cyrillic)["full_name"].split(" ")
    assert first in lists().names["ru_RU"]["female"]
    assert last in lists().names["ru_RU"]["last_female"]
    assert json.loads(hindi)["full_name"] == "<PERSON_1>"  # its vowel signs split words, so no fake word is made


def test_cards_pass_no_checksum_and_the_last_four_agree() -> None:
    (text,) = said("card 4111 1111 1111 1111, the card ending in 1111, again 4111-1111-1111-1111")
    spaced, last, dashed = re.findall(r"[\d -]{16,}\d|(?<= )\d{4}(?=,)", text)

    assert re.fullmatch(r"4\d{3} \d{4} \d{4} \d{4}", spaced.strip())
    assert dashed.strip() == spaced.strip().replace(" ", "-")
    assert last == spaced[-4:] != "1111"
    assert not luhn(re.sub(r"\D", "", spaced))


@pytest.mark.parametrize(
    ("number", "pattern"),
    [
        ("(415) 777-2368", r"\(\d{3}\) 555-01\d\d"),
        ("+1 415 777 2368", r"\+1 \d{3} 555 01\d\d"),
        ("001 415-777-2368", r"001 \d{3}-555-01\d\d"),
        ("+44 20 7123 4567", r"\+44 (?:20 7946 0\d{3}|16 3296 0\d{3}|16 1496 0\d{3}|11 3496 0\d{3}|13 1496 0\d{3})"),
        ("07911 123456", r"07700 900\d{3}"),
        ("+33 6 12 34 56 78", r"\+33 6 39 98 \d\d \d\d"),
        ("+61 412 345 678", r"\+61 491 57\d \d{3}"),
    ],
)
def test_phones_stay_in_their_country_in_ranges_kept_for_films(number: str, pattern: str) -> None:
    (text,) = said(f"call {number}")

    assert re.fullmatch(f"call {pattern}", text)


def test_a_phone_of_a_country_without_such_a_range_is_in_no_range() -> None:
    (text,) = said("call +91 98765 43210")

    assert re.fullmatch(r"call \+91 \d{5} \d{5}", text)
    assert not phonenumbers.is_valid_number(phonenumbers.parse(text.removeprefix("call ")))


def test_ibans_ssns_and_ip_addresses_keep_their_form_and_are_nobodys() -> None:
    iban, ssn, four, six = said("iban DE89 3704 0044 0532 0130 00", "ssn 536-90-4399", "from 84.23.11.9", "from 2a02:810d::1:5")

    assert re.fullmatch(r"iban DE\d\d(?: \d{4}){4} \d\d", iban)
    assert not is_iban(iban.removeprefix("iban "))
    assert re.fullmatch(r"ssn 666-\d\d-\d{4}", ssn)
    address = ipaddress.ip_address(four.removeprefix("from "))
    assert any(address in ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
    assert ipaddress.ip_address(six.removeprefix("from ")) in ipaddress.ip_network("2001:db8::/32")


def test_dates_of_birth_move_together_and_keep_their_format() -> None:
    iso, text = said("dob: 1990-04-05", "born 5 April 1990, that is 04/05/1990 or April 5th, 1990")
    moved = dt.date.fromisoformat(iso.removeprefix("dob: "))

    assert 0 < abs((moved - dt.date(1990, 4, 5)).days) <= 180
    day, name, year = moved.day, moved.strftime("%B"), moved.year
    assert text.startswith(f"born {day} {name} {year}, that is {moved:%m/%d/%Y} or {name} {day}")
    assert re.search(rf"{name} {day}(?:st|nd|rd|th), {year}\Z", text)


def test_an_address_keeps_its_form_and_its_postcode_is_the_same_elsewhere() -> None:
    address, zip_code, street = said("I live at 20 Oak St, Springfield, IL 62704", "zip code: 62704", "20 Oak Street it is")
    found = re.fullmatch(r"I live at (\d\d) (\w+) St, (\w+), ([A-Z]{2}) (\d{5})", address)

    assert found is not None
    assert zip_code == f"zip code: {found[5]}"
    assert street == f"{found[1]} {found[2]} Street it is"
    assert {"20", "Oak", "Springfield", "IL", "62704"}.isdisjoint(found.groups())


def test_a_secret_stays_a_placeholder() -> None:
    (text,) = said("login with password: hunter2$Zq9 please")

    assert "<SECRET_1>" in text


def test_it_is_the_same_within_a_conversation_and_other_between_two() -> None:
    here, again, there = said("I am Anna Becker"), said("I am Anna Becker"), said("I am Anna Becker", conversation="s")

    assert here == again != there


def test_another_key_gives_other_values() -> None:
    record = Record(id="r", messages=(text_message("user", "I am Anna Becker, ring (415) 777-2368"),))
    settings = Scrub(ner="rules", replace="surrogate")
    one, two = (from_batch(scrub(to_batch([record]), settings=settings, key=key).kept)[0] for key in (b"one", b"two"))

    assert one.messages[0].text != two.messages[0].text


def test_both_modes_replace_the_same_places_and_leave_every_other_character() -> None:
    records = [canary.record for canary in canary_records(90, seed=5)]
    batch = to_batch(records)
    plain = scrub(batch, settings=Scrub(ner="rules"), key=KEY)
    fake = scrub(batch, settings=Scrub(ner="rules", replace="surrogate"), key=KEY)

    assert fake.findings.equals(plain.findings)
    for before, after in zip(from_batch(plain.kept), from_batch(fake.kept), strict=True):
        for one, other in zip(before.messages, after.messages, strict=True):
            around = ".+".join(map(re.escape, PLACEHOLDER.split(one.text)[::3]))
            assert re.fullmatch(around, other.text, re.DOTALL)


def test_no_value_that_placeholders_hide_is_left_or_made_again() -> None:
    canaries = canary_records(180, seed=6)
    batch = to_batch(canary.record for canary in canaries)

    def left(replace: str) -> list[tuple[str, str]]:
        settings = msgspec.convert({"ner": "rules", "replace": replace}, Scrub)
        after = from_batch(scrub(batch, settings=settings, key=KEY).kept)
        return [
            (record.id, planted.value)
            for canary, record in zip(canaries, after, strict=True)
            for planted in canary.planted
            if len(planted.value) > 3 and re.search(rf"(?<!\w){re.escape(planted.value)}(?!\w)", everything(record))
        ]

    assert left("surrogate") == left("placeholder")


def everything(record: Record) -> str:
    return "\n".join(part for m in record.messages for part in (m.text, *(call.arguments for call in m.tool_calls)))


def test_arguments_stay_json_and_numbers_under_telling_keys_agree_with_the_text() -> None:
    arguments = '{"phone": 4157772368, "name": {"first_name": "Mia", "last_name": "Li"}, "n": 1.50}'
    call = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments=arguments),))
    record = Record(id="r", messages=(call, text_message("user", "I am Mia Li, (415) 777-2368")))

    (after,) = from_batch(scrubbed(record).kept)
    made = json.loads(after.messages[0].tool_calls[0].arguments)

    digits = re.sub(r"\D", "", after.messages[1].text)
    assert made["phone"] == digits
    assert after.messages[1].text.startswith(f"I am {made['name']['first_name']} {made['name']['last_name']},")
    assert made["n"] == 1.5
