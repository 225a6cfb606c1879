"""The pictures of a conversation, seen a little otherwise."""

import base64
import binascii
import io
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from flywheel.errors import ConfigError
from flywheel.plugins import Model
from flywheel.records import Part, Record, digest

if TYPE_CHECKING:
    from PIL.Image import Image

_LARGEST = 40_000_000  # pixels


@dataclass(frozen=True)
class Images:
    """Change every image of a conversation, one child for each of `operations`, and keep the words.

    `rotate` by up to `degrees` either way (corners white), `crop` to `keep` of each side, `scale` to `factor` of the size,
    `erase` a rectangle of `area` of the picture (grey). The places are random, and the same every time. Images are read from
    `data:` URLs and written as such, in their own format (JPEG at quality 95) or else PNG; images that are references are not
    fetched, and a conversation whose images cannot be read has no child. Choose operations that leave the answer true: a crop
    can cut off what was asked about.

    Source: Shorten and Khoshgoftaar 2019, "A survey on image data augmentation"; Zhong et al. 2020 for `erase`.
    """

    operations: tuple[str, ...] = ("rotate", "crop", "scale", "erase")
    degrees: float = 10.0
    keep: float = 0.9
    factor: float = 0.5
    area: float = 0.1

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.operations) - set(_OPERATIONS)):
            raise ValueError(f"there is no operation {unknown[0]!r}; there is {', '.join(_OPERATIONS)}")
        for name in ("keep", "area"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"`{name}` is a share, above 0 and below 1, not {getattr(self, name)}")
        if not 0 < self.factor <= 4:
            raise ValueError(f"`factor` is above 0 and at most 4, not {self.factor}")

    async def synthesize(self, seed: Record, model: Model) -> AsyncIterator[Record]:  # noqa: ARG002
        for operation in dict.fromkeys(self.operations):
            dice = random.Random(digest(b"images", operation.encode(), seed.id.encode()))
            messages = [
                msgspec.structs.replace(message, content=tuple(self._changed(part, operation, dice) for part in message.content))
                for message in seed.messages
            ]
            if messages != list(seed.messages):
                yield seed.child(messages=messages, tags=(f"image={operation}",))

    def _changed(self, part: Part, operation: str, dice: random.Random) -> Part:
        if part.type != "image" or (picture := _opened(part.url or "")) is None:
            return part
        kind = picture.format if picture.format in ("JPEG", "PNG", "WEBP") else "PNG"
        changed = _OPERATIONS[operation](picture.convert("RGB"), self, dice)
        out = io.BytesIO()
        changed.save(out, kind, **({"quality": 95} if kind == "JPEG" else {}))
        media = f"image/{kind.lower()}"
        return msgspec.structs.replace(
            part, url=f"data:{media};base64,{base64.b64encode(out.getvalue()).decode()}", media_type=media
        )


def _rotate(picture: "Image", settings: Images, dice: random.Random) -> "Image":
    return picture.rotate(dice.uniform(0.2, 1) * settings.degrees * dice.choice((-1, 1)), expand=True, fillcolor="white")


def _crop(picture: "Image", settings: Images, dice: random.Random) -> "Image":
    width, height = (max(1, round(side * settings.keep)) for side in picture.size)
    left, top = dice.randint(0, picture.width - width), dice.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


def _scale(picture: "Image", settings: Images, dice: random.Random) -> "Image":  # noqa: ARG001
    return picture.resize((max(1, round(picture.width * settings.factor)), max(1, round(picture.height * settings.factor))))


def _erase(picture: "Image", settings: Images, dice: random.Random) -> "Image":
    width, height = (max(1, round(side * settings.area**0.5)) for side in picture.size)
    left, top = dice.randint(0, picture.width - width), dice.randint(0, picture.height - height)
    erased = picture.copy()
    erased.paste((127, 127, 127), (left, top, left + width, top + height))
    return erased


_OPERATIONS: dict[str, Callable[["Image", Images, random.Random], "Image"]] = {
    "rotate": _rotate,
    "crop": _crop,
    "scale": _scale,
    "erase": _erase,
}


def _opened(url: str) -> "Image | None":
    """The picture of a `data:` URL; None where it is a reference, no picture, or larger than 40 million pixels."""
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError(
            "the synthesizer 'images' needs Pillow, which is not installed: pip install 'flywheel[images]'."
        ) from None
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
        if picture.width * picture.height > _LARGEST:
            return None
        picture.load()
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return picture
