"""Models of the user's choice behind `[scrub] ner`: spaCy pipelines, GLiNER, transformers token classifiers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from flywheel.curate.scrub.ner import Found, Recognise
from flywheel.errors import ConfigError

_GLINER_LABELS = ("person", "street address", "location", "organization", "nationality", "phone number", "email", "date of birth")
_BATCH = 16
SIZE = 400
"""Characters shown at a time to models that cut off what exceeds their 384 or 512 tokens without a word."""


def spacy_model(name: str) -> Recognise:
    """A spaCy pipeline by package name or path. Only what its `ner` component finds counts.

    Raises:
        ConfigError: there is none of that name, or it finds no entities.
    """
    import spacy

    from flywheel.curate.scrub.ner_small import recogniser

    try:
        pipeline = spacy.load(name)
    except OSError:
        raise ConfigError(
            f"[scrub] ner = 'spacy:{name}': there is no such package or folder. "
            f"Install it (`pip install` of the model's wheel), or give the path of a saved pipeline."
        ) from None
    if not {"ner", "entity_ruler", "span_ruler"} & set(pipeline.pipe_names):
        raise ConfigError(
            f"[scrub] ner = 'spacy:{name}': this pipeline has no `ner`; it has {', '.join(pipeline.pipe_names) or 'nothing'}."
        )
    return recogniser(pipeline)


def gliner_model(name: str) -> Recognise:
    """A GLiNER model by name or path, asked for people, places, organisations and what identifies them.

    Raises:
        ConfigError: the extra `gliner` is not installed, or the model cannot be loaded.
    """
    model = _loaded(name, "gliner", lambda library: library.GLiNER.from_pretrained(name))

    def recognise(texts: Sequence[str]) -> Iterator[list[Found]]:
        for answers in model.inference(list(texts), list(_GLINER_LABELS), batch_size=_BATCH, threshold=0.5):
            yield [Found(a["start"], a["end"], a["label"]) for a in answers]

    return recognise


def transformers_model(name: str) -> Recognise:
    """A Hugging Face token classifier by name or path.

    Raises:
        ConfigError: the extra `transformers` is not installed, or the model cannot be loaded.
    """
    pipeline = _loaded(
        name,
        "transformers",
        lambda library: library.pipeline("token-classification", model=name, aggregation_strategy="simple"),
    )

    def recognise(texts: Sequence[str]) -> Iterator[list[Found]]:
        for answers in pipeline(list(texts), batch_size=_BATCH):
            yield [_found(answer) for answer in answers]

    return recognise


KINDS: Mapping[str, Callable[[str], Recognise]] = {
    "spacy": spacy_model,
    "gliner": gliner_model,
    "transformers": transformers_model,
}
"""How a model is loaded, by what stands before the colon in `[scrub] ner`."""


def _found(answer: Mapping[str, Any]) -> Found:
    label = str(answer.get("entity_group") or answer.get("entity") or "")
    return Found(int(answer["start"]), int(answer["end"]), label.removeprefix("B-").removeprefix("I-"))


def _loaded(name: str, library: str, load: Callable[[ModuleType], Any]) -> Any:
    try:
        module = importlib.import_module(library)
    except ImportError:
        raise ConfigError(
            f"[scrub] ner = '{library}:{name}' needs the extra `{library}`: pip install 'flywheel[{library}]'."
        ) from None
    try:
        return load(module)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"[scrub] ner = '{library}:{name}' cannot be loaded ({type(error).__name__}): give a model's name or its folder."
        ) from None
