import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flywheel.curate.entities import ENTITIES
from flywheel.curate.scrub import scrub
from flywheel.curate.scrub.detect import choose_detectors
from flywheel.curate.scrub.fields import _KEYS
from flywheel.curate.scrub.gates import our_recognizers
from flywheel.errors import ConfigError
from flywheel.plan import nodes
from flywheel.records import Record, from_batch, text_message, to_batch
from flywheel.sections import Scrub
from flywheel.settings import load_settings

RECOGNIZERS = """
    recognizers:
      - name: Project codes
        supported_entity: PROJECT_CODE
        patterns:
          - {name: code, regex: "PRJ-\\\\d{4}", score: 0.8}
      - name: Weak codes
        supported_entity: SHELF
        patterns:
          - {name: shelf, regex: "\\\\b[A-Z]\\\\d\\\\d\\\\b", score: 0.1}
        context: [shelf]
      - name: Code names
        supported_entity: CODE_NAME
        deny_list: [Bluebird, Iron Gate]
"""


def said(*texts: str, settings: Scrub) -> list[str]:
    record = Record(id="r", messages=tuple(text_message("user", text) for text in texts))
    (after,) = from_batch(scrub(to_batch([record]), settings=settings, key=b"k").kept)
    return [message.text for message in after.messages]


def project(folder: Path, scrub: str, registry: str = RECOGNIZERS) -> Scrub:
    """`[scrub]` of a project with a registry file, as `flywheel run` reads it."""
    (folder / "recognizers.yaml").write_text(textwrap.dedent(registry))
    (folder / "flywheel.toml").write_text(f"[scrub]\nner = 'rules'\n{scrub}\n")
    return load_settings(folder / "flywheel.toml").scrub


def test_a_users_patterns_and_deny_list_are_replaced_under_their_own_entities(tmp_path: Path) -> None:
    settings = project(tmp_path, 'registry = "recognizers.yaml"')

    assert said(
        "PRJ-1234 is Bluebird, says Anna Becker.", "prj-1234 again; iron gate; take B12 from shelf C34", settings=settings
    ) == [
        "<PROJECT_CODE_1> is <CODE_NAME_1>, says <PERSON_1>.",
        "<PROJECT_CODE_1> again; <CODE_NAME_2>; take B12 from shelf <SHELF_1>",
    ]


def test_they_are_found_in_a_text_of_many_windows_and_by_entity_alone(tmp_path: Path) -> None:
    settings = project(tmp_path, 'registry = "recognizers.yaml"\nentities = ["CODE_NAME"]')
    filler = "nothing to see here. " * 500

    (text,) = said(f"{filler}Bluebird and PRJ-1234 {filler}Bluebird", settings=settings)

    assert text == f"{filler}<CODE_NAME_1> and PRJ-1234 {filler}<CODE_NAME_1>"


def test_a_predefined_recognizer_of_presidio_can_be_named(tmp_path: Path) -> None:
    registry = "recognizers:\n  - {name: DateRecognizer, type: predefined}\n"
    settings = project(tmp_path, 'registry = "recognizers.yaml"', registry)

    assert said("due on 2024-05-20", settings=settings) == ["due on <DATE_TIME_1>"]
    assert said("due on 2024-05-20", settings=Scrub(ner="rules")) == ["due on 2024-05-20"]


def test_the_scrubbed_days_are_stale_when_the_file_says_something_else_but_not_when_it_moves(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    versions = []
    for folder, registry in (("a", RECOGNIZERS), ("b", RECOGNIZERS), ("b", RECOGNIZERS.replace("Iron Gate", "Silver Gate"))):
        project(tmp_path / folder, 'registry = "recognizers.yaml"', registry)
        versions.append(nodes(load_settings(tmp_path / folder / "flywheel.toml"))["scrubbed"].version)

    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    ("registry", "message"),
    [
        ("recognizers: [{name: x, supported_entity: X, patterns: [{name: y, regex: 'a(', score: 0.5}]}]", "regex"),
        (
            "recognizers: [{name: x, supported_entity: X, patterns: [{name: y, regex: a, score: 7}]}]",
            "recognizers.patterns: .*0 and 1",
        ),
        ("recognizers: [{name: x, patterns: [{name: y, regex: a, score: 0.5}]}]", "recognizers.supported_entity: Field required"),
        ("recognizers: [{name: NopeRecognizer, type: predefined}]", "NopeRecognizer"),
        ("recognizer: []", "has no list `recognizers`"),
        ("recognizers:\n  - [\n  :", "line 3 is no valid YAML"),
        ("recognizers: [{name: EmailRecognizer, type: predefined}]", "publicsuffix"),
        ("recognizers: [{name: SpacyRecognizer, type: predefined}]", "ner"),
        ("recognizers: [{name: HuggingFaceNerRecognizer, type: predefined}]", "model or a service"),
    ],
)
def test_a_wrong_registry_is_refused_by_file_and_key(tmp_path: Path, registry: str, message: str) -> None:
    settings = project(tmp_path, 'registry = "recognizers.yaml"', registry)

    with pytest.raises(ConfigError, match=f"(?s)recognizers.yaml.*{message}"):
        choose_detectors(settings)


def test_a_missing_registry_is_an_error_of_the_configuration_and_never_presidios_defaults(tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text('[scrub]\nregistry = "none.yaml"\n')

    with pytest.raises(ConfigError, match=r"flywheel.toml.*'none.yaml' is no file"):
        load_settings(tmp_path / "flywheel.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        choose_detectors(Scrub(ner="rules", registry=str(tmp_path / "none.yaml")))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('entities = ["PERSN"]', r"entities has 'PERSN'.*Did you mean 'PERSON'\?"),
        ('keep = ["email"]', r"keep has 'email'.*Did you mean 'EMAIL_ADDRESS'\?"),
        ('allow_patterns = ["a("]', r"allow_patterns has 'a\('"),
        ('places = "some"', "places"),
        ('replace = "fake"', "replace"),
        ("languages = []", "languages is empty"),
    ],
)
def test_a_wrong_key_is_refused_when_the_settings_are_read(tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        project(tmp_path, key)


def test_an_entity_of_no_recognizer_is_refused_with_the_nearest_one_of_the_registry(tmp_path: Path) -> None:
    settings = project(tmp_path, 'registry = "recognizers.yaml"\nkeep = ["PROJECT_CODES"]')

    with pytest.raises(ConfigError, match=r"keep has 'PROJECT_CODES'.*Did you mean 'PROJECT_CODE'\?"):
        choose_detectors(settings)


def test_every_entity_that_a_field_or_recognizer_gives_is_known_to_the_settings() -> None:
    given = {entity for _, entity in _KEYS} | {gated.entity for gated in our_recognizers()}

    assert given - set(ENTITIES) == set()


@pytest.mark.parametrize(
    ("settings", "after"),
    [
        ({"keep": ("EMAIL_ADDRESS",)}, "<PERSON_1>, mia@corp.example, I live in <LOCATION_1>; my flight to Oslo"),
        (
            {"allow_patterns": (r"[^@]+@CORP\.example",)},
            "<PERSON_1>, mia@corp.example, I live in <LOCATION_1>; my flight to Oslo",
        ),
        ({"allow_patterns": (r"corp",)}, "<PERSON_1>, <EMAIL_ADDRESS_1>, I live in <LOCATION_1>; my flight to Oslo"),
        ({"places": "all"}, "<PERSON_1>, <EMAIL_ADDRESS_1>, I live in <LOCATION_1>; my flight to <LOCATION_2>"),
        ({"places": "none"}, "<PERSON_1>, <EMAIL_ADDRESS_1>, I live in Lyon; my flight to Oslo"),
        ({"entities": ("PERSON",)}, "<PERSON_1>, mia@corp.example, I live in Lyon; my flight to Oslo"),
    ],
)
def test_settings_choose_what_is_replaced(settings: dict[str, Any], after: str) -> None:
    text = "Anna Becker, mia@corp.example, I live in Lyon; my flight to Oslo"

    assert said(text, settings=Scrub(ner="rules", **settings)) == [after]


def test_a_registry_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    settings = project(tmp_path, 'registry = "recognizers.yaml"')

    assert said("Bluebird, mia@example.co.uk", settings=settings) == ["<CODE_NAME_1>, <EMAIL_ADDRESS_1>"]


def test_reading_the_settings_loads_no_detector() -> None:
    code = "import flywheel.settings, sys; print(sorted({'presidio_analyzer', 'spacy', 'phonenumbers'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
