"""Untrained separators with known output, and helpers that drive the engine with them."""

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
    """Returns the mixture as every stem; subclasses change that in a known way."""

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
    """Stem k is the mixture times (k + 1) / 10, so the stems never add up to the mixture."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * ((stem + 1) / 10)


class MidSide(Stub):
    """Two stems of a stereo pair: the mean of both channels, and the rest."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        mid = mixture.mean(dim=1, keepdim=True).expand_as(mixture)
        return mid if stem == 0 else mixture - mid


class Positional(Stub):
    """Scales each sample by its position in the chunk, which exposes wrong cuts and weights."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * torch.linspace(stem, 1 + stem, mixture.shape[-1])


class Levelled(Stub):
    """Stem k is the mixture times its peak and a factor, so the output depends on the level."""

    level = "peak"

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * mixture.abs().amax(dim=(1, 2), keepdim=True) * (stem + 1) / 10


class Phase(Stub):
    """A phase network that returns its input unchanged."""

    role = "phase"


class Flipped(Phase):
    """A phase network that inverts the polarity of its input."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return -mixture


class LevelledPhase(Phase):
    """A phase network whose output is its input times the peak of its input."""

    level = "peak"

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * mixture.abs().amax(dim=(1, 2), keepdim=True)


class Codes(Stub):
    """A network with the role of a codec."""

    role = "codes"


class BrokenInBf16(Stub):
    """NaN under autocast, the mixture in float32."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * (float("nan") if torch.is_autocast_enabled("cpu") else 1.0)


class BrokenWhereLoud(Stub):
    """Infinity in every item with a sample above 0.9, in any precision."""

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
    resolved = Options(model=names, phase_model=phase.name if phase else "", **chosen)
    return assemble(models, resolved, CPU, phase)


def noise(frames: int, channels: int = 2, seed: int = 0) -> Block:
    """White noise in [-0.5, 0.5)."""
    rng = np.random.default_rng(seed)
    return (rng.random((frames, channels)) - 0.5).astype(np.float32)


def blocks(song: Block, size: int) -> Iterator[Block]:
    for start in range(0, len(song), size):
        yield song[start : start + size]


def stream(engine: Any, song: Block, size: int = 50) -> Block:
    """The complete output of an object with ``push`` and ``finish``."""
    return np.concatenate([*map(engine.push, blocks(song, size)), engine.finish()])
