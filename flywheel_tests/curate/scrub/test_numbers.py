"""Numbers by checksum and cue, accounts by where they stand. Values are invented; checksums are computed by hand or published."""

import pytest

from flywheel.curate.scrub.accounts import is_base58check
from flywheel.curate.scrub.numbers import find_numbers
from flywheel.curate.scrub.spans import resolve


def found(text: str) -> list[tuple[str, str]]:
    return [(span.entity, text[span.start : span.end]) for span in resolve(text, find_numbers(text))]


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111–1111–1111–1111",
        "4111.1111.1111.1111",
        "4111_1111_1111_1111",
        "4111,1111,1111,1111",
        "4111|1111|1111|1111",
        "4111\n1111\n1111\n1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "3782 822463 10005",
        "6304000000000000",
        "5018000000009",
        "6759649826438453",
        "6011000990139424000",
    ],
)
def test_cards_of_twelve_to_nineteen_digits_are_found_with_any_separator(card: str) -> None:
    digits = "".join(c for c in card if c.isdigit())
    cue = "" if digits in ("4111111111111111", "378282246310005") else "my card "

    assert found(f"pay {cue}{card} now") == [("CREDIT_CARD", card)]


@pytest.mark.parametrize(
    "text",
    [
        "'year': [2022, 2022, 2022, 2022]",
        "`[24095, 1384, 510, 588, 428, 4111, 1111]`",
        "It cost 234,567,890,124 dollars, or 234 567 890 124.",
        "commit 4b1f4111111111111111ab",
        "0.4111111111111111 and 4111111111111111.25",
        "4111111111111112",
    ],
)
def test_lists_thousands_and_fractions_are_no_cards(text: str) -> None:
    assert found(text) == []


def test_a_card_among_other_values_of_a_line_is_found() -> None:
    assert found("Hoover, 35244, 242355, 6011111111111117, 10/19/1972, 5") == [("CREDIT_CARD", "6011111111111117")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My driver's license number is U62928788557186", ("US_DRIVER_LICENSE", "U62928788557186")),
        ("Aadhaar: 234567890124", ("ACCOUNT_ID", "234567890124")),
        ("my NHS number is 9434765919", ("ACCOUNT_ID", "9434765919")),
        ("stop sending messages to 699 956 915", ("PHONE_NUMBER", "699 956 915")),
        ("nothing came to my registered 668 5702", ("PHONE_NUMBER", "668 5702")),
        ("She was born on the 5th of May 1990.", ("DATE_OF_BIRTH", "5th of May 1990")),
        ("I was born in 1987 and", ("DATE_OF_BIRTH", "1987")),
        ("my birthday is April 5th", ("DATE_OF_BIRTH", "April 5th")),
        ("née le 3 février 1984", ("DATE_OF_BIRTH", "3 février 1984")),
        ("nacido el 3 de marzo de 1984", ("DATE_OF_BIRTH", "3 de marzo de 1984")),
        ("DOB: 03-MAR-1984", ("DATE_OF_BIRTH", "03-MAR-1984")),
    ],
)
def test_a_cue_tells_what_a_number_is(text: str, value: tuple[str, str]) -> None:
    assert value in found(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("see /home/mliang/notes.txt", "mliang"),
        ('open("C:\\\\Users\\\\mliang\\\\x.csv")', "mliang"),
        ("C:\\Users\\Mia Liang\\Desktop\\x.csv", "Mia Liang"),
        ("/Users/mia.liang/Library", "mia.liang"),
        ("https://www.linkedin.com/in/mia-liang-4711/", "mia-liang-4711"),
        ("https://twitter.com/mialiang/status/12", "mialiang"),
        ("find me on instagram.com/mia.liang.", "mia.liang"),
        ("reddit.com/u/throwaway_mia", "throwaway_mia"),
        ("code: https://github.com/mialiang", "mialiang"),
        ("ssh -p 2222 mliang@build.internal", "mliang"),
        ("mliang@laptop:~/src$ make", "mliang"),
        ("follow @mia_liang on twitter: @mia_liang", "@mia_liang"),
        ("username: mia_l1ang", "mia_l1ang"),
    ],
)
def test_user_names_are_found_in_urls_paths_and_prompts(text: str, name: str) -> None:
    assert ("USER_ID", name) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "cd /home/user/project and /home/ubuntu/.ssh",
        "C:\\Users\\Public\\Documents and C:\\Users\\YourName\\x",
        'request.post("/users/v2/create")',
        "clone https://github.com/pandas-dev/pandas",
        "share it: https://twitter.com/intent/tweet?text=x",
        "ssh root@server",
        "def user(name: str) -> None: user = load(name)",
    ],
)
def test_accounts_of_every_machine_and_projects_stay(text: str) -> None:
    assert found(text) == []


def test_a_personal_web_site_is_found_by_its_label_and_documentation_stays() -> None:
    assert found("Phone: none\nWebsite:\nhttps://www.mialiang.org/\n") == [("URL", "https://www.mialiang.org/")]
    assert found("look at my blog: http://mia.example.org/posts.") == [("URL", "http://mia.example.org/posts")]
    assert found("Download it from the official website: https://www.docker.com/get-started") == []


@pytest.mark.parametrize(
    "wallet",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "DFundmtrigzA6E25Swr2pRe4Eb79bGP8G1",
        "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh",
        "LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH9",
    ],
)
def test_wallets_are_found_by_checksum_or_format(wallet: str) -> None:
    assert found(f"send it to {wallet}") == [("CRYPTO", wallet)]
    assert wallet.startswith("0x") or found(f"send it to {wallet[:-1]}z") == []


def test_base58check_accepts_the_genesis_address_and_no_neighbour() -> None:
    assert is_base58check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
    assert not is_base58check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb")
