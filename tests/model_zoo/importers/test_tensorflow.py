"""Reading TensorFlow checkpoints. Reference: files written by TensorFlow 2.12
(tests/golden/spleeter), and known values of the checksum; all damage must be detected."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from model_zoo.errors import CheckpointError
from model_zoo.importers import tensorflow
from model_zoo.importers.tensorflow import crc32c, index_file, read
from model_zoo.weight_checks import MOST_TENSORS
from tests.hostile.checkpoints import bundle, entry, index

GOLDEN = Path(__file__).parents[2] / "golden/spleeter/2stems"
INDEX, VALUES = "model.index", "model.data-00000-of-00001"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "2stems"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"123456789", 0xE3069283),  # the check value of CRC-32C in CRC catalogs
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (b"", 0),
    ],
)
def test_checksum_of_known_data(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_the_maximum_number_of_tensors_is_read(tmp_path: Path) -> None:
    names = [b"t%05d" % number for number in range(MOST_TENSORS)]
    bundle(tmp_path, index([(name, entry((0,), 0, 0)) for name in names]))
    tensors = tensorflow.described(tmp_path / "tf" / INDEX)
    assert [*tensors] == [name.decode() for name in names]


@pytest.mark.parametrize("length", [1023, 1024, 1025, 4096, 5000])
def test_checksum_bit_by_bit(length: int) -> None:
    """Reference: the definition, bit by bit."""
    data = random.Random(length).randbytes(length)
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    assert crc32c(data) == register ^ 0xFFFFFFFF


def test_names_shapes_and_values() -> None:
    tensors = read(GOLDEN / INDEX)
    assert len(tensors) == 148
    assert tensors["conv2d/kernel"].shape == (5, 5, 2, 2)
    assert tensors["conv2d_transpose_11/kernel"].shape == (5, 5, 1, 4)
    assert sum(tensor.numel() for tensor in tensors.values()) == 28192 // 4
    # The generator draws values from [0.5, 1.5) for scales and variances, else from [-0.5, 0.5).
    for name, tensor in tensors.items():
        low = 0.5 if name.endswith(("variance", "gamma")) else -0.5
        assert low <= tensor.min() <= tensor.max() <= low + 1, name
        assert tensor.dtype == torch.float32


@pytest.mark.parametrize("name", ["", INDEX, VALUES, "model"])
def test_a_checkpoint_is_found_by_any_of_its_names(name: str) -> None:
    assert index_file(GOLDEN / name) == GOLDEN / INDEX


def test_other_files_are_not_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "net.pth").touch()
    assert index_file(tmp_path / "net.pth") is None
    assert index_file(tmp_path) is None


def test_a_missing_values_file_is_named(checkpoint: Path) -> None:
    (checkpoint / VALUES).unlink()
    with pytest.raises(CheckpointError, match=rf"{VALUES} is missing: copy it beside {INDEX}"):
        read(checkpoint / INDEX)


@pytest.mark.parametrize(
    ("name", "seed"),
    [*((INDEX, seed) for seed in range(40)), *((VALUES, seed) for seed in range(8))],
)
def test_every_changed_byte_is_detected(checkpoint: Path, name: str, seed: int) -> None:
    """Blocks and values have checksums; only the footer has none, and its padding is unused."""
    rng = random.Random(seed)
    data = bytearray((checkpoint / name).read_bytes())
    checked = len(data) - (48 + 5 + 8 if name == INDEX else 0)
    position = rng.randrange(checked)
    data[position] ^= 1 << rng.randrange(8)
    (checkpoint / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=r"copy or download it again|is missing: copy it"):
        read(checkpoint / INDEX)


@pytest.mark.parametrize("seed", range(60))
def test_garbage_raises_only_checkpoint_errors(checkpoint: Path, seed: int) -> None:
    """Also if the checksums are valid, as in files made to attack."""
    rng = random.Random(seed)
    data = bytearray((checkpoint / INDEX).read_bytes())
    for _ in range(rng.choice([1, 20])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    (checkpoint / INDEX).write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorflow, "_masked", lambda checksum: AnyNumber())
        with suppress(CheckpointError):
            read(checkpoint / INDEX)


class AnyNumber(int):
    """A number that equals every checksum."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


@pytest.mark.parametrize("length", [0, 47, 500])
def test_a_truncated_file_is_reported(checkpoint: Path, length: int) -> None:
    content = (checkpoint / INDEX).read_bytes()
    (checkpoint / INDEX).write_bytes(content[:length])
    with pytest.raises(CheckpointError, match="it does not end like an index"):
        read(checkpoint / INDEX)
