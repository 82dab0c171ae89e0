"""(estimate, reference) to one number; recipes weigh losses by these names."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from model_zoo.errors import UnknownNameError
from trainers.losses.spectral import multi_resolution_stft
from trainers.losses.waveform import mean_square, noise_to_signal, waveform_l1

#: (estimate, reference), both ``batch stem channel time``, to one number.
Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "mean_square": mean_square,
    "multi_resolution_stft": multi_resolution_stft,
    "noise_to_signal": noise_to_signal,
    "waveform_l1": waveform_l1,
}


def find_loss(name: str) -> Loss:
    """The loss of that name.

    Raises:
        UnknownNameError: no such loss.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    return LOSSES[name]
