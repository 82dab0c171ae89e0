"""Malicious checkpoints of TensorFlow and torch, written byte by byte.

TensorFlow's layout is from its core/util/tensor_bundle and LevelDB's table_format.md, that of
pickles from the module pickletools.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from model_zoo.importers.tensorflow import _TABLE, _masked, crc32c
from tests.hostile.table import Row

FLOAT = 1
MAGIC = bytes.fromhex("57fb808b247547db")
VALUES = "model.data-00000-of-00001"


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer with a number or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(shape: Sequence[int], offset: int, size: int, shard: int = 0, checksum: int = 0) -> bytes:
    """The index entry of a float tensor."""
    axes = b"".join(field(2, field(1, length)) for length in shape)
    fields = ((3, shard), (4, offset), (5, size))
    return (
        field(1, FLOAT)
        + field(2, axes)
        + b"".join(field(number, value) for number, value in fields)
        + varint(6 << 3 | 5)
        + struct.pack("<I", checksum)
    )


def sealed(block: bytes, compression: int = 0) -> bytes:
    """A block with its trailer: compression type and checksum."""
    return (
        block
        + bytes([compression])
        + struct.pack("<I", _masked(crc32c(block + bytes([compression]))))
    )


def block(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A block of keys and values without shared prefixes and with one restart point."""
    entries = (
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs
    )
    return b"".join(entries) + struct.pack("<II", 0, 1)


def table(data: bytes, handles: Sequence[tuple[int, int]]) -> bytes:
    """A table: blocks of entries, the index of their positions, and the footer."""
    rows = [
        (b"%08d" % number, varint(at) + varint(size)) for number, (at, size) in enumerate(handles)
    ]
    index = block(rows)
    footer = varint(len(data)) + varint(0) + varint(len(data)) + varint(len(index))
    return data + sealed(index) + footer.ljust(40, b"\0") + MAGIC


def index(pairs: Sequence[tuple[bytes, bytes]], header: bytes = b"", compression: int = 0) -> bytes:
    content = block([(b"", header), *pairs])
    return table(sealed(content, compression), [(0, len(content))])


def blocks_in_blocks() -> bytes:
    """Each block contains all earlier blocks, so that checksums take quadratic time."""
    data, handles, register, at = bytearray(struct.pack("<I", 2**30)), [], 0xFFFFFFFF, 0
    for _ in range(60_000):
        for byte in data[at:]:
            register = int(_TABLE[(register ^ byte) & 0xFF]) ^ register >> 8
        at = len(data)
        handles.append((0, at))
        with_kind = int(_TABLE[register & 0xFF]) ^ register >> 8  # 0: the block is not compressed
        data += b"\0" + struct.pack("<II", _masked(with_kind ^ 0xFFFFFFFF), 2**30)
    return table(bytes(data), handles)


def bundle(
    folder: Path,
    content: bytes,
    size: int = 4,
    name: str = "model",
    put: Callable[[Path], object] | None = None,
) -> None:
    """Write a checkpoint whose values are a sparse file."""
    (folder / "tf").mkdir()
    (folder / "tf" / f"{name}.index").write_bytes(content)
    values = folder / "tf" / VALUES.replace("model", name)
    if put:
        put(values)
        return
    with values.open("wb") as file:
        file.truncate(size)


def one(shape: Sequence[int], offset: int = 0, size: int = 4, shard: int = 0) -> bytes:
    return index([(b"conv2d/bias", entry(shape, offset, size, shard))])


def pipe_as_index(folder: Path) -> None:
    (folder / "tf").mkdir()
    os.mkfifo(folder / "tf" / "model.index")


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


MANY = [(b"t%07d" % number, entry((0,), 0, 0)) for number in range(30_000)]
ZERO_SUM = _masked(crc32c(bytes(2**20)))
SHARING = [
    (b"t%04d" % number, entry((2**18,), 0, 2**20, checksum=ZERO_SUM)) for number in range(1_000)
]
ELSEWHERE = r"model\.data-00000-of-00001 is too short, or not the one that the index describes"
SPECIAL = r"model\.data-00000-of-00001 is not a regular file"
NEGATIVE = "a tensor has an axis of negative length"
BUNDLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a shape of 70,000 axes": (
        partial(bundle, content=one([2**62] * 70_000)),
        "a tensor has 9 axes",
    ),
    "an axis of length -1": (partial(bundle, content=one([-1])), NEGATIVE),
    "two axes of length -1": (partial(bundle, content=one([-1, -1])), NEGATIVE),
    "a tensor of four terabytes": (
        partial(bundle, content=one([10**6, 10**6], 0, 4 * 10**12)),
        "its tensors would take 4,000,000,000,000 bytes",
    ),
    "values behind the end": (partial(bundle, content=one([1], 4)), ELSEWHERE),
    "values at -4": (partial(bundle, content=one([1], -4)), ELSEWHERE),
    "values of -4 bytes": (
        partial(bundle, content=one([1], 0, -4)),
        "its tensors would take 18,446,744,073,709,551,612 bytes",
    ),
    "a shape that does not fit its values": (partial(bundle, content=one([2])), ELSEWHERE),
    "10 GB that are not on the disk": (
        partial(bundle, content=one([25 * 10**8], 0, 10**10), size=10**10),
        "holds no network that can be converted",
    ),
    "two tensors that share their bytes": (
        partial(bundle, content=index(SHARING[:2]), size=2**20),
        r"tensors in model\.data-00000-of-00001 share their bytes",
    ),
    "1,000 tensors that share their bytes": (
        partial(bundle, content=index(SHARING), size=2**20, name="m[x]"),
        "its tensors would take 1,048,576,000 bytes",
    ),
    "a file of values of number 2^60": (
        partial(bundle, content=one([1], shard=2**60)),
        r"model\.data-1152921504606846976-of-00001 is missing: copy it beside model\.index",
    ),
    "30,000 tensors": (partial(bundle, content=index(MANY)), "its index has too many entries"),
    "a compressed block": (
        partial(bundle, content=index([], compression=1)),
        "a block of the index is compressed",
    ),
    "a number without an end": (
        partial(bundle, content=index([(b"x", b"\xff" * 100_000)])),
        "a number does not end",
    ),
    "a part that is a number": (
        partial(bundle, content=index([(b"x", field(2, 7))])),
        "a number is where a message should be",
    ),
    "a name of a megabyte": (
        partial(bundle, content=index([(b"x" * 900_000, entry([1], 0, 4))])),
        "a name of the index is too long",
    ),
    "a name that is not a text": (
        partial(bundle, content=index([(b"\xff\x1b[2J", b"")])),
        "'utf-8' codec can't decode byte 0xff in position 0",
    ),
    "blocks in blocks": (partial(bundle, content=blocks_in_blocks()), "the index is too large"),
    "a pipe as its index": (pipe_as_index, r"model\.index is not a regular file"),
    "a pipe for its values": (partial(bundle, content=one([1]), put=os.mkfifo), SPECIAL),
    "a pipe for no values": (partial(bundle, content=one([0], 0, 0), put=os.mkfifo), SPECIAL),
    "endless zeros for its values": (partial(bundle, content=one([1]), put=zero), SPECIAL),
    "endless zeros for no values": (partial(bundle, content=one([0], 0, 0), put=zero), SPECIAL),
    "a folder for its values": (partial(bundle, content=one([1]), put=Path.mkdir), SPECIAL),
}
TENSORFLOW = [
    Row(f"a TensorFlow checkpoint with {kind}", make, "models convert tf --name mine", says)
    for kind, (make, says) in BUNDLES.items()
]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def long_integer(value: int) -> bytes:
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


PAIR, CALL, ONE = b"\x86", b"R", b"\x85"
ENCODE = b"c_codecs\nencode\n"
TUPLES = b"K\1" + b"".join(b"q%c" % n + b"h%c" % n + PAIR for n in range(60))
"""Nested pairs of pairs, 2^60 numbers in all, whose hash would take centuries."""

DOUBLED = (
    ENCODE * 41
    + (text("x" * 1000) + text("latin1") + PAIR + CALL)
    + (text("hex") + PAIR + CALL) * 40
)
ZEROS = b"c__builtin__\nbytearray\n" + long_integer(7 * 10**9) + ONE + CALL
ARRAY = b"cnumpy\nndarray\n" + long_integer(10**12) + ONE + ONE + CALL
EMPTY = (
    b"cnumpy.core.multiarray\n_reconstruct\n"
    b"cnumpy\nndarray\n" + long_integer(10**12) + ONE + b"U\1b\x87" + CALL
)
VIEW = (
    b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n"
    b"(cnumpy\nndarray\n"
    b"(" + long_integer(10**9) + ONE + b"cnumpy\ndtype\n" + text("f4") + ONE + CALL
    + b"c__builtin__\nbytearray\n" + long_integer(4) + ONE + CALL
    + b"K\0" + long_integer(0) + ONE + b"t" + CALL
    + b"ctorch\nfloat64\n" + text("cpu") + b"\x89t" + CALL
)  # fmt: skip


def code(value: bytes, *, as_key: bool = False) -> bytes:
    """A pickled mapping with this value, or this key, in protocol 2."""
    pair = value + b"K\1" if as_key else text("x") + value
    return b"\x80\2}" + pair + b"s."


def in_archive(content: bytes, folder: Path) -> None:
    """Write an archive in torch's format with this pickle."""
    import zipfile

    with zipfile.ZipFile(folder / "Guitar.pth", "w") as archive:
        archive.writestr("Guitar/data.pkl", content)
        archive.writestr("Guitar/byteorder", "little")
        archive.writestr("Guitar/version", "3\n")


def in_two_archives(content: bytes, folder: Path) -> None:
    """Write an archive followed by a harmless one of the same layout.

    torch counts positions from the beginning of the file, ``zipfile`` from the beginning of the
    second archive.
    """
    path = folder / "Guitar.pth"
    in_archive(content, folder)
    first = path.read_bytes()
    in_archive(b"\x80\2}" + b"." * (len(content) - 3), folder)
    path.write_bytes(first + path.read_bytes())


def before_archives(content: bytes, folder: Path) -> None:
    """The format before torch 1.6: magic number, version, system, content, storages."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    parts = [*(pickle.dumps(part, 2) for part in head), content, pickle.dumps([], 2)]
    (folder / "Guitar.pth").write_bytes(b"".join(parts))


class Converted:
    """Pickles as a view of one value converted to another type, which allocates all of it."""

    def __reduce__(self) -> tuple[Any, ...]:
        view = torch.zeros(1).expand(2**30)
        call = torch._utils._rebuild_device_tensor_from_cpu_tensor
        return call, (view, torch.float64, "cpu", False)


def saved(make: Callable[[], Any], folder: Path) -> None:
    torch.save(make(), folder / "Guitar.pth")


def before_an_archive(content: bytes, folder: Path) -> None:
    """An old checkpoint followed by a harmless new one, which ``zipfile`` finds."""
    before_archives(content, folder)
    path = folder / "Guitar.pth"
    old = path.read_bytes()
    torch.save({"x": torch.zeros(1)}, path)
    path.write_bytes(old + path.read_bytes())


TOO_OFTEN = "damaged or unsafe .its objects reference each other too often"
UNUSUAL = "damaged or unsafe .it encodes a text in an unusual way"
BYTEARRAY = "damaged or unsafe .it calls bytearray"
PICKLED: dict[str, tuple[Callable[[Path], object], str]] = {
    "keyed by tuples of tuples": (partial(in_archive, code(TUPLES, as_key=True)), TOO_OFTEN),
    "with a text doubled forty times": (partial(in_archive, code(DOUBLED)), UNUSUAL),
    "in two archives": (partial(in_two_archives, code(DOUBLED)), "more than one archive"),
    "with 7 GB of zeros": (partial(in_archive, code(ZEROS)), BYTEARRAY),
    "with an array of a terabyte": (
        partial(in_archive, code(ARRAY)),
        "is damaged or is not a PyTorch checkpoint",
    ),
    "with an empty array of a terabyte": (
        partial(in_archive, code(EMPTY)),
        "holds no tensors by name",
    ),
    "with a view of an array": (partial(in_archive, code(VIEW)), BYTEARRAY),
    "with a view as another type": (
        partial(saved, lambda: {"x": Converted()}),
        "it calls _rebuild_device_tensor_from_cpu_tensor",
    ),
    "with a tensor named by 5,000 digits": (
        partial(saved, lambda: {10**5000: torch.zeros(1)}),
        "would have to run code",
    ),
    "of complex numbers": (
        partial(saved, lambda: {"x": torch.zeros(1, dtype=torch.complex64)}),
        "its tensors are sparse, quantized or have no values",
    ),
    "with an array of 5 axes too many": (
        partial(saved, lambda: {"x": torch.zeros(*[1] * 13)}),
        "a tensor has 13 axes",
    ),
}
OLD: dict[str, tuple[bytes, str]] = {
    "keyed by tuples of tuples": (code(TUPLES, as_key=True), TOO_OFTEN),
    "with a text doubled forty times": (code(DOUBLED), UNUSUAL),
}
WRITERS = {"an old checkpoint": before_archives, "a checkpoint before another": before_an_archive}
CONVERT = "models convert Guitar.pth --name mine"
BOMBS = [
    Row(f"a checkpoint {kind}", make, CONVERT, says) for kind, (make, says) in PICKLED.items()
] + [
    Row(f"{name} {kind}", partial(write, content), CONVERT, says)
    for name, write in WRITERS.items()
    for kind, (content, says) in OLD.items()
]
