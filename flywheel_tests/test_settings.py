from pathlib import Path

import pytest

from flywheel.errors import ConfigError
from flywheel.settings import DEFAULT_FILTERS, load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "flywheel.toml"
    path.write_text(text, "utf-8")
    return path


def test_an_empty_file_has_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, ""))

    assert tuple(plugged.name for plugged in settings.filters) == DEFAULT_FILTERS
    assert settings.data == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[logs]\nurls = 1", "urls"),
        ("[dedup]\nsimilarity = 2.0", r"\$.dedup.similarity"),
        ("[dedup]\nkeep = 'newest'", r"\$.dedup.keep"),
        ("[dedup]\nkeep = 'score:beauty'", "'score:beauty' names no filter; there is control_tokens"),
        ("[[filters]]\nname = 'x'", r"\[\[filters\]\] number 1 needs `use`"),
        ("[[filters]]\nuse = 'length'\n[[filters]]\nuse = 'length'", "two \\[\\[filters\\]\\] are called 'length'"),
        ("[[sets]]\nname = 'a'\nformat = 'openai_chat'\nmix = 'nope'", "uses mix 'nope'; there is chat"),
        ("[[mix]]\nname = 'chat'\ntake = {curate = 1.0}", "takes 'curate'; there is curated"),
        ("[project\n", "not valid TOML"),
        ("[[mix]]\nname = 'No Spaces'", "name"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_settings(write(tmp_path, text))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flywheel init"):
        load_settings(tmp_path / "flywheel.toml")


def test_the_key_is_made_once_and_only_the_owner_may_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYWHEEL_KEY", raising=False)
    settings = load_settings(write(tmp_path, ""))

    assert settings.key() == settings.key()
    assert (tmp_path / "flywheel.key").stat().st_mode & 0o777 == 0o600


def test_the_environment_may_give_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_KEY", "secret")
    settings = load_settings(write(tmp_path, ""))

    assert settings.key() == b"secret"
    assert not (tmp_path / "flywheel.key").exists()


def test_a_sample_has_tables_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "")

    assert load_settings(path, sample=10).data != load_settings(path).data
