"""(estimate, reference) to one number; recipes weigh losses by these names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from model_zoo.errors import ConfigError, UnknownNameError, nearest
from trainers.losses.spectral import multi_resolution_stft
from trainers.losses.waveform import mean_square, noise_to_signal, waveform_l1

#: (estimate, reference), both ``batch stem channel time``, to one number.
Loss = Callable[[Tensor, Tensor], Tensor]

#: A loss for sound at a sample rate in Hz, the only positional argument; recipes give the others.
Maker = Callable[..., Loss]


def _plain(loss: Loss) -> Maker:
    """A loss that nothing has to be told."""
    return lambda sample_rate, /: loss


LOSSES: dict[str, Maker] = {
    "mean_square": _plain(mean_square),
    "multi_resolution_stft": _plain(multi_resolution_stft),
    "noise_to_signal": _plain(noise_to_signal),
    "waveform_l1": _plain(waveform_l1),
}


def make_loss(name: str, sample_rate: int, options: Mapping[str, Any] | None = None) -> Loss:
    """The loss of that name.

    Args:
        name: a key of :data:`LOSSES`.
        sample_rate: of the sound it compares, in Hz.
        options: its arguments; what is left out has its default.

    Raises:
        UnknownNameError: no such loss.
        ConfigError: it has no such argument, or the argument cannot be used.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    known = [*inspect.signature(LOSSES[name]).parameters][1:]
    mistakes = [_unknown_option(key, known) for key in options or {} if key not in known]
    if mistakes:
        raise ConfigError(f"loss_options.{name}", mistakes)
    return LOSSES[name](sample_rate, **(options or {}))


def _unknown_option(key: str, known: list[str]) -> str:
    near = nearest(key, known)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"unknown key {key!r}, {hint}"
