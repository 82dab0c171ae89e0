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
from model_zoo.importers.convert import _built, _read
from model_zoo.importers.family import Choices
from model_zoo.importers.settings import read_settings
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
    """A pickle of before torch 1.6, an archive, a package and a safetensors file, with settings."""
    config = NETWORKS["bs"].write_settings(folder)
    write(NETWORKS["bs"], folder, "archive.ckpt")
    tensors = published_tensors(NETWORKS["bs"].network())
    torch.save(tensors, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    demucs = NETWORKS["htdemucs"]
    state = published_tensors(demucs.network())
    torch.save(as_package(demucs, state), folder / "net.th")
    texts = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": '{"t_heads": 2}'}
    save_file(state, folder / "net.safetensors", texts)
    return [
        (folder / "archive.ckpt", config),
        (folder / "old.ckpt", config),
        (folder / "net.th", None),
        (folder / "net.safetensors", None),
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
    with suppress(StemError):
        choices = Choices(stems=("vocals",), options={"hop_size": 60}) if config else Choices()
        _built(_read([broken], choices)[1], "broken")
    if config is not None:
        strange = config.with_name("strange.yaml")
        strange.write_bytes(mutated(config.read_bytes(), draws, 10**9))
        with suppress(StemError):
            _built(_read([path], Choices(settings=read_settings(strange)))[1], "strange")


def test_mutations(tmp_path: Path) -> None:
    tried = files(tmp_path)
    for seed in range(200):
        try_once(*tried[seed % len(tried)], seed)


@pytest.mark.slow
def test_mutations_for_a_minute(tmp_path: Path) -> None:
    tried, end, seed = files(tmp_path), time.monotonic() + SECONDS, 1000
    while time.monotonic() < end:
        try_once(*tried[seed % len(tried)], seed)
        seed += 1
    assert seed > 1100
