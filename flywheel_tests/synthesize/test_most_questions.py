"""The cost estimate of synthesizers that ask more or less by the answers they get."""

import json
from typing import Any

import pytest

from flywheel import plugins
from flywheel.synthesize.estimate import estimate
from flywheel.synthesize.model_settings import ModelSettings
from flywheel.synthesize.sandbox_walls import SandboxUnavailable, walls
from flywheel_tests.synthesize.conversations import chat

PRICED = ModelSettings(model="m", key_env="", max_tokens=100, dollars_per_million_input=1.0, dollars_per_million_output=2.0)
TOOL = json.dumps({"name": "look_up", "parameters": {"properties": {"word": {"type": "string"}}}})
ENVIRONMENT = {
    "state": {"on": False},
    "tools": [{"name": "switch", "effects": [{"op": "set", "path": "on", "value": True}]}],
    "goals": [{"requests": ["Switch it on."], "require": [{"path": "on", "equals": True}]}],
}


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("code_pipeline", {"languages": ["python", "perl"], "rounds": 1}, {"generator": 2 + 2 * (2 + 2 + 2)}),
        ("code_pipeline", {"explain": False, "rounds": 0}, {"generator": 3}),
        ("tool_use", {"environment": ENVIRONMENT, "attempts": 2, "longest": 4}, {"generator": 2 * 5 + 1}),
        ("api_simulation", {"attempts": 2, "longest": 4}, {"generator": 10, "judge": 2, "api": 8}),
        ("self_play", {"games": 2, "longest": 3}, {"generator": 12, "judge": 2}),
        ("ultrachat", {"subtopics": 3, "turns": 2}, {"generator": 14}),
        ("long_context", {"shortest": 500, "part": 200, "questions": 2}, {"generator": 2, "judge": 2}),
        ("long_context", {}, {}),
        ("inconsistent_variants", {"kinds": ["number", "entity"]}, {"generator": 2, "judge": 3}),
    ],
)
def test_the_estimate_counts_as_many_questions_as_a_seed_can_lead_to(
    name: str, settings: dict[str, Any], expected: dict[str, int]
) -> None:
    if name == "code_pipeline":
        try:
            walls()
        except SandboxUnavailable as trouble:
            pytest.skip(str(trouble))
    seed = chat("Tell me of the river and its towns, please. " * 20, "It has many towns.", tools=(TOOL,))
    models = dict.fromkeys(("generator", "judge", "api"), PRICED)

    found = {each.role: each for each in estimate(plugins.build("synthesizer", name, settings), [seed], seeds=10, models=models)}

    assert {role: each.questions for role, each in found.items()} == {role: 10 * count for role, count in expected.items()}
    assert all(each.prompt_tokens > 0 and 0 < each.dollars <= each.most_dollars for each in found.values())
