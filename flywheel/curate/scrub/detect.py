"""One text through every detector, in the order of their cost, to spans without overlaps in the original text."""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flywheel.curate.entities import ENTITIES, check_entities
from flywheel.curate.scrub.dates import find_dates
from flywheel.curate.scrub.gates import Gated
from flywheel.curate.scrub.gazetteer import gazetteer
from flywheel.curate.scrub.names import find_names
from flywheel.curate.scrub.ner import Names, choose_names
from flywheel.curate.scrub.normalise import Normal, normalise
from flywheel.curate.scrub.numbers import find_numbers
from flywheel.curate.scrub.patterns import find_patterns
from flywheel.curate.scrub.peoples import find_peoples
from flywheel.curate.scrub.places import find_places
from flywheel.curate.scrub.registry import load_registry
from flywheel.curate.scrub.secrets import find_secrets
from flywheel.curate.scrub.spans import Span, resolve
from flywheel.curate.scrub.titles import find_titles
from flywheel.curate.scrub.windows import windows
from flywheel.errors import ConfigError
from flywheel.sections import Scrub

Detector = Callable[[str], list[Span]]

PLACEHOLDER = re.compile(r"<([A-Z][A-Z0-9_]*)_(\d{1,9})>")
_WINDOW = 4000
_SHIELD = "\x1f"


class Detectors(NamedTuple):
    """What `[scrub]` chose.

    `first` finds secrets; `run` are the others, which do not see what `first` found. `entities` limits what is found (all
    when empty) and `keep` is never; `allow` is case-folded, `patterns` match allowed values. `names` is the
    model, if there is one. `dates` says that every date is masked, not those of birth alone.
    """

    first: Detector
    run: tuple[Detector, ...]
    entities: frozenset[str]
    allow: frozenset[str]
    names: Names | None = None
    keep: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()
    dates: bool = False

    def keeps(self, entity: str, value: str) -> bool:
        """Whether a value of this entity is to be masked under the settings."""
        if (self.entities and entity not in self.entities) or entity in self.keep:
            return False
        value = value.strip()
        return value.casefold() not in self.allow and not any(pattern.fullmatch(value) for pattern in self.patterns)


def choose_detectors(settings: Scrub) -> Detectors:
    """The detectors that the settings ask for, loaded.

    Raises:
        ConfigError: `ner` names no detector that is there, a word list of it is missing, a phone region, an entity or a language
            is unknown, or the `registry` cannot be taken.
    """
    names = choose_names(settings.ner, everywhere=settings.places == "all") if settings.ner not in ("rules", "none") else None
    _check_regions(settings.regions)
    recognizers = load_registry(settings.registry) if settings.registry else ()
    _check_entities(settings, recognizers)
    patterns = partial(find_patterns, regions=settings.regions, recognizers=recognizers)
    run: list[Detector] = [patterns, partial(_windowed, find_numbers)]
    if settings.dates == "all":
        run.append(partial(_windowed, find_dates))
    if settings.ner != "none":
        gazetteer()
        run.append(partial(_windowed, find_names))
        everywhere = settings.places == "all"
        run.append(partial(_windowed, partial(find_places, everywhere=everywhere)))
        run.append(partial(_windowed, partial(find_peoples, everywhere=everywhere)))
    return Detectors(
        first=find_secrets,
        run=tuple(run),
        entities=frozenset(settings.entities),
        allow=frozenset(value.strip().casefold() for value in settings.allow),
        names=names,
        keep=frozenset(settings.keep) | ({"LOCATION"} if settings.places == "none" else set()),
        patterns=tuple(re.compile(pattern, re.IGNORECASE) for pattern in settings.allow_patterns),
        dates=settings.dates == "all",
    )


class Prepared(NamedTuple):
    """A text as the detectors see it: normalised, the secrets found, and the same text without them and placeholders."""

    normal: Normal
    secrets: list[Span]
    seen: str


def prepare(text: str, detectors: Detectors) -> Prepared:
    """The steps before the detectors of names."""
    normal = normalise(text)
    seen = PLACEHOLDER.sub(lambda match: _SHIELD * len(match[0]), normal.text) if "<" in normal.text else normal.text
    secrets = detectors.first(seen)
    return Prepared(normal, secrets, _shield(seen, secrets))


def detect(text: str, detectors: Detectors) -> list[Span]:
    """What is personal or secret in the text: spans in its own offsets, by position, without overlaps.

    Placeholders that are already there are never searched. Time is linear in the text's length.
    """
    normal, secrets, seen = prepare(text, detectors)
    found = [span for detector in detectors.run for span in detector(seen)]
    if detectors.names:
        found += detectors.names.spans(seen)
        found += find_titles(seen, found)
    clear = [*secrets, *(s for s in found if _SHIELD not in seen[s.start : s.end])]
    kept = (s for s in clear if detectors.keeps(s.entity, normal.text[s.start : s.end]))
    spans = resolve(normal.text, kept)
    if normal.starts is None:
        return spans
    mapped = [s._replace(start=where[0], end=where[1]) for s in spans for where in (normal.original(s.start, s.end),)]
    return resolve(text, mapped)


def _shield(text: str, spans: list[Span]) -> str:
    if not spans:
        return text
    characters = list(text)
    for span in spans:
        characters[span.start : span.end] = _SHIELD * (span.end - span.start)
    return "".join(characters)


def _windowed(detector: Detector, text: str) -> list[Span]:
    if len(text) <= _WINDOW:
        return detector(text)
    return [
        span._replace(start=span.start + offset, end=span.end + offset)
        for offset, piece in windows(text, size=_WINDOW)
        for span in detector(piece)
    ]


def _check_entities(settings: Scrub, recognizers: tuple[Gated, ...]) -> None:
    """Of a user's recognizers the entities are known only now; without them the settings were checked when they were read."""
    known = {*ENTITIES, *(entity for gated in recognizers for entity in gated.recognizer.supported_entities)}
    try:
        check_entities("entities", settings.entities, known)
        check_entities("keep", settings.keep, known)
    except ValueError as error:
        raise ConfigError(f"[scrub] {error}.") from None


def _check_regions(regions: tuple[str, ...]) -> None:
    from phonenumbers import SUPPORTED_REGIONS

    if unknown := sorted(set(regions) - set(SUPPORTED_REGIONS)):
        raise ConfigError(f"[scrub] regions has {unknown[0]!r}, which is no phone region; use codes such as US, GB, DE.")
