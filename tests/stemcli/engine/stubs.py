"""Separators whose output is known without training, and ways to drive the engine with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_zoo.separator import Separator, SeparatorConfig
from stemcli.engine.device import Precision
from stemcli.engine.ensemble import Ensemble, assemble
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.runner import ModelRunner

CPU = torch.device("cpu")
FULL = Precision("fp32", "asked for")
REDUCED = Precision("bf16", "asked for")


@dataclass(frozen=True)
class StubConfig(SeparatorConfig):
    stems: tuple[str, ...] = ("vocals",)
    channels: int = 1
    sample_rate: int = 8000
    segment: int = 64


class Stub(Separator):
    """Gives the mixture as every stem; subclasses spoil that in a known way."""

    Config = StubConfig

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.stems = self.config.stems
        self.channels = self.config.channels
        self.sample_rate = self.config.sample_rate
        self.segment = self.config.segment
        self.batches: list[int] = []

    def forward(self, mixture: Tensor) -> Tensor:
        self.batches.append(len(mixture))
        return torch.stack([self.estimate(mixture, stem) for stem in range(len(self.stems))], dim=1)

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture


class Scaling(Stub):
    """Stem k is the mixture times (k + 1) / 10: never a full set."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * ((stem + 1) / 10)


class MidSide(Stub):
    """Two stems of a stereo pair: what both channels share, and the rest."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        mid = mixture.mean(dim=1, keepdim=True).expand_as(mixture)
        return mid if stem == 0 else mixture - mid


class Positional(Stub):
    """Scales each sample by its place in the chunk, so that wrong cuts and weights show."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * torch.linspace(stem, 1 + stem, mixture.shape[-1])


class Levelled(Stub):
    """Stem k is the mixture times its loudest sample here, but for a factor: it hears the level."""

    needs_peak_level = True

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * mixture.abs().amax(dim=(1, 2), keepdim=True) * (stem + 1) / 10


class Phase(Stub):
    """Gives a sound as it is."""

    role = "phase"


class Flipped(Phase):
    """Gives a sound upside down."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return -mixture


class LevelledPhase(Phase):
    """A sound times its own loudest sample here."""

    needs_peak_level = True

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * mixture.abs().amax(dim=(1, 2), keepdim=True)


class Codes(Stub):
    """Would put a sound into codes."""

    role = "codes"


class BrokenInBf16(Stub):
    """NaN under autocast, the mixture in float32."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * (float("nan") if torch.is_autocast_enabled("cpu") else 1.0)


class BrokenWhereLoud(Stub):
    """Infinity in every item that holds a sample above 0.9, in any precision."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        loud = mixture.abs().amax(dim=(1, 2), keepdim=True) > 0.9
        return torch.where(loud, float("inf"), mixture)


class Hungry(Stub):
    """Runs out of memory with more than ``room`` items in a batch."""

    room = 2

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        if len(mixture) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mixture


def network(separator: Separator, precision: Precision = FULL) -> ModelRunner:
    return ModelRunner(separator, CPU, precision)


def ensemble(*models: LoadedModel, phase: LoadedModel | None = None, **options: Any) -> Ensemble:
    names = tuple(model.name for model in models)
    chosen = {"device": "cpu", "precision": "fp32", **options}
    typed = phase.name if phase else ""
    return assemble(models, Options(model=names, phase_model=typed, **chosen), CPU, phase)


def noise(frames: int, channels: int = 2, seed: int = 0) -> Block:
    """White noise in [-0.5, 0.5)."""
    dice = np.random.default_rng(seed)
    return (dice.random((frames, channels)) - 0.5).astype(np.float32)


def blocks(song: Block, size: int) -> Iterator[Block]:
    for start in range(0, len(song), size):
        yield song[start : start + size]


def stream(engine: Any, song: Block, size: int = 50) -> Block:
    """Everything that comes out of something with ``push`` and ``finish``."""
    return np.concatenate([*map(engine.push, blocks(song, size)), engine.finish()])
