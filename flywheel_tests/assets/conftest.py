"""One small project, made by `flywheel run` and served by Dagster's web server, for all tests that look at the UI."""

from collections.abc import Iterator

import pytest

from flywheel_tests.assets.processes import Server, flywheel, webserver
from flywheel_tests.projects import call, write_log

FILTERS = ("empty_reply", "length", "refusal")
CONFIGURATION = """
[project]
name = "served"
start = "2026-03-01"
end = "2026-03-02"

[[filters]]
use = "empty_reply"

[[filters]]
use = "length"

[[filters]]
use = "refusal"

[[synthesize]]
use = "typos"
limit = 10

[[mix]]
name = "chat"
take = { curated = 1.0 }

[[sets]]
name = "chat"
format = "openai_chat"
mix = "chat"
"""


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """22 entries on two days: on each day one that is no JSON, one refusal, and on the second a repetition of the first."""
    home = tmp_path_factory.mktemp("served")
    project, plugins = home / "project", home / "plugins"
    plugins.mkdir()
    made = flywheel(home, "init", str(project), "--no-demo-logs")
    assert made.returncode == 0, made.stderr
    (project / "flywheel.toml").write_text(CONFIGURATION, "utf-8")
    refusal = "I'm sorry, but I can't help with that."
    first, second = [call(number) for number in range(9)], [call(number) for number in range(10, 17)]
    said, answered = first[0]["request"]["messages"][0]["content"], first[0]["response"]["choices"][0]["message"]["content"]
    write_log(project, "2026-03-01", "app.jsonl", [*first, "{ not json", call(100, reply=refusal)])
    write_log(
        project,
        "2026-03-02",
        "app.jsonl",
        [*second, "{ not json", call(101, reply=refusal), call(102, prompt=said, reply=answered)],
    )
    made = flywheel(project, "run")
    assert made.returncode == 0, made.stdout + made.stderr
    with webserver(project, plugins) as server:
        yield server
