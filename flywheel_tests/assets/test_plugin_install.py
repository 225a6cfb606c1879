import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flywheel_tests.assets.processes import ROOT, Server, environment, flywheel

RELOAD = """
    mutation {
      reloadRepositoryLocation(repositoryLocationName: "flywheel") {
        ... on WorkspaceLocationEntry { locationOrLoadError { ... on PythonError { message } } }
      }
    }
"""
NODES = "{ assetNodes { assetKey { path } groupName description dependencyKeys { path } dependedByKeys { path } } }"

pytestmark = pytest.mark.slow


def nodes(server: Server) -> dict[str, dict[str, list[str] | str]]:
    """Every node that the UI shows: its description, and the names of the nodes before and after."""

    def names(keys: list[dict[str, list[str]]]) -> list[str]:
        return ["/".join(key["path"]) for key in keys]

    return {
        "/".join(node["assetKey"]["path"]): {
            "group": node["groupName"],
            "description": node["description"],
            "before": names(node["dependencyKeys"]),
            "after": sorted(names(node["dependedByKeys"])),
        }
        for node in server.ask(NODES)["assetNodes"]
    }


def reload(server: Server) -> None:
    assert server.ask(RELOAD)["reloadRepositoryLocation"] == {"locationOrLoadError": {}}


@pytest.fixture
def installed(served: Server) -> Iterator[Server]:
    """The in-tree plugin, built and installed beside the running server without any network; gone again at the end."""
    source = served.project.parent / "flywheel-code"
    shutil.copytree(ROOT / "plugins" / "flywheel-code", source)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [*install, "--disable-pip-version-check", "--target", str(served.plugins), str(source)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    configuration = served.project / "flywheel.toml"
    before = configuration.read_text("utf-8")
    configuration.write_text(before + '\n[[filters]]\nuse = "code_parses"\nminimum = 0.9\n', "utf-8")
    yield served
    configuration.write_text(before, "utf-8")
    for folder in (source, *served.plugins.iterdir()):
        shutil.rmtree(folder)
    reload(served)


def test_an_installed_plugin_is_a_node_after_reloading_the_definitions_and_runs(installed: Server) -> None:
    assert "verdicts/code_parses" not in nodes(installed)

    reload(installed)

    node = nodes(installed)["verdicts/code_parses"]
    assert (node["group"], node["before"], node["after"]) == ("curate", ["scrubbed"], ["curated", "duplicates"])
    assert "too few fenced code blocks parse" in node["description"]
    assert "minimum = 0.9" in node["description"]
    run = flywheel(installed.project, "run", "--select", "verdicts/code_parses", plugins=(installed.plugins,))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2026-03-02: made verdicts/code_parses" in run.stdout
