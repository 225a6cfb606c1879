"""Conversations with slots for planted values. Do not tune rules on them: once that had been done, four of the seven with names
were written anew, without looking at what is found in them."""

from typing import NamedTuple


class Turn(NamedTuple):
    """A message. `arguments` makes it a tool call; slots are `{PERSON}` or, for another value of the kind, `{PERSON:2}`."""

    role: str
    text: str
    arguments: str | None = None


TEMPLATES: tuple[tuple[Turn, ...], ...] = (
    (
        Turn("system", "You answer for a bicycle workshop. On the line: {PERSON} ({EMAIL_ADDRESS})."),
        Turn("user", "The gears slip again. Leave a message at {PHONE_NUMBER} when the bike is ready."),
        Turn("assistant", "Noted. {PERSON} gets a message at {PHONE_NUMBER} and the bill goes to {EMAIL_ADDRESS}."),
    ),
    (
        Turn("user", "The parcel for {PERSON} went to our old flat. The right one is {STREET_ADDRESS}"),
        Turn("assistant", "", '{{"street": "{STREET_ADDRESS}", "customer": "{PERSON}", "notify": true}}'),
        Turn("tool", '{{"status": "saved", "address": "{STREET_ADDRESS}"}}'),
        Turn("assistant", "Done. Parcels will go to {STREET_ADDRESS}."),
    ),
    (
        Turn("user", "Refund to {CREDIT_CARD} please, the name on it is {PERSON}."),
        Turn("assistant", "", '{{"card": "{CREDIT_CARD}", "holder_name": "{PERSON}", "amount": 49.9}}'),
        Turn("assistant", "The refund will be visible within five working days."),
    ),
    (
        Turn("user", "Our landlord wants the rent on {IBAN_CODE}. Is that a German bank?"),
        Turn("assistant", "The first two letters tell the country. Always confirm such a change by phone."),
    ),
    (
        Turn("user", 'Why does this fail?\n```\nclient = Client(api_key="{SECRET}")\n```'),
        Turn("assistant", "The key seems to be revoked. Never paste {SECRET} into a chat; create another one."),
    ),
    (
        Turn("system", "Connection: postgres://reporting:{SECRET}@db.internal:5432/sales"),
        Turn("user", "How many orders were placed in May?"),
        Turn("assistant", "", '{{"sql": "select count(*) from orders where month = 5"}}'),
        Turn("assistant", "There were 4,211 orders in May."),
    ),
    (
        Turn("user", "Please fill in the form: social security {US_SSN}, birth date {DATE_OF_BIRTH}, {AGE} years old."),
        Turn("assistant", "I filled in {US_SSN} and {DATE_OF_BIRTH}. Shall I submit it?"),
    ),
    (
        Turn("user", "Somebody from {IP_ADDRESS} keeps trying to log in to my router. What should I do?"),
        Turn("assistant", "Block {IP_ADDRESS} in the firewall and change the administrator's password."),
    ),
    (
        Turn("user", "Can you word a farewell card? {PERSON} leaves our bakery after twenty years."),
        Turn(
            "assistant",
            "Twenty years of fresh bread! All the best, {PERSON}; the ovens will miss you.\n\n{PERSON:2} and the early shift",
        ),
    ),
    (
        Turn("user", "{PERSON} and {PERSON:2} argue about who cooks tonight. Any fair way to settle it?"),
        Turn("assistant", "Let {PERSON:2} choose a number and {PERSON} guess it; the loser cooks."),
    ),
    (
        Turn("user", "Change my login from {USER_ID} to something shorter. My customer number is {ACCOUNT_ID}."),
        Turn("assistant", "", '{{"user_id": "{USER_ID}", "account_number": "{ACCOUNT_ID}"}}'),
        Turn("assistant", "What would you like instead of {USER_ID}?"),
    ),
    (
        Turn("user", "The rental desk asks for my driver's license number, it is {US_DRIVER_LICENSE}. Passport: {PASSPORT}"),
        Turn("assistant", "Both {US_DRIVER_LICENSE} and {PASSPORT} look complete."),
    ),
    (
        Turn("user", "I live in {LOCATION} and the zip code is {ZIP_CODE}. When is the next collection of paper?"),
        Turn("assistant", "For {ZIP_CODE} the next collection is on Tuesday."),
    ),
    (
        Turn(
            "user", 'A headline for this: "{PERSON} beat {PERSON:2} in the final of the chess club. {PERSON:2} had won it twice."'
        ),
        Turn("assistant", "Upset at the chess club: {PERSON} takes the title from {PERSON:2}"),
    ),
    (
        Turn(
            "tool",
            '{{"rows": [{{"first_name": "{PERSON}", "email": "{EMAIL_ADDRESS}", "phone": "{PHONE_NUMBER}", "plan": "gold"}}]}}',
        ),
        Turn("assistant", "I found one customer on the gold plan, {PERSON}, reachable at {PHONE_NUMBER}."),
    ),
    (
        Turn("user", "Explain the difference between a list and a tuple in Python, with a short example for each."),
        Turn(
            "assistant",
            "A list can change: `x = [1, 2]; x.append(3)`. A tuple cannot: `y = (1, 2)`. Use tuples for fixed records.",
        ),
    ),
    (
        Turn("user", "Which planets have rings, and who discovered them first? Answer in three sentences."),
        Turn(
            "assistant",
            "All four giant planets have rings. The ones of Saturn were seen first, in 1610. The others came later.",
        ),
    ),
    (
        Turn(
            "user",
            "Invoice 2024 of our shop came to 1,250.00 euros for 12 chairs. What is the price of one chair without 19 % tax?",
        ),
        Turn("assistant", "1,250.00 / 1.19 = 1,050.42 without tax; divided by 12 that makes 87.54 euros a chair."),
    ),
)
