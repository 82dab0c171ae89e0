"""Ensembles of discriminators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import signature
from itertools import chain
from typing import Any

from torch import nn

from model_zoo.axes import Wave
from model_zoo.config import Config
from model_zoo.discriminators.base import Discriminator, DiscriminatorOutput
from model_zoo.discriminators.spectral import (
    MultiFrequencyDiscriminator,
    MultiResolutionDiscriminator,
)
from model_zoo.discriminators.waveform import MultiPeriodDiscriminator, MultiScaleDiscriminator
from model_zoo.errors import UnknownNameError


class DiscriminatorEnsemble(Discriminator):
    """Concatenates the outputs of several discriminators.

    Args:
        members: any discriminators.
    """

    def __init__(self, members: Sequence[Discriminator]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, wave: Wave) -> DiscriminatorOutput:
        """See :class:`~model_zoo.discriminators.base.Discriminator`."""
        outputs: list[DiscriminatorOutput] = [member(wave) for member in self.members]
        scores = chain.from_iterable(output.scores for output in outputs)
        features = chain.from_iterable(output.features for output in outputs)
        return DiscriminatorOutput([*scores], [*features])


SINGLE: dict[str, Callable[..., Discriminator]] = {
    "multi_period": MultiPeriodDiscriminator,
    "multi_scale": MultiScaleDiscriminator,
    "multi_resolution": MultiResolutionDiscriminator,
    "multi_frequency": MultiFrequencyDiscriminator,
}
DEFAULTS: dict[str, dict[str, Any]] = {"multi_frequency": {"window_sizes": (2048, 1024, 512)}}
"""What a class has no default for."""

PRESETS: dict[str, tuple[str, ...]] = {
    "ensemble": ("multi_period", "multi_scale", "multi_resolution", "multi_frequency"),
    "msrkit": ("multi_frequency",),
}
"""All four, and what the configuration of MSRKit trains with."""


SHARED = ("nch", "sample_rate")
"""Arguments that all members of an ensemble have in common."""


@dataclass(frozen=True)
class EnsembleSpec(Config):
    """Everything an ensemble is built from.

    Attributes:
        names: keys of :data:`SINGLE` or of :data:`PRESETS`.
        options: further arguments of single ones, by their names.
        nch: channels of the waveform.
        sample_rate: in Hz.
    """

    names: tuple[str, ...]
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    nch: int = 1
    sample_rate: int = 48_000

    @property
    def members(self) -> tuple[str, ...]:
        """Single discriminators, each once."""
        expanded = chain.from_iterable(PRESETS.get(name, (name,)) for name in self.names)
        return tuple(dict.fromkeys(expanded))

    def mistakes(self) -> list[str]:
        """Names and arguments that do not exist."""
        unknown = [name for name in self.members if name not in SINGLE]
        if unknown:
            known = [*SINGLE, *PRESETS]
            return [str(UnknownNameError("discriminator", name, known)) for name in unknown]
        unused = [f"{name} is not used" for name in self.options if name not in self.members]
        return unused + [
            f"{name} has no {key!r}: {', '.join(known)}"
            for name in self.members
            for known in [_own_arguments(SINGLE[name])]
            for key in self.options.get(name, {})
            if key not in known
        ]

    def build(self) -> DiscriminatorEnsemble:
        """With fresh weights."""
        shared = {name: getattr(self, name) for name in SHARED}
        return DiscriminatorEnsemble(
            [
                SINGLE[name](**shared, **{**DEFAULTS.get(name, {}), **self.options.get(name, {})})
                for name in self.members
            ]
        )


def _own_arguments(kind: Callable[..., Discriminator]) -> list[str]:
    return [name for name in signature(kind).parameters if name not in SHARED]
