"""Plugins as installed distributions: metadata folders and built wheels on the path, as pip would leave them."""

import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from flywheel import plugins
from flywheel.curate.judge import judge
from flywheel.errors import PluginError
from flywheel.settings import DEFAULT_FILTERS, load_settings
from flywheel.testing import awkward_records

ROOT = Path(__file__).resolve().parents[1]
GOOD = """
    from dataclasses import dataclass
    import polars as pl

    @dataclass(frozen=True)
    class Planted:
        maximum: float = 0.5
        names: tuple[str, ...] = ()

        def score(self, records: pl.DataFrame) -> pl.Series:
            return records["reply"].str.len_chars()

        def keep(self, score: pl.Series) -> pl.Series:
            return score <= self.maximum
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution onto the path: a module, and the metadata that pip writes for its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(
        name: str, target: str, code: str = GOOD, *, distribution: str = "flywheel-planted", kind: str = "flywheel.filters"
    ) -> None:
        module = target.split(":", maxsplit=1)[0]
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        with (info / "entry_points.txt").open("a") as points:
            points.write(f"[{kind}]\n{name} = {target}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_the_default_filters_are_installed_and_build_by_name() -> None:
    for name in DEFAULT_FILTERS:
        assert judge(awkward_records(), plugins.build("filter", name)).height == awkward_records().height


def test_an_installed_plugin_is_listed_with_its_origin_and_built_with_its_settings(install: Install) -> None:
    install("planted", "planted_good:Planted")

    listed = plugins.find("filter", "planted")
    built = plugins.build("filter", "planted", {"maximum": 3, "names": ["a"]})

    assert (listed.distribution, listed.version, listed.target) == ("flywheel-planted", "1.2", "planted_good:Planted")
    assert repr(built) == "Planted(maximum=3.0, names=('a',))"
    assert plugins.code_version("filter", "planted", {"b": 1, "a": 2}) == "flywheel-planted==1.2:planted_good:Planted(a=2,b=1)"


def test_listing_imports_nothing(install: Install) -> None:
    install("explosive", "planted_bomb:Planted", "raise SystemError('imported')")

    assert "explosive" in [plugin.name for plugin in plugins.installed("filter")]
    assert "planted_bomb" not in sys.modules
    assert plugins.code_version("filter", "explosive")


def test_listing_loads_nothing_heavy() -> None:
    program = (
        "import sys; from flywheel import plugins; [plugins.installed(kind) for kind in plugins.GROUPS]; "
        "heavy = {'polars', 'pyarrow', 'dagster', 'numba', 'spacy', 'ftfy', 'flywheel.records'} & set(sys.modules); print(heavy)"
    )

    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "set()"


def test_importing_a_built_in_filter_loads_no_model() -> None:
    modules = ", ".join(f"flywheel.filters.{name}" for name in DEFAULT_FILTERS)
    program = f"import sys; import {modules}; print({{'py3langid', 'ftfy', 'dagster', 'numba'}} & set(sys.modules))"

    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "set()"


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(PluginError, match=r"no filter is called 'refusals'\. Did you mean 'refusal'") as caught:
        plugins.build("filter", "refusals")

    assert "symbol_ratio" in str(caught.value)
    with pytest.raises(PluginError, match="Installed similarities: "):
        plugins.build("similarity", "exacd")


def test_two_distributions_of_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("twice", "planted_one:Planted", distribution="flywheel-one")
    install("twice", "planted_two:Planted", distribution="flywheel-two")
    install("other", "planted_other:Planted", distribution="flywheel-three")

    with pytest.raises(PluginError, match=r"two filters are called 'twice', from flywheel-one 1\.2 and flywheel-two 1\.2"):
        plugins.build("filter", "twice")
    assert plugins.build("filter", "other")


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("class Other: pass", "cannot be imported: AttributeError"),
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit"),
        ("class Planted: pass", "is not a frozen dataclass"),
        ("from dataclasses import dataclass\n@dataclass\nclass Planted:\n    x: int = 1", "is not a frozen dataclass"),
        ("from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Planted:\n    x: int = 1", "has no method 'score'"),
        (GOOD.replace("float", "'Flaot'"), "Flaot"),
    ],
)
def test_a_broken_plugin_says_what_is_wrong_and_where_it_comes_from(install: Install, code: str, complaint: str) -> None:
    install("broken", "planted_broken:Planted", code)

    with pytest.raises(PluginError, match=complaint) as caught:
        plugins.build("filter", "broken", {"maximum": 1.0})

    assert "'broken'" in str(caught.value)
    assert "flywheel-planted 1.2" in str(caught.value) or "Flaot" in str(caught.value)
    assert plugins.build("filter", "length")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"maximun": 1}, "no setting 'maximun'. Did you mean 'maximum'"),
        ({"zebra": 1}, "Its settings: maximum, names"),
        ({"maximum": "high"}, r"Expected `float`, got `str` - at `\$\.maximum`"),
        ({"names": "one"}, r"Expected `array`, got `str` - at `\$\.names`"),
    ],
)
def test_a_wrong_setting_is_named(install: Install, settings: dict[str, object], complaint: str) -> None:
    install("planted", "planted_settings:Planted")

    with pytest.raises(PluginError, match=complaint):
        plugins.build("filter", "planted", settings)


def test_what_a_plugin_says_against_a_value_reaches_the_user() -> None:
    with pytest.raises(PluginError, match="filter 'language': unknown language 'english'"):
        plugins.build("filter", "language", {"languages": ["english"]})


def _wheel(project: Path, into: Path) -> None:
    """Build with the project's own backend and unpack, which is what installing a pure wheel does."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into / "dist")]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (wheel,) = (into / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(into / "site")


def _pytest(tests: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tests),
        "-c",
        os.devnull,
        str(tests),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env=environment, cwd=tests, capture_output=True, text=True, check=False)


def test_the_plugin_package_in_the_tree_builds_and_its_own_tests_pass_when_installed(tmp_path: Path) -> None:
    _wheel(ROOT / "plugins" / "flywheel-code", tmp_path)

    ran = _pytest(ROOT / "plugins" / "flywheel-code" / "tests", tmp_path / "site")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


class _Guide(NamedTuple):
    """The guide's blocks: those that name a file in their first line, Python that is run as it stands, and settings."""

    files: dict[str, str]
    scripts: list[str]
    settings: list[str]


def _guide() -> _Guide:
    guide = _Guide({}, [], [])
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "plugins" / "README.md").read_text(), re.M | re.S):
        first, rest = block.split("\n", 1)
        if named := re.fullmatch(r"# ([\w/]+\.(?:py|toml))", first):
            guide.files[named[1]] = rest
        elif language in ("python", "toml"):
            (guide.scripts if language == "python" else guide.settings).append(block)
    return guide


def test_the_authors_guide_builds_installs_and_passes_its_own_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = _guide()
    for name, text in guide.files.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    (tmp_path / "project" / "flywheel_tone" / "__init__.py").touch()

    _wheel(tmp_path / "project", tmp_path)
    ran = _pytest(tmp_path / "project" / "tests", tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout
    assert [kind for kind in plugins.GROUPS if all(p.distribution != "flywheel-tone" for p in plugins.installed(kind))] == []
    assert guide.scripts
    for script in guide.scripts:
        exec(compile(script, "plugins/README.md", "exec"), {})
    (tmp_path / "flywheel.toml").write_text("\n".join(['[project]\nname = "guide"', *guide.settings]))
    settings = load_settings(tmp_path / "flywheel.toml")
    assert [filter.use for filter in settings.filters] == ["shouting"]
    assert [rule.method for rule in settings.duplicates] == ["same_words"]


def test_the_guides_first_plugin_is_as_short_as_it_says() -> None:
    code = _guide().files["flywheel_tone/shouting.py"]
    counted = [line for line in code.splitlines() if line.strip() and not line.strip().startswith(('"""', "#"))]

    assert len(counted) <= 15


def test_scores_may_have_any_number_type(install: Install) -> None:
    install("planted", "planted_types:Planted")
    batch = awkward_records()

    assert judge(batch, plugins.build("filter", "planted"))["score"].dtype == pl.Float64
