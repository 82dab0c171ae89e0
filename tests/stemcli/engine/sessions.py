"""Sessions with untrained networks of known output, songs for them, and the files they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import soundfile
from torch import Tensor

from stemcli.engine.models import LoadedModel
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from tests.stemcli.engine.stubs import Positional, Stub, noise

RATE = 8000
TWO = ("vocals", "band")


class Louder(Stub):
    """Stems of 3 and -2 times the mixture: they add up to it, and they clip."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * (3.0, -2.0)[stem]


def make_session(
    out: Path, separator: Stub | None = None, on_event: Any = None, **options: Any
) -> Session:
    """A session with one network, called ``net``."""
    network = LoadedModel("net", separator or Positional(stems=TWO))
    chosen = {"model": "net", "output": out, "device": "cpu", **options}
    return Session(on_event=on_event, load=lambda name: network, **chosen)


def write(folder: Path, wave: Block, subtype: str = "FLOAT", name: str = "song.wav") -> Path:
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, wave, RATE, subtype)
    return folder / name


def song(path: Path, seconds: float = 1.0) -> Path:
    """Write a song of noise."""
    soundfile.write(path, noise(round(seconds * RATE)), RATE, "FLOAT")
    return path


def read(outputs: dict[str, Path]) -> dict[str, Block]:
    return {
        stem: soundfile.read(path, dtype="float32", always_2d=True)[0]
        for stem, path in outputs.items()
    }


def files(folder: Path) -> list[str]:
    """Every path below a folder, with hidden files and empty folders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
