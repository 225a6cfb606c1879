"""A user's own recognizers from a file of Presidio's recognizer registry: patterns, deny lists, predefined ones by name."""

from pathlib import Path
from typing import Any

from flywheel.curate.scrub.gates import Gated, gate_recognizers
from flywheel.errors import ConfigError

_LANGUAGES, _FLAGS = ["en"], 26
"""What `supported_languages` and `global_regex_flags` are where the file does not say: Presidio's defaults."""
_LONGEST_REASON = 200


def load_registry(path: str) -> tuple[Gated, ...]:
    """The recognizers of the file, made by Presidio's `RecognizerRegistryProvider`; they see every text, whatever its language.

    Only what works on the text alone is taken: patterns and deny lists, in the file or predefined in Presidio. What asks a
    service or fetches a model is refused before it is made.

    Raises:
        ConfigError: the file cannot be read or is no registry, or it names a recognizer that is not there or not taken.
    """
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

    defaults: dict[str, Any] = {"supported_languages": _LANGUAGES, "global_regex_flags": _FLAGS}
    content = defaults | _read(path)
    for entry in content.get("recognizers") or ():
        _check_class(path, entry)
    try:
        made = RecognizerRegistryProvider(registry_configuration=content).create_recognizer_registry().recognizers
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError(f"[scrub] registry: {path}: {_reason(error)}. {_FORM}") from None
    return gate_recognizers(made)


_FORM = (
    "It has the form of Presidio's recognizer registry: `recognizers`, each with name, supported_entity, patterns or deny_list."
)


def _read(path: str) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[scrub] registry: {path} cannot be read: {type(error).__name__}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"[scrub] registry: {path}{f', line {mark.line + 1}' if mark else ''} is no valid YAML.") from None
    if not isinstance(content, dict) or not isinstance(content.get("recognizers"), list):
        raise ConfigError(f"[scrub] registry: {path} has no list `recognizers`. {_FORM}")
    return content


def _check_class(path: str, entry: Any) -> None:
    import presidio_analyzer.predefined_recognizers as predefined
    from presidio_analyzer import PatternRecognizer

    name = (entry.get("class_name") or entry.get("name")) if isinstance(entry, dict) else entry
    known = getattr(predefined, name, None) if isinstance(name, str) else None
    if known is predefined.EmailRecognizer:
        raise ConfigError(
            f"[scrub] registry: {path}: EmailRecognizer asks publicsuffix.org; leave it out, addresses are found without it."
        )
    if isinstance(known, type) and not issubclass(known, (PatternRecognizer, predefined.PhoneRecognizer)):
        raise ConfigError(
            f"[scrub] registry: {path}: {name} uses a model or a service; only recognizers of the text alone are taken here. "
            "A model of names is chosen by [scrub] ner."
        )


def _reason(error: Exception) -> str:
    """What is wrong and under which key. Of values only the beginning of the reason: a deny list may hold names."""
    details = getattr(error.__cause__, "errors", None)
    if details is None:
        return str(error).splitlines()[0][:_LONGEST_REASON]
    found = [(".".join(map(str, detail["loc"])), detail["msg"].partition(": {")[0]) for detail in details()]
    return "; ".join(f"{where}: {what.splitlines()[0][:_LONGEST_REASON]}" for where, what in found)
