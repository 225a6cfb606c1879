import bz2
import gzip
import io
import json
import random
import zlib
from collections.abc import Iterator

import pytest
import zstandard

from flywheel.sources.lines import BadEntry, Entry, Item, decode, entries
from flywheel.sources.unpack import Cut, unpack

CHANCE = random.Random(7)
LINES = [json.dumps({"n": n, "text": "".join(CHANCE.choices("abcdefgh ", k=80))}).encode() for n in range(2000)]
TEXT = b"\n".join(LINES) + b"\n"


def split(data: bytes) -> list[Item]:
    return list(entries(unpack(io.BytesIO(data))))


def numbers(found: list[Item]) -> list[int]:
    return [decode(item.data)["n"] for item in found if isinstance(item, Entry)]


def reasons(found: list[Item]) -> list[str]:
    return [item.reason for item in found if isinstance(item, BadEntry)]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_packing_is_recognised_by_content(pack: "type[bytes]") -> None:
    assert numbers(split(pack(TEXT))) == list(range(2000))


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_members_one_after_the_other_are_read_with_padding_between(pack: "type[bytes]") -> None:
    half = TEXT.index(b"\n", len(TEXT) // 2) - 20  # in the middle of a line

    found = split(pack(TEXT[:half]) + b"\0" * 700 + pack(TEXT[half:]) + b"\0" * 3)

    assert numbers(found) == list(range(2000))
    assert not reasons(found)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_everything_before_the_cut_of_a_truncated_gzip_survives(share: float) -> None:
    packed = gzip.compress(TEXT)
    cut = packed[: int(len(packed) * share)]
    readable = zlib.decompressobj(31).decompress(cut).rstrip()

    found = split(cut)

    assert numbers(found) == list(range(readable.count(b"\n")))
    assert len(numbers(found)) > 2000 * share * 0.8
    assert reasons(found) == ["truncated"]
    assert found[-1].offset + found[-1].length == len(readable)


def test_everything_before_the_cut_of_a_truncated_zstd_survives_block_by_block() -> None:
    rows = b"".join(b'{"n": %d, "text": "%s"}\n' % (n, CHANCE.randbytes(40).hex().encode()) for n in range(20_000))
    packed = zstd(rows)

    found = split(packed[: len(packed) // 2])

    assert numbers(found) == list(range(len(numbers(found))))
    assert len(numbers(found)) > 8000
    assert reasons(found) == ["truncated"]


def test_what_comes_before_damage_inside_gzip_survives() -> None:
    packed = bytearray(gzip.compress(TEXT, mtime=0))
    packed[-8:-4] = b"\0\0\0\0"  # the checksum

    found = split(bytes(packed))

    assert numbers(found) == list(range(2000))
    assert reasons(found) == ["corrupt"]


def test_an_invalid_block_ends_the_stream_at_its_place() -> None:
    start = gzip.compress(TEXT, mtime=0)
    deflated = zlib.compressobj(6, zlib.DEFLATED, 31)
    head = deflated.compress(TEXT) + deflated.flush(zlib.Z_FULL_FLUSH)
    assert head[:3] == start[:3]

    found = split(head + b"\x07" + b"junk" * 100)  # block type 3 does not exist

    assert numbers(found) == list(range(2000))
    assert reasons(found) == ["corrupt"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_garbage_behind_a_member_is_reported_and_harms_nothing(pack: "type[bytes]") -> None:
    found = split(pack(TEXT) + b"some garbage")

    assert numbers(found) == list(range(2000))
    assert reasons(found) == ["trailing_garbage"]


def test_a_cut_behind_a_whole_object_keeps_it() -> None:
    packed = zlib.compressobj(6, zlib.DEFLATED, 31)
    data = packed.compress(b'{"n": 0}\n{"n": 1}') + packed.flush(zlib.Z_SYNC_FLUSH)

    found = split(data)

    assert numbers(found) == [0, 1]
    assert found[-1] == BadEntry(17, 0, "truncated")


def test_a_cut_behind_a_number_does_not_keep_it_for_it_may_have_been_longer() -> None:
    packed = zlib.compressobj(6, zlib.DEFLATED, 31)
    data = packed.compress(b'{"n": 0}\n12') + packed.flush(zlib.Z_SYNC_FLUSH)

    assert split(data)[1:] == [BadEntry(9, 2, "truncated")]


@pytest.mark.hostile
@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_decompression_bomb_is_stopped_by_its_ratio_in_bounded_pieces(pack: "type[bytes]") -> None:
    bomb = pack(b"\0" * (400 << 20))
    sizes: list[int] = []

    with pytest.raises(Cut, match="decompression_bomb"):
        sizes.extend(map(len, unpack(io.BytesIO(bomb))))

    assert sum(sizes) <= 256 << 20
    assert max(sizes) <= 40 << 20


def test_the_total_of_unpacked_bytes_is_capped() -> None:
    pieces: Iterator[bytes] = unpack(io.BytesIO(gzip.compress(TEXT)), max_bytes=100_000)

    with pytest.raises(Cut, match="too_large"):
        list(pieces)


@pytest.mark.parametrize("data", [bz2.compress(TEXT), b"PAR1" + b"\0" * 50, b"PK\x03\x04" + b"x" * 50])
def test_a_binary_format_is_one_rejected_entry(data: bytes) -> None:
    assert split(data) == [BadEntry(0, 0, "unsupported_format")]


def test_of_a_file_that_has_grown_the_registered_bytes_are_read() -> None:
    assert b"".join(unpack(io.BytesIO(TEXT + b"more"), size=len(TEXT))) == TEXT


def test_a_file_that_has_shrunk_is_reported() -> None:
    found = list(entries(unpack(io.BytesIO(TEXT), size=len(TEXT) + 9)))

    assert numbers(found) == list(range(2000))
    assert reasons(found) == ["truncated"]


def test_a_device_that_fails_keeps_what_it_gave() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise OSError(5, "Input/output error")
            return super().read(min(size or 0, TEXT.index(b"\n") + 1))

    found = list(entries(unpack(Failing(TEXT))))

    assert numbers(found) == [0]
    assert reasons(found) == ["unreadable"]
