"""The kinds of personal data that scrubbing knows, by Presidio's names where it has one. Light: settings are checked with it."""

import difflib
from collections.abc import Iterable

ENTITIES = (
    *(
        "PERSON",
        "LOCATION",
        "TITLE",
        "ORGANIZATION",
        "NRP",
        "STREET_ADDRESS",
        "ZIP_CODE",
        "DATE_OF_BIRTH",
        "DATE_TIME",
        "AGE",
        "EMAIL_ADDRESS",
    ),
    *("PHONE_NUMBER", "USER_ID", "ACCOUNT_ID", "PAYMENT_ID", "CREDIT_CARD", "CARD_LAST4", "IBAN_CODE", "CRYPTO", "PASSPORT"),
    *("IP_ADDRESS", "MAC_ADDRESS", "URL", "SECRET", "MEDICAL_LICENSE", "US_SSN", "US_ITIN", "US_MBI", "US_DRIVER_LICENSE"),
    *("UK_NHS", "UK_NINO", "UK_DRIVING_LICENCE", "CA_SIN", "AU_TFN", "AU_MEDICARE", "IN_PAN", "IN_AADHAAR", "IN_VOTER"),
    *("DE_TAX_ID", "DE_ID_CARD", "DE_SOCIAL_SECURITY", "DE_HEALTH_INSURANCE", "DE_FUEHRERSCHEIN", "ES_NIF", "ES_NIE"),
    *("IT_FISCAL_CODE", "IT_IDENTITY_CARD", "IT_DRIVER_LICENSE", "PL_PESEL", "FI_PERSONAL_IDENTITY_CODE", "SE_PERSONNUMMER"),
    *("SG_NRIC_FIN", "ZA_ID_NUMBER", "KR_RRN", "NG_NIN", "TH_TNIN", "TR_NATIONAL_ID"),
)
"""Those of a user's own recognizers come to these."""


def check_entities(key: str, names: Iterable[str], known: Iterable[str] = ENTITIES) -> None:
    """Raises ValueError, with the nearest known entity, unless every name that `[scrub] key` lists is one."""
    known = tuple(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{key} has {name!r}, which is no entity.{hint} Known: {', '.join(sorted(known))}")
