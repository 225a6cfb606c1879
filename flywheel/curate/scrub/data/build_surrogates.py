"""Build `surrogate_names.txt.gz`, from which fake names are taken: `python build_surrogates.py` (needs the `test` extra: Faker).

One line a locale and kind, tab between locale, kind and names, which have a space between them. Kinds: `female` and `male` first
names, `last` names, `last_female` and `last_male` where a locale's last names have a gender, `city`. A first name that a
locale's lists have for both genders is in both. Names are single words, in the script of the locale, most frequent first
where Faker knows it. The same Faker gives the same bytes.
"""

import gzip
import importlib
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOCALES = (
    *("en_US", "en_GB", "en_IE", "en_IN", "de_DE", "fr_FR", "es_ES", "es_MX", "it_IT", "pt_BR", "pt_PT", "nl_NL", "sv_SE"),
    *("da_DK", "no_NO", "fi_FI", "pl_PL", "cs_CZ", "sk_SK", "hu_HU", "ro_RO", "hr_HR", "sl_SI", "lt_LT", "lv_LV", "et_EE"),
    *("tr_TR", "id_ID", "vi_VN", "ru_RU", "uk_UA", "bg_BG", "el_GR", "he_IL", "ar_SA", "fa_IR", "hi_IN", "bn_BD", "ta_IN"),
    *("th_TH", "ja_JP", "ko_KR", "zh_CN", "zh_TW", "ka_GE", "hy_AM"),
)
KINDS = {
    "female": ("first_names_female", "first_female_names"),
    "male": ("first_names_male", "first_male_names"),
    "last": ("last_names", "unisex_last_names", "last_names_unisex"),
    "last_female": ("last_names_female",),
    "last_male": ("last_names_male",),
}
ROMANISED = {
    "female": ("first_romanized_names_female",),
    "male": ("first_romanized_names_male",),
    "last": ("last_romanized_names",),
}
"""Japanese names in Latin script, as the locale `ja_Latn`."""
CITIES = ("cities", "city_names")
MOST = 1500


def words(value: Any) -> Iterator[str]:
    """Single words of at least two letters (one where a script writes a name so) in a provider's attribute."""
    names = sorted(value, key=lambda name: -value[name]) if isinstance(value, Mapping) else value or ()
    for name in names:
        text = name[0] if isinstance(name, tuple) else name
        letters = all(c.isalpha() or unicodedata.category(c) in ("Mn", "Mc") for c in text)
        if letters and (len(text) > 1 or ord(text) > 0x2E80) and text != "Doe":  # Doe: what a provider without a list inherits
            yield text


def named(kind: str, locale: str, attributes: tuple[str, ...]) -> list[str]:
    """What a locale's own provider lists under these attributes."""
    try:
        provider = importlib.import_module(f"faker.providers.{kind}.{locale}").Provider
    except ImportError:
        return []
    own = [getattr(provider, name, ()) for name in attributes]
    return list(dict.fromkeys(word for value in own for word in words(value)))[:MOST]


def main() -> None:
    """Write the list."""
    lines = []
    for locale in LOCALES:
        kinds = {kind: named("person", locale, attributes) for kind, attributes in KINDS.items()}
        if kinds["last_female"] and kinds["last_male"]:
            kinds["last"] = []
        if locale == "ja_JP":
            latin = {kind: named("person", locale, attributes) for kind, attributes in ROMANISED.items()}
            lines += [f"ja_Latn\t{kind}\t{' '.join(names)}" for kind, names in latin.items()]
        kinds["city"] = named("address", locale, CITIES)
        lines += [f"{locale}\t{kind}\t{' '.join(names)}" for kind, names in kinds.items() if names]
    text = "\n".join(lines) + "\n"
    (HERE / "surrogate_names.txt.gz").write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
