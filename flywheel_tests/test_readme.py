"""What the README shows is true: its blocks load, run and name what exists."""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import dagster as dg
import pytest

from flywheel.cli import main
from flywheel.plan import nodes
from flywheel.project import check_plugins
from flywheel.settings import load_settings
from flywheel.testing import check_filter

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Every line of a console block, continuation lines joined, and every inline `flywheel ...` and `make ...`."""
    shown = [line[2:] for block in blocks("console") for line in block.replace("\\\n", " ").splitlines() if line.startswith("$ ")]
    return [*shown, *re.findall(r"`((?:flywheel|make) [^`\n]+)`", README)]


@pytest.mark.parametrize("toml", blocks("toml"))
def test_each_configuration_loads_and_its_plugins_have_these_settings(toml: str, tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text(toml, "utf-8")

    settings = load_settings(tmp_path / "flywheel.toml")

    check_plugins(settings)
    assert {f"training_set/{chosen.name}" for chosen in settings.sets} <= set(nodes(settings))


@pytest.mark.parametrize("python", blocks("python"))
def test_each_python_block_is_a_sound_filter(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("readme_block")
    monkeypatch.setitem(sys.modules, "readme_block", module)  # where pickle looks for the class
    exec(compile(python, "README.md", "exec"), module.__dict__)

    (cls,) = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == "readme_block"]

    check_filter(cls())


def test_there_are_blocks_of_every_kind() -> None:
    assert {language: bool(blocks(language)) for language in ("toml", "python", "console", "text")} == {
        "toml": True,
        "python": True,
        "console": True,
        "text": True,
    }


@pytest.mark.parametrize("line", sorted({line for line in commands() if "flywheel" in line.split()[0]}))
def test_each_flywheel_command_is_known_with_its_options(line: str) -> None:
    command: click.Command = main
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        known = command.commands.get(words[0])
        assert known is not None, f"{line}: there is no command {words[0]!r}"
        command, words = known, words[1:]

    if words or not isinstance(command, click.Group):
        command.make_context("flywheel", list(words), resilient_parsing=False).close()


@pytest.mark.parametrize("line", sorted({line for line in commands() if line.startswith("make ")}))
def test_each_make_target_exists(line: str) -> None:
    (target,) = line.split()[1:]

    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), line


def defined() -> Iterator[tuple[str, str]]:
    """Name and group of every node of the repository's own graph."""
    from assets.definitions import defs

    for spec in defs.resolve_all_asset_specs():
        yield spec.key.to_user_string(), spec.group_name or ""


def test_the_graph_shows_groups_and_nodes_that_exist() -> None:
    graph = blocks("text")[0]
    headings, *rows = graph.splitlines()
    existing = dict(defined())
    kinds = {re.sub("/.*", "/NAME", name) for name in existing}
    shown = set(re.findall(r"[a-z_]+(?:/NAME)?", "\n".join(rows))) - {"card", "manifest"}

    assert headings.split() == ["ingest", "curate", "synthesize", "mix", "format", "inspect"]
    assert set(headings.split()) == set(existing.values())
    assert shown <= kinds
    assert shown >= {"log_files", "records", "conversations", "cleaned", "scrubbed", "duplicates", "curated", "splits", "ledger"}


def test_each_link_leads_to_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_entry_point_groups_and_make_targets_named_in_the_text_exist() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r'entry-points\."([a-z_.]+)"', README)

    assert named
    assert [group for group in named if group not in project["entry-points"]] == []


def test_python_versions_are_those_that_the_package_accepts() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert "Python 3.11 to 3.13" in README
    assert project["requires-python"] == ">=3.11,<3.14"


def test_the_address_of_the_interface_is_dagsters() -> None:
    assert "http://127.0.0.1:3000/asset-groups" in README
    assert dg.__version__.startswith("1.13.")
