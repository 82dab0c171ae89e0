"""Interface of training objectives: batches in, losses and validation scores out."""

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
from stemcli.engine.chunks import plan_chunks
from stemcli.engine.device import Precision
from stemcli.engine.overlap_add import OverlapAdd
from stemcli.engine.runner import ModelRunner
from trainers.config import Recipe
from trainers.data.multitrack import ValidationAudio, is_audible
from trainers.losses import Loss, Maker, make_loss
from trainers.metrics.sdr import global_sdr


@dataclass(frozen=True)
class Batch:
    """A batch of mixtures and their stems."""

    mixture: Wave
    stems: Stems

    def split(self, parts: int) -> Iterator[Batch]:
        """Split into ``parts`` of equal size, which must divide the batch."""
        pairs = zip(self.mixture.chunk(parts), self.stems.chunk(parts), strict=True)
        return (Batch(mixture, stems) for mixture, stems in pairs)


Pair = tuple[Tensor, Tensor]
"""Estimate and target to compare; for waveforms ``batch stem channel time``."""


@dataclass(frozen=True)
class TrainingExample:
    """Input and target of a training step.

    Attributes:
        inputs: input of the trained module.
        target: target of the losses.
        decode: converts the module's output into what is compared with ``target``, in float32.
    """

    inputs: Tensor
    target: Tensor
    decode: Callable[[Tensor], Tensor]

    def pair(self, output: Tensor) -> Pair:
        """Return the estimate for an output of the module, and the target."""
        return self.decode(output), self.target


@dataclass(frozen=True)
class Measure:
    """The validation score of an objective; higher is better.

    Attributes:
        word: name of the score, used before the stem's name.
        unit: unit of the score.
        definition: definition in words.
    """

    word: str
    unit: str
    definition: str


class Objective(ABC):
    """A training objective.

    Args:
        recipe: recipe of the run.
        separator: the network.

    Attributes:
        known: losses of this objective, by name.
        roles: roles of the networks that it can train.
        measure: definition of :meth:`score`.
        losses: losses of the recipe.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: a loss argument does not exist.
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
        """Report why a network does not fit the objective, in one sentence each; empty if it fits.

        Args:
            separator: the network.
            weights: weights of losses, by name; unchecked values from a recipe.
        """
        if separator.role in cls.roles:
            return []
        return [_misfit(cls, separator)]

    @staticmethod
    def trained_module(separator: Separator) -> nn.Module:
        """Return the module to train, through which all gradients flow.

        It shares all tensors with ``separator``; with several workers it is the one to be wrapped.
        """
        return separator

    @abstractmethod
    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """Build the training example; ``separator`` is unwrapped and needs no gradient."""

    def __call__(self, pair: Pair) -> dict[str, Tensor]:
        """Compute all losses by name, unweighted."""
        return {name: loss(*pair) for name, loss in self.losses.items()}

    def scored(self, separator: Separator) -> tuple[str, ...]:
        """Return the names that :meth:`score` may return."""
        return separator.stems

    @abstractmethod
    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Score a song by :attr:`measure`, by name; silent stems are left out.

        Args:
            model: the network in evaluation mode.
            track: the song.
            precision: precision of matrix products.
            level: divisor of the song before it is passed to the network.
        """

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio | None:
        """Return the song with the ideal output of the network, for people to compare.

        None if the network's output is not audio.
        """
        return track


def _misfit(kind: type[Objective], separator: Separator) -> str:
    """Explain that the network's role does not fit, and suggest an objective for it."""
    from trainers.objectives import OBJECTIVES  # avoids a circular import

    (name,) = (name for name, each in OBJECTIVES.items() if each is kind)
    fitting = next(name for name, each in OBJECTIVES.items() if separator.role in each.roles)
    return (
        f"objective {name} is for networks of the role {' or '.join(kind.roles)}, but"
        f" {registry.name_of(separator)} has the role {separator.role}."
        f" Try: --set objective.name={fitting}"
    )


def folded(mixture: Wave, channels: int) -> Float[Tensor, "item channel_in time"]:
    """Return the input of a network with ``channels``; with one, channels become items."""
    return mixture if channels > 1 else rearrange(mixture, "b c t -> (b c) 1 t")


def unfolded(stems: Float[Tensor, "item stem channel_in time"], channels: int) -> Stems:
    """Invert :func:`folded` for the stems of mixtures with ``channels``."""
    if stems.shape[2] == channels:
        return stems
    return rearrange(stems, "(b c) s 1 t -> b s c t", c=channels)


def segments(
    model: Separator, mixture: Float[Tensor, "channel time"]
) -> Iterator[Float[Tensor, "1 channel segment"]]:
    """Yield adjacent segments of a song on the network's device; the last is zero-padded."""
    padded = F.pad(mixture, (0, -mixture.shape[-1] % model.segment))
    device = next(model.parameters()).device
    for start in range(0, padded.shape[-1], model.segment):
        part = padded[None, :, start : start + model.segment]
        yield folded(part.to(device), model.channels)


OVERLAP = 0.25
"""Overlap of two chunks as a fraction of one: the default of model cards."""


def separate_song(
    model: Separator, mixture: Float[Tensor, "channel time"], precision: Precision
) -> Float[Tensor, "stem channel time"]:
    """Separate a song of any length and number of channels, as ``stem separate`` would.

    The network runs in evaluation mode on its own device; afterwards its mode is restored. The
    stems are in CPU memory.

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
    """Compute global SDR in dB of every stem that is not silent; NaN if the network gives NaN.

    Args:
        model: the network.
        mixture: a whole song.
        true: true stems, in the network's order.
        precision: precision of matrix products.
        level: divisor of the song before it is passed to the network; stems are scaled back.
    """
    try:
        estimates = separate_song(model, mixture / level, precision) * level
    except NumericalError:
        estimates = torch.full_like(true, torch.nan)
    scores = zip(model.stems, global_sdr(estimates, true).tolist(), strict=True)
    audible = is_audible(true).tolist()
    return {stem: sdr for (stem, sdr), keep in zip(scores, audible, strict=True) if keep}
