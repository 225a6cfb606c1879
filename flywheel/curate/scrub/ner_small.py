"""The named-entity model that comes with the package, read once and only when its checksum is right."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from flywheel.curate.scrub.ner import Found, Recognise
from flywheel.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from spacy.language import Language

FILE, CHECKSUM = "small.msgpack.gz", "small.sha256"
_BATCH = 256


def small() -> Recognise:
    """The shipped model, as the scrub asks it."""
    return recogniser(pipeline())


@cache
def pipeline() -> Language:
    """The shipped model.

    Raises:
        ConfigError: its file is missing, or is not the one that its checksum names.
    """
    try:
        packed, expected = (folder() / FILE).read_bytes(), (folder() / CHECKSUM).read_text("ascii").split()[0]
    except (OSError, IndexError):
        packed, expected = b"", "missing"
    if hashlib.sha256(packed).hexdigest() != expected:
        raise ConfigError(
            f'the model of `[scrub] ner = "small"` ({FILE}) is missing or damaged: its SHA-256 is not {expected[:12]}. '
            'Install flywheel again, or state `ner = "rules"` to find names without a model.'
        )
    return unpack(packed)


def folder() -> Traversable:
    """Where the package keeps the model."""
    return files("flywheel.curate.scrub") / "model"


def recogniser(model: Language) -> Recognise:
    """Shows texts to a spaCy pipeline, in batches; what it learns of their words is forgotten afterwards."""

    def recognise(texts: Sequence[str]) -> Iterator[list[Found]]:
        with model.memory_zone():
            return iter(
                [[Found(e.start_char, e.end_char, e.label_) for e in doc.ents] for doc in model.pipe(texts, batch_size=_BATCH)]
            )

    return recognise


def pack(trained: Language) -> bytes:
    """The trained weights at half precision, as gzipped MessagePack; no code and no pickle in it."""
    import srsly  # type: ignore[import-untyped]

    ner: Any = trained.get_pipe("ner")
    parts = srsly.msgpack_loads(ner.to_bytes(exclude=["vocab"]))
    model = srsly.msgpack_loads(parts["model"])
    parts["model"] = {**model, "params": [_cast(layer, "float16") for layer in model["params"]]}
    return gzip.compress(srsly.msgpack_dumps(parts), mtime=0)


def unpack(packed: bytes) -> Language:
    """The pipeline of packed weights."""
    import srsly

    from flywheel.curate.scrub.ner_pipeline import blank

    parts = srsly.msgpack_loads(gzip.decompress(packed))
    model = parts["model"]
    parts["model"] = srsly.msgpack_dumps({**model, "params": [_cast(layer, "float32") for layer in model["params"]]})
    made = blank()
    made.initialize()
    ner: Any = made.get_pipe("ner")
    ner.from_bytes(srsly.msgpack_dumps(parts))
    return made


def _cast(layer: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: None if array is None else array.astype(kind) for name, array in layer.items()}
