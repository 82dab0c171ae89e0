"""Reads TensorFlow checkpoints without TensorFlow.

A checkpoint of version 2 is an index and one or more files of raw values (TensorFlow's source,
core/util/tensor_bundle). ``NAME.index`` is a sorted table in LevelDB's format (table_format.md of
its documentation): a footer leads to an index block, which leads to blocks of entries whose keys
share prefixes. A value is a protocol buffer with type, shape, file, offset, size and checksum of
one tensor.
"""

from __future__ import annotations

import math
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.errors import CheckpointError
from model_zoo.importers.protobuf import Message, fields, signed, varint
from model_zoo.parsing import shortened
from model_zoo.weight_checks import LONGEST_NAME, MOST_AXES, MOST_TENSORS, check_tensors

INDEX = ".index"
LARGEST_INDEX = 2**20
"""Largest index in bytes; that of Spleeter's largest model has 15,000."""

MOST_ENTRIES = MOST_TENSORS + 1
"""Largest number of entries (tensors and the header), and thus of blocks, in an index."""

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48  # bytes: two handles, padding, the magic number
_TRAILER = 5  # bytes behind a block: compression, checksum
_FLOAT = 1  # DT_FLOAT
_SHARDS, _BYTE_ORDER = 1, 2  # fields of BundleHeaderProto
_TYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CHECKSUM = 1, 2, 3, 4, 5, 6  # of BundleEntryProto
_POLYNOMIAL = 0x82F63B78  # CRC-32C (RFC 3720, appendix B.4), lowest bit first
_LANE = 1024  # bytes that one lane of the vectorised checksum covers


class IndexEntry(NamedTuple):
    """Location of the values of one tensor."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def index_file(path: Path) -> Path | None:
    """Find the index of a checkpoint, given the index, a values file, the folder or the prefix."""
    if path.is_dir():
        return next(iter(sorted(path.glob(f"*{INDEX}"))), None)
    prefix = path.name.removesuffix(INDEX).partition(".data-")[0]
    index = path.with_name(prefix + INDEX)
    return index if index.is_file() else None


def described(index: Path) -> dict[str, Tensor]:
    """Float32 tensors of a checkpoint on the device "meta": shapes without values.

    Args:
        index: the file ``NAME.index``; the values are beside it in ``NAME.data-...``.

    Raises:
        CheckpointError: a file is missing or damaged, or exceeds the limits for networks.
    """
    return {
        name: torch.empty(entry.shape, device="meta") for name, (_, entry) in _found(index).items()
    }


def read(index: Path) -> dict[str, Tensor]:
    """Read the float32 tensors of a checkpoint, by name.

    Args:
        index: as for :func:`described`.

    Raises:
        CheckpointError: as for :func:`described`, or a checksum is wrong.
    """
    found = _found(index)
    with _one_sentence(index):
        return {name: _tensor(path, entry) for name, (path, entry) in found.items()}


def _found(index: Path) -> dict[str, tuple[Path, IndexEntry]]:
    """Each float32 tensor with the file of its values, after checking all of them."""
    with _one_sentence(index):
        header, entries = _entries(_index_bytes(index))
        if header.get(_BYTE_ORDER):
            raise ValueError("its values have the high byte first")
        count = int(header.get(_SHARDS, 1))
        found = {
            name: (index.with_suffix(f".data-{entry.shard:05d}-of-{count:05d}"), entry)
            for name, entry in entries.items()
            if entry.kind == _FLOAT
        }
        _check(index, found)
        return found


@contextmanager
def _one_sentence(index: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{error.filename} is missing: copy it beside {index.name}"
        ) from error
    except (ValueError, IndexError, struct.error, OSError, OverflowError) as error:
        raise CheckpointError(
            f"The TensorFlow checkpoint {index} is damaged ({shortened(str(error), 200)}): "
            "copy or download it again"
        ) from error


def _check(index: Path, found: Mapping[str, tuple[Path, IndexEntry]]) -> None:
    """Refuse absurd shapes, and tensors outside of their files or overlapping.

    Raises:
        ValueError: a tensor is not where the index says.
        CheckpointError: there are too many or too large tensors.
    """
    files = {path: _size(path) for path, _ in found.values()}
    shapes = {name: entry.shape for name, (_, entry) in found.items()}
    check_tensors(
        index, shapes, sum(entry.size for _, entry in found.values()), sum(files.values())
    )
    for path, entry in found.values():
        is_there = entry.offset + entry.size <= files[path]
        if not is_there or 4 * math.prod(entry.shape) != entry.size:
            raise ValueError(f"{path.name} is too short, or not the one that the index describes")
    by_place = sorted((path, entry.offset, entry.size) for path, entry in found.values())
    for (path, offset, size), (other, after, _) in pairwise(by_place):
        if path == other and offset + size > after:
            raise ValueError(f"tensors in {path.name} share their bytes")


def _size(path: Path) -> int:
    """Size of a regular file; a pipe or a device might never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is not a regular file")
    return status.st_size


def _index_bytes(path: Path) -> bytes:
    if _size(path) > LARGEST_INDEX:
        raise ValueError("the index is too large")
    data = path.read_bytes()
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        raise ValueError("it does not end like an index")
    return data


def _entries(data: bytes) -> tuple[dict[int, int | Message], dict[str, IndexEntry]]:
    """Entries of the index: the header and all tensors."""
    footer = data[-_FOOTER:]
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    blocks = islice(_block(data, *index), MOST_ENTRIES)
    handles = {_handle(handle, 0)[0] for _, handle in blocks}
    if sum(size for _, size in handles) > len(data):
        raise ValueError("blocks of its index share their bytes")
    pairs = (pair for handle in sorted(handles) for pair in _block(data, *handle))
    values = dict(islice(pairs, MOST_ENTRIES + 1))
    if len(values) > MOST_ENTRIES:
        raise ValueError("its index has too many entries")
    header = dict(fields(values.pop(b"", b"")))
    return header, {key.decode(): _entry(value) for key, value in values.items()}


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the end of the handle."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key stores its common prefix with the previous one."""
    block, trailer = data[offset : offset + size], data[offset + size :][:_TRAILER]
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    if trailer[0] or _masked(crc32c(block + trailer[:1])) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a block of the index is compressed or has a wrong checksum")
    at, end, key = 0, size - 4 - 4 * restarts, b""
    while at < end:
        shared, at = varint(block, at)
        added, at = varint(block, at)
        length, at = varint(block, at)
        key = key[:shared] + block[at : at + added]
        if len(key) > LONGEST_NAME:
            raise ValueError("a name of the index is too long")
        at += added
        yield key, block[at : at + length]
        at += length


def _entry(value: bytes) -> IndexEntry:
    content = dict(fields(value))
    numbers = [int(content.get(number, 0)) for number in (_SHARD, _OFFSET, _SIZE, _CHECKSUM)]
    return IndexEntry(int(content.get(_TYPE, 0)), _shape(content.get(_SHAPE, b"")), *numbers)


def _shape(value: int | Message) -> tuple[int, ...]:
    """TensorShapeProto: field 2 is one axis, whose field 1 is its size."""
    axes = (dict(fields(axis)) for number, axis in fields(value) if number == 2)
    sizes = tuple(int(axis.get(1, 0)) for axis in islice(axes, MOST_AXES + 1))
    return tuple(map(signed, sizes))


def _tensor(path: Path, entry: IndexEntry) -> Tensor:
    with path.open("rb") as file:
        file.seek(entry.offset)
        data = file.read(entry.size)
    if _masked(crc32c(data)) != entry.checksum:
        raise ValueError(f"{path.name} has a wrong checksum")
    values = np.frombuffer(data, "<f4").astype(np.float32)
    return torch.from_numpy(values.reshape(entry.shape))


def _masked(checksum: int) -> int:
    """LevelDB's masked form of a checksum, for data that contain checksums themselves."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C of ``data``, vectorized over many pieces."""
    whole = len(data) // _LANE * _LANE
    lanes = np.frombuffer(data[:whole], np.uint8).reshape(-1, _LANE)
    register = 0xFFFFFFFF
    for lane in _updated(np.zeros(len(lanes), np.uint32), lanes):
        register = _advanced(register) ^ int(lane)
    tail = np.frombuffer(data[whole:], np.uint8)[None]
    return int(_updated(np.array([register], np.uint32), tail)[0]) ^ 0xFFFFFFFF


def _updated(registers: NDArray[np.uint32], lanes: NDArray[np.uint8]) -> NDArray[np.uint32]:
    for column in lanes.T:
        registers = _TABLE[(registers ^ column) & 0xFF] ^ (registers >> np.uint32(8))
    return registers


def _advanced(register: int) -> int:
    """Register after a lane of zeros, which is linear in the register's bits."""
    parts = (_AFTER_LANE[byte, register >> (8 * byte) & 0xFF] for byte in range(4))
    return int(np.bitwise_xor.reduce([*parts]))


def _table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> np.uint32(1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


_TABLE = _table()
_BYTES = np.arange(256, dtype=np.uint32)[None] << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
_AFTER_LANE = _updated(_BYTES.ravel(), np.zeros((1, _LANE), np.uint8)).reshape(4, 256)
