"""Separation: estimate the stems of a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.errors import ConfigError
from trainers.losses import Loss, make_loss
from trainers.objectives.batch import Batch

QUIETEST = 1e-4
"""Square root of the mean square below which a mixture is not made louder: -80 dB full scale."""


def estimate(network: nn.Module, mixture: Wave, channels: int) -> Stems:
    """The stems of ``mixture``.

    Args:
        network: a separator, or what wraps one for several workers.
        mixture: what it hears.
        channels: of the separator; one with a single channel hears every channel on its own.
    """
    if channels > 1:
        return network(mixture)
    alone = network(rearrange(mixture, "b c t -> (b c) 1 t"))
    return rearrange(alone, "(b c) s 1 t -> b s c t", c=mixture.shape[1])


def loudness(mixture: Wave) -> Float[Tensor, "batch 1 1"]:
    """Root mean square of every mixture, :data:`QUIETEST` at least."""
    return mixture.square().mean((1, 2), keepdim=True).sqrt().clamp_min(QUIETEST)


class Separation:
    """Every stem of a mixture: named losses between estimated and true stems.

    Waves are compared at the level at which their mixture has a root mean square of 1, so that a
    quiet clip counts as much as a loud one. With several stems (multi-task learning) each loss is
    the mean of those of the stems, each with its own weight.

    Args:
        weights: weight of each loss, by its name in :data:`trainers.losses.LOSSES`.
        sample_rate: of the sound, in Hz.
        stems: names of the stems, in order.
        channels: of the network.
        options: arguments of losses, by name.
        stem_weights: of stems, by name; 1 for those left out.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: a loss has other arguments, or there is no such stem.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        sample_rate: int,
        stems: tuple[str, ...],
        channels: int,
        options: Mapping[str, Mapping[str, object]] | None = None,
        stem_weights: Mapping[str, float] | None = None,
    ) -> None:
        self.channels = channels
        given = options or {}
        self.losses: dict[str, Loss] = {
            name: make_loss(name, sample_rate, given.get(name)) for name in weights
        }
        self.shares = _shares(stems, stem_weights or {})

    def estimate(self, network: nn.Module, batch: Batch) -> Stems:
        """What the network makes of the mixtures of ``batch``."""
        return estimate(network, batch.mixture, self.channels)

    def pair(self, made: Stems, batch: Batch) -> tuple[Stems, Stems]:
        """Estimated and true stems in float32, at one level."""
        level = loudness(batch.mixture).unsqueeze(1)
        return made.float() / level, batch.stems / level

    def __call__(self, pair: tuple[Stems, Stems]) -> dict[str, Tensor]:
        """Every loss by name, unweighted; with several stems ``NAME/STEM`` as well."""
        named: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            named |= self._of_stems(name, partial(_of_stem, loss, pair))
        return named

    def _of_stems(self, name: str, of_stem: partial[Tensor]) -> dict[str, Tensor]:
        parts = {stem: of_stem(index) for index, stem in enumerate(self.shares)}
        mean = torch.stack([self.shares[stem] * part for stem, part in parts.items()]).sum()
        if len(parts) == 1:
            return {name: mean}
        return {name: mean, **{f"{name}/{stem}": part for stem, part in parts.items()}}


def _of_stem(loss: Loss, pair: tuple[Stems, Stems], index: int) -> Tensor:
    made, true = pair
    return loss(made[:, index : index + 1], true[:, index : index + 1])


def _shares(stems: tuple[str, ...], weights: Mapping[str, float]) -> dict[str, float]:
    """Weights of all stems, adding up to 1."""
    mistakes = [f"there is no stem {name!r}" for name in weights if name not in stems]
    full = {stem: weights.get(stem, 1.0) for stem in stems}
    if not mistakes and not any(full.values()):
        mistakes = ["at least one stem must have a weight above 0"]
    if mistakes:
        raise ConfigError("objective.stems", [*mistakes, f"the network has {', '.join(stems)}"])
    return {stem: weight / sum(full.values()) for stem, weight in full.items()}
