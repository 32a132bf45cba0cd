"""The frames of the event log: what stands in its files, byte by byte.

    file   = MAGIC frame*
    frame  = length crc payload       two little-endian 32-bit numbers; the crc is of the payload
    payload = head-length head rows   the head is a record below, as MessagePack

A frame that is cut off or whose crc is wrong ends a file: it was being written when the process or
the machine stopped, and nobody was told that its rows are safe.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from pipewren.errors import StartError

_NAME = b"PWRNLOG"
MAGIC = _NAME + b"1"
_HEAD = struct.Struct("<II")
_HEAD_LENGTH = struct.Struct("<I")
MAX_FRAME_BYTES = 1 << 30


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """`count` rows that stand in a file of the log, as whole lines."""

    segment: int
    offset: int
    length: int
    count: int


class Rows(msgspec.Struct, frozen=True, tag="rows", array_like=True):
    """Rows for one table, which follow; see `batch.Batch`."""

    workspace_id: str
    table: str
    columns: tuple[str, ...]
    format: str
    count: int
    ends: str = ""  # token of a group in whose place they are, which is done with this


class Sealed(msgspec.Struct, frozen=True, tag="sealed", array_like=True):
    """Rows that are inserted as one, under a deduplication token; written before the insert."""

    token: str
    workspace_id: str
    table: str
    columns: tuple[str, ...]
    format: str
    extents: tuple[Extent, ...]


class Split(msgspec.Struct, frozen=True, tag="split", array_like=True):
    """Groups in the place of another, of which nothing is in its table."""

    token: str
    groups: tuple[Sealed, ...]


class Done(msgspec.Struct, frozen=True, tag="done", array_like=True):
    """The group is in its table, or has been given up: nothing is to be done about it."""

    token: str


Head = Rows | Sealed | Split | Done


class Frame(msgspec.Struct, frozen=True):
    """A frame as it was read. `offset` is where its rows begin in the file, `end` where it ends."""

    head: Head
    offset: int
    length: int
    end: int


_encode = msgspec.msgpack.encode
_decoder = msgspec.msgpack.Decoder(Head)


def make_frame(head: Head, rows: bytes = b"") -> tuple[bytes, int]:
    """The bytes of a frame, and where in them its rows begin."""
    encoded = _encode(head)
    start = _HEAD_LENGTH.pack(len(encoded)) + encoded
    crc = zlib.crc32(rows, zlib.crc32(start))
    return _HEAD.pack(len(start) + len(rows), crc) + start + rows, _HEAD.size + len(start)


def read_frames(path: Path) -> Iterator[Frame]:
    """The whole frames of a file, up to the first that is not whole. Raises StartError for what
    a newer version has written."""
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if len(magic) == len(MAGIC) and magic.startswith(_NAME):
                raise _newer(path)
            return
        while (frame := _read_frame(file, path)) is not None:
            yield frame


def is_cut_off(path: Path, at: int) -> bool:
    """Whether what begins at that byte is the first part of a frame and nothing else."""
    with path.open("rb") as file:
        file.seek(at)
        head = file.read(_HEAD.size)
    rest = path.stat().st_size - at
    return len(head) < _HEAD.size or rest < _HEAD.size + _HEAD.unpack(head)[0]


def _read_frame(file: BinaryIO, path: Path) -> Frame | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, crc = _HEAD.unpack(head)
    if not _HEAD_LENGTH.size <= length <= MAX_FRAME_BYTES:
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != crc:
        return None
    (head_length,) = _HEAD_LENGTH.unpack_from(payload)
    begin = _HEAD_LENGTH.size + head_length
    try:
        decoded: Head = _decoder.decode(payload[_HEAD_LENGTH.size : begin])
    except msgspec.DecodeError:
        raise _newer(path) from None  # it is whole
    end = file.tell()
    rows = length - begin
    return Frame(decoded, end - rows, rows, end)


def _newer(path: Path) -> StartError:
    return StartError(
        f"The event log {path.name} has records of a newer Pipewren, and events in it would be "
        "lost: start that version, which inserts them"
    )
