import pytest
from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

from flywheel.curate.scrub.presidio import FlywheelNames, FlywheelNumbers, FlywheelPlaces, FlywheelSecrets, RuleRecognizer

TEXT = "I am Anna Becker, 20 Oak St, Springfield. Card 4111 1111 1111 1111, password: hunter2!"


@pytest.mark.parametrize(
    ("recognizer", "found"),
    [
        (FlywheelNames, {"Anna Becker"}),
        (FlywheelPlaces, {"20 Oak St, Springfield"}),
        (FlywheelNumbers, {"4111 1111 1111 1111"}),
        (FlywheelSecrets, {"hunter2"}),
    ],
)
def test_our_rules_run_in_presidios_registry_by_name(recognizer: type[RuleRecognizer], found: set[str]) -> None:
    configuration = {
        "supported_languages": ["en"],
        "recognizers": [{"name": recognizer.__name__, "type": "predefined", "supported_languages": ["en"]}],
    }
    registry = RecognizerRegistryProvider(registry_configuration=configuration).create_recognizer_registry()
    ours = [r for r in registry.recognizers if isinstance(r, RuleRecognizer)]
    results = [result for r in ours for result in r.analyze(TEXT, r.supported_entities)]

    assert {TEXT[result.start : result.end] for result in results} == found
    assert all(0 < result.score <= 1 for result in results)
