"""Interface of losses and of their options."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from model_zoo.config import Config

#: Function of (estimate, reference), both ``batch stem channel time``, to a scalar.
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LossOptions(Config):
    """Options of a loss in recipes; subclasses list them as fields."""

    @abstractmethod
    def make(self, sample_rate: int) -> Loss:
        """Create the loss for audio at ``sample_rate`` in Hz."""


@dataclass(frozen=True)
class Maker:
    """Creates a loss for a sample rate; recipes give its other arguments.

    Attributes:
        options: class of its options.
    """

    options: type[LossOptions]

    def __call__(self, sample_rate: int, /, **options: Any) -> Loss:
        """Create the loss.

        Raises:
            ConfigError: an option is unknown or invalid.
        """
        return self.options.from_dict(options).make(sample_rate)

    @property
    def known(self) -> list[str]:
        """Names of the options."""
        return [field.name for field in fields(self.options)]


def plain(loss: Loss) -> Maker:
    """Return the maker of a loss without options."""

    class NoOptions(LossOptions):
        def make(self, sample_rate: int) -> Loss:
            return loss

    return Maker(NoOptions)


class TooShortError(ValueError):
    """The waveforms have too few samples for the loss.

    Args:
        found: samples of the waveforms.
        longest: largest number of samples that is still too short.
    """

    def __init__(self, found: int, longest: int) -> None:
        super().__init__(f"more than {longest} samples are needed, found {found}")
        self.found, self.longest = found, longest


def require_more_than(samples: int, wave: Tensor) -> None:
    """Raise :class:`TooShortError` unless the last axis of ``wave`` is longer than ``samples``."""
    if wave.shape[-1] <= samples:
        raise TooShortError(wave.shape[-1], samples)
