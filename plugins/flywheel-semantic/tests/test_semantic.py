"""With a tiny model of six words in the place of the library's own reader, and with model2vec itself where it is installed."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel.errors import PluginError
from flywheel.plugins import build
from flywheel.testing import check_similarity

WORDS = {
    "car": (1, 0, 0),
    "automobile": (0.98, 0.2, 0),
    "fast": (0, 1, 0),
    "quick": (0, 0.97, 0.2),
    "tea": (0, 0, 1),
    "the": (0, 0, 0),
}
TEXTS = pl.Series(["the fast car", "quick automobile", "the tea", "the fast car", "", "the"])
NEAR = [(1, 0), (3, 0)]


def vectors(texts: list[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.array([np.sum([WORDS.get(word, (0, 0, 0)) for word in text.split()], axis=0) for text in texts], np.float32)


class _Model:
    """Reads the folder's one file, as a stand-in for both libraries' models."""

    def __init__(self, folder: str, **_: Any) -> None:
        assert (Path(folder) / "model").read_text() == "tiny"

    @classmethod
    def from_pretrained(cls, folder: str, **options: Any) -> "_Model":
        assert options == {"force_download": False}
        return cls(folder)

    def encode(self, texts: list[str], **_: Any) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return vectors(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").write_text("tiny")
    return tmp_path


def stand_in(monkeypatch: pytest.MonkeyPatch, package: str, name: str) -> None:
    module = types.ModuleType(package)
    setattr(module, name, _Model)
    monkeypatch.setitem(sys.modules, package, module)


@pytest.mark.parametrize(("similarity", "name"), [("model2vec", "StaticModel"), ("sentence_transformers", "SentenceTransformer")])
def test_texts_of_one_meaning_are_near_and_others_are_not(
    similarity: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, similarity, name)

    table = build("similarity", similarity, {"model": str(folder)}).pairs(TEXTS, floor=0.9)

    assert table.select("row", "other").rows() == NEAR
    assert table["similarity"].is_between(0.9, 1.0).all()


@pytest.mark.parametrize(("similarity", "name"), [("model2vec", "StaticModel"), ("sentence_transformers", "SentenceTransformer")])
def test_both_keep_the_contract(similarity: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, similarity, name)

    check_similarity(build("similarity", similarity, {"model": str(folder)}))


@pytest.mark.parametrize("similarity", ["model2vec", "sentence_transformers"])
def test_a_model_that_is_no_folder_is_refused_and_not_downloaded(similarity: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"is no folder on this machine\. Nothing is downloaded"):
        build("similarity", similarity, {"model": str(tmp_path / "gone")}).pairs(TEXTS, floor=0.9)


@pytest.mark.parametrize("similarity", ["model2vec", "sentence_transformers"])
def test_a_missing_library_is_named(similarity: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, similarity, None)

    with pytest.raises(PluginError, match=r"pip install 'flywheel-semantic\["):
        build("similarity", similarity, {"model": str(folder)}).pairs(TEXTS, floor=0.9)


@pytest.mark.skipif(importlib.util.find_spec("model2vec") is None, reason="model2vec is not installed")
def test_model2vec_itself_loads_a_folder_that_it_saved(tmp_path: Path) -> None:
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({word: at for at, word in enumerate([*WORDS, "[UNK]"])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    StaticModel(np.array([*WORDS.values(), (0, 0, 0)], np.float32), tokenizer).save_pretrained(tmp_path / "tiny")

    table = build("similarity", "model2vec", {"model": str(tmp_path / "tiny")}).pairs(TEXTS, floor=0.9)

    assert table.select("row", "other").rows() == NEAR
