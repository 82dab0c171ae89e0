"""Mutated checkpoints and configuration files end in one of our errors, never in another.

By hand: bytes of valid files are changed at random, with seeds that name the failing case.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model_zoo.errors import StemError
from model_zoo.importers import convert
from tests.model_zoo.importers import onnx_writer
from tests.model_zoo.importers.published import (
    NETWORKS,
    as_package,
    published_tensors,
    write,
)

SECONDS = 60
"""Length of the long test."""

PIECES = (
    b"",
    b"0",
    b"-1",
    b"null",
    b"true",
    b"[]",
    b"1e999",
    b"'x'",
    b"{}",
    b": ",
    b"\x00",
    b"&a *a",
)


def files(folder: Path) -> list[tuple[Path, Path | None]]:
    """Checkpoints of every format, with a configuration file where the network has one."""
    config = NETWORKS["bs"].write_settings(folder)
    write(NETWORKS["bs"], folder, "archive.ckpt")
    tensors = published_tensors(NETWORKS["bs"].network())
    torch.save(tensors, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    onnx_writer.write(folder / "net.onnx", tensors)
    demucs = NETWORKS["htdemucs"]
    state = published_tensors(demucs.network())
    torch.save(as_package(demucs, state), folder / "net.th")
    texts = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": '{"t_heads": 2}'}
    save_file(state, folder / "net.safetensors", texts)
    others = [folder / name for name in ("scnet", "mdx23c")]
    for other in others:
        other.mkdir()
        write(NETWORKS[other.name], other)
    return [
        (folder / "archive.ckpt", config),
        (folder / "old.ckpt", config),
        (folder / "net.onnx", config),
        (folder / "net.th", None),
        (folder / "net.safetensors", None),
        *((other / "network.ckpt", other / "network.yaml") for other in others),
    ]


def mutated(content: bytes, draws: random.Random, most: int) -> bytes:
    """Change, remove or insert some bytes among the first ``most``, where names and sizes are."""
    data = bytearray(content)
    for _ in range(draws.choice((1, 1, 2, 8))):
        at = draws.randrange(min(most, len(data)))
        kind = draws.randrange(4)
        if kind == 0:
            data[at] ^= 1 << draws.randrange(8)
        elif kind == 1:
            data[at : at + draws.randrange(1, 9)] = draws.choice(PIECES)
        elif kind == 2:
            del data[at : at + draws.randrange(1, 40)]
        else:
            data[at:at] = data[draws.randrange(len(data)) :][: draws.randrange(1, 20)]
    return bytes(data)


def try_once(path: Path, config: Path | None, seed: int) -> None:
    """Read a mutated checkpoint, or a checkpoint with mutated settings."""
    draws = random.Random(seed)
    broken = path.with_name(f"broken{path.suffix}")
    broken.write_bytes(mutated(path.read_bytes(), draws, 10**9 if seed % 2 else 4000))
    options = {"stems": ("vocals",), "hop_size": 60} if config else {}
    with suppress(StemError):
        convert(broken, name="mine", overwrite=True, **options)  # type: ignore[arg-type]
    if config is not None:
        strange = config.with_name("strange.yaml")
        strange.write_bytes(mutated(config.read_bytes(), draws, 10**9))
        with suppress(StemError):
            convert(path, name="mine", config=strange, overwrite=True)


@pytest.mark.usefixtures("zoo")
def test_mutations(tmp_path: Path) -> None:
    tried = files(tmp_path)
    for seed in range(84):
        try_once(*tried[seed % len(tried)], seed)


@pytest.mark.slow
@pytest.mark.usefixtures("zoo")
def test_mutations_for_a_minute(tmp_path: Path) -> None:
    tried, end, seed = files(tmp_path), time.monotonic() + SECONDS, 1000
    while time.monotonic() < end:
        try_once(*tried[seed % len(tried)], seed)
        seed += 1
    assert seed > 1000 + len(tried)
