"""What a loss is, and what it is made from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from model_zoo.config import Config

#: (estimate, reference), both ``batch stem channel time``, to one number.
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LossOptions(Config):
    """What a recipe can tell a loss; a subclass lists it as fields."""

    @abstractmethod
    def make(self, sample_rate: int) -> Loss:
        """The loss for sound at ``sample_rate`` in Hz."""


@dataclass(frozen=True)
class Maker:
    """A loss for sound at a sample rate, the only positional argument; recipes give the others.

    Attributes:
        options: what it can be told.
    """

    options: type[LossOptions]

    def __call__(self, sample_rate: int, /, **options: Any) -> Loss:
        """The loss.

        Raises:
            ConfigError: an option does not exist or cannot be used.
        """
        return self.options.from_dict(options).make(sample_rate)

    @property
    def known(self) -> list[str]:
        """Names of the options."""
        return [field.name for field in fields(self.options)]


def plain(loss: Loss) -> Maker:
    """The maker of a loss that nothing has to be told."""

    class NoOptions(LossOptions):
        def make(self, sample_rate: int) -> Loss:
            return loss

    return Maker(NoOptions)


class TooShortError(ValueError):
    """Waves have too few samples for what shall be measured of them.

    Args:
        found: samples of the waves.
        longest: samples that are still too few.
    """

    def __init__(self, found: int, longest: int) -> None:
        super().__init__(f"{found} samples, where more than {longest} are needed")
        self.found, self.longest = found, longest


def require_more_than(samples: int, wave: Tensor) -> None:
    """Raise :class:`TooShortError` unless ``wave`` is longer than that along its last axis."""
    if wave.shape[-1] <= samples:
        raise TooShortError(wave.shape[-1], samples)
