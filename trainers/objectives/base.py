"""The contract of every objective: batches in, losses and validation scores out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.axes import Stems, Wave
from model_zoo.errors import NumericalError
from model_zoo.separator import Role, Separator
from stemcli.engine.device import Precision
from stemcli.engine.overlap_add import OverlapAdd, plan_chunks
from stemcli.engine.runner import ModelRunner
from trainers.config import Recipe
from trainers.data.multitrack import ValidationAudio, is_heard
from trainers.losses import Loss, Maker, make_loss
from trainers.metrics.sdr import global_sdr


@dataclass(frozen=True)
class Batch:
    """Mixtures and the stems they were mixed from."""

    mixture: Wave
    stems: Stems

    def split(self, parts: int) -> Iterator[Batch]:
        """Cut into ``parts`` of equal size, which must divide the batch."""
        pairs = zip(self.mixture.chunk(parts), self.stems.chunk(parts), strict=True)
        return (Batch(mixture, stems) for mixture, stems in pairs)


Pair = tuple[Tensor, Tensor]
"""What was made and what was wanted, ready to be compared; of waves ``batch stem channel time``."""


@dataclass(frozen=True)
class TrainingExample:
    """A batch as it is put to a network.

    Attributes:
        inputs: what the module that learns takes.
        target: what is compared with its answer.
        decode: from the module's answer to what can be compared with ``target``, in float32.
    """

    inputs: Tensor
    target: Tensor
    decode: Callable[[Tensor], Tensor]

    def pair(self, made: Tensor) -> Pair:
        """What is compared, when the module answered ``made``."""
        return self.decode(made), self.target


@dataclass(frozen=True)
class Measure:
    """What the score of an objective is; the higher, the better.

    Attributes:
        word: for it, that stands before the name of what is judged.
        unit: behind its numbers.
        definition: how it is computed, in words.
    """

    word: str
    unit: str
    definition: str


class Objective(ABC):
    """What one step learns.

    Args:
        recipe: of the run.
        separator: the network of the recipe.

    Attributes:
        known: losses that mean something for it, by name.
        roles: of the networks that can learn it.
        measure: what :meth:`score` gives.
        losses: those of the recipe.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: a loss has no such argument.
    """

    known: ClassVar[Mapping[str, Maker]]
    roles: ClassVar[tuple[Role, ...]]
    measure: ClassVar[Measure]

    def __init__(self, recipe: Recipe, separator: Separator) -> None:
        self.losses: dict[str, Loss] = {
            name: make_loss(name, separator.sample_rate, recipe.loss_options.get(name), self.known)
            for name in recipe.supervised_losses
            if name not in separator.auxiliary_loss_names
        }

    @classmethod
    def problems(cls, separator: Separator, weights: Mapping[Any, Any]) -> list[str]:
        """Why a network cannot learn it, a sentence each; empty when it can.

        Args:
            separator: the network.
            weights: of losses, by name; as plain values they were not checked yet.
        """
        if separator.role in cls.roles:
            return []
        return [_misfit(cls, separator)]

    @staticmethod
    def trained_module(separator: Separator) -> nn.Module:
        """The module that takes what is given and that all gradients go through.

        It shares every tensor with ``separator``; for several workers it is what gets wrapped.
        """
        return separator

    @abstractmethod
    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """What is put to the network; ``separator`` is not wrapped and computes no gradient."""

    def __call__(self, pair: Pair) -> dict[str, Tensor]:
        """Every loss by name, unweighted."""
        return {name: loss(*pair) for name, loss in self.losses.items()}

    def scored(self, separator: Separator) -> tuple[str, ...]:
        """Names of what :meth:`score` may give."""
        return separator.stems

    @abstractmethod
    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """How well a song is done, as a :attr:`measure` by name; what is silent is left out.

        Args:
            model: the network in evaluation mode.
            track: the song.
            precision: of matrix products.
            level: what the song is divided by before the network hears it.
        """

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio | None:
        """The song with what the network shall make of it, for people to compare.

        None where the network makes no sound.
        """
        return track


def _misfit(kind: type[Objective], separator: Separator) -> str:
    """That a network gives something else, and the first objective for what it gives."""
    from trainers.objectives import OBJECTIVES  # which is made of what is defined here

    (name,) = (name for name, each in OBJECTIVES.items() if each is kind)
    fitting = next(name for name, each in OBJECTIVES.items() if separator.role in each.roles)
    return (
        f"objective {name} is for networks that give {' or '.join(kind.roles)}, and"
        f" {registry.name_of(separator)} gives {separator.role}."
        f" Try: --set objective.name={fitting}"
    )


def folded(mixture: Wave, channels: int) -> Float[Tensor, "item channel_heard time"]:
    """What a network of ``channels`` hears; one with a single channel hears each on its own."""
    return mixture if channels > 1 else rearrange(mixture, "b c t -> (b c) 1 t")


def unfolded(stems: Float[Tensor, "item stem channel_heard time"], channels: int) -> Stems:
    """The stems of mixtures of ``channels``, of which the network heard one at a time or all."""
    if stems.shape[2] == channels:
        return stems
    return rearrange(stems, "(b c) s 1 t -> b s c t", c=channels)


def segments(
    model: Separator, mixture: Float[Tensor, "channel time"]
) -> Iterator[Float[Tensor, "1 channel segment"]]:
    """A song in segments side by side, where the network is; silence fills up the last."""
    padded = F.pad(mixture, (0, -mixture.shape[-1] % model.segment))
    device = next(model.parameters()).device
    for start in range(0, padded.shape[-1], model.segment):
        part = padded[None, :, start : start + model.segment]
        yield folded(part.to(device), model.channels)


OVERLAP = 0.25
"""Of two chunks, as a share of one: the overlap that models have unless their card says another."""


def separate_song(
    model: Separator, mixture: Float[Tensor, "channel time"], precision: Precision
) -> Float[Tensor, "stem channel time"]:
    """The stems of a song of any length and number of channels, as ``stem separate`` makes them.

    The network runs in evaluation mode, where it lives, and has its mode back afterwards. The stems
    are on the processor.

    Raises:
        NumericalError: the network gives NaN or infinity.
        OutOfMemoryError: a chunk does not fit in the memory of the device.
    """
    device, training = next(model.parameters()).device, model.training
    try:
        runner = ModelRunner(model, device, precision)
        song = OverlapAdd(runner, plan_chunks(model.segment, OVERLAP), len(mixture))
        blocks = [song.push(mixture.T.numpy()), song.finish()]
    finally:
        model.train(training)
    return torch.from_numpy(rearrange(np.concatenate(blocks), "t s c -> s c t"))


def sdr_of_stems(
    model: Separator,
    mixture: Float[Tensor, "channel time"],
    true: Float[Tensor, "stem channel time"],
    precision: Precision,
    level: float = 1.0,
) -> dict[str, float]:
    """Global SDR in dB of every stem that is not silent; NaN where the network gives none.

    Args:
        model: the network.
        mixture: a whole song.
        true: its stems, in the order of the network's.
        precision: of matrix products.
        level: what the song is divided by before it is heard; the stems are brought back.
    """
    try:
        made = separate_song(model, mixture / level, precision) * level
    except NumericalError:
        made = torch.full_like(true, torch.nan)
    scores = zip(model.stems, global_sdr(made, true).tolist(), strict=True)
    loud = is_heard(true).tolist()
    return {stem: sdr for (stem, sdr), heard in zip(scores, loud, strict=True) if heard}
