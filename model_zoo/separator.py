"""The contract of every architecture.

A separator is an ``nn.Module`` that turns mixtures into stems and knows nothing of files, chunks
or devices: those belong to :mod:`stemcli.engine`. Any length at or above one analysis window goes
in, the same length comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.config import Config

S = TypeVar("S", bound="Separator")


@dataclass(frozen=True)
class SeparatorConfig(Config):
    """Base of the constructor arguments of every architecture.

    An architecture lists the arguments of its paper in their order; what we add to them is
    keyword-only.
    """


class Separator(nn.Module):
    """Base of every architecture.

    A subclass names its config class, calls ``super().__init__(*args, **kwargs)`` with the config's
    own arguments and then builds its parts from ``self.config``.

    Attributes:
        config: the frozen values this network was built from.
        sample_rate: rate of the waveforms it takes and gives, in Hz.
        stems: names of what comes out, in order.
        channels: audio channels of one item; with 1 the engine folds channels into the batch.
        segment: length in samples that the network was trained on.
    """

    Config: ClassVar[type[SeparatorConfig]]

    config: SeparatorConfig
    sample_rate: int
    stems: tuple[str, ...]
    channels: int
    segment: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.config = self.Config(*args, **kwargs)

    @classmethod
    def from_config(cls: type[S], config: SeparatorConfig) -> S:
        """Build from a config instance."""
        return cls(**config.to_dict())

    @property
    def core(self) -> nn.Module:
        """The exportable part: spectrogram features to mask or spectrum, without the STFT.

        It owns no tensors of its own, so the names in a checkpoint do not know of it.
        """
        raise NotImplementedError(f"{type(self).__name__} must name its core")

    def forward(self, mixture: Wave) -> Stems:
        """Separate ``mixture`` (float32, nominally in [-1, 1], at ``sample_rate``)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def parameter_count(self) -> int:
        """Number of trainable values."""
        return sum(parameter.numel() for parameter in self.parameters())


def as_wave(mixture: Tensor) -> Tensor:
    """Give the form ``batch time`` of mono networks the channel axis of the contract."""
    return mixture.unsqueeze(1) if mixture.ndim == 2 else mixture
