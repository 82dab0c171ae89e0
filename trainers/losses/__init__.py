"""Losses, as functions of (estimate, reference), by the names that recipes use.

``docs/losses.md`` lists them with their formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from model_zoo.errors import ConfigError, UnknownNameError, nearest
from trainers.losses.base import Loss, Maker, TooShortError, plain
from trainers.losses.perceptual import Perceptual
from trainers.losses.spectral import (
    MagnitudeL1,
    MagnitudeMSE,
    MultiMel,
    MultiResolutionMagnitude,
    PhaseCosine,
    PhaseL1,
    multi_resolution_stft,
)
from trainers.losses.waveform import (
    Masked,
    mean_square,
    noise_l1,
    noise_to_signal,
    root_mean_square,
    waveform_l1,
)

__all__ = ["LOSSES", "NOISE_LOSSES", "PHASE_LOSSES", "Loss", "Maker", "make_loss"]

LOSSES: dict[str, Maker] = {
    "magnitude_l1": Maker(MagnitudeL1),
    "magnitude_mse": Maker(MagnitudeMSE),
    "masked": Maker(Masked),
    "mean_square": plain(mean_square),
    "multi_mel": Maker(MultiMel),
    "multi_resolution_magnitude": Maker(MultiResolutionMagnitude),
    "multi_resolution_stft": plain(multi_resolution_stft),
    "noise_to_signal": plain(noise_to_signal),
    "perceptual": Maker(Perceptual),
    "root_mean_square": plain(root_mean_square),
    "waveform_l1": plain(waveform_l1),
}
"""Losses of waveforms."""

NOISE_LOSSES: dict[str, Maker] = {"noise_l1": plain(noise_l1)}
"""Losses of the noise that the objective ``denoising`` adds to features."""

PHASE_LOSSES: dict[str, Maker] = {"phase_cosine": Maker(PhaseCosine), "phase_l1": Maker(PhaseL1)}
"""Losses of the angles of the objective ``phase``."""


def make_loss(
    name: str,
    sample_rate: int,
    options: Mapping[str, Any] | None = None,
    known: Mapping[str, Maker] = LOSSES,
) -> Loss:
    """Create a loss by name, computed in float32 regardless of its inputs and of autocast.

    Args:
        name: a key of ``known``.
        sample_rate: sample rate of the compared audio, in Hz.
        options: arguments of the loss; omitted ones have their defaults.
        known: losses by name.

    Returns:
        The loss. It raises ConfigError for waveforms that are too short.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: an argument is unknown or invalid.
        CheckpointError: a file that the loss needs cannot be used.
    """
    if name not in known:
        raise UnknownNameError("loss", name, known)
    maker, options = known[name], options or {}
    mistakes = [_unknown_option(key, maker.known) for key in options if key not in maker.known]
    try:
        loss = maker(sample_rate, **{key: options[key] for key in maker.known if key in options})
    except ConfigError as error:
        mistakes += error.mistakes
    if mistakes:
        raise ConfigError(f"loss_options.{name}", mistakes)
    return _in_float32(name, sample_rate, loss)


def _in_float32(name: str, sample_rate: int, loss: Loss) -> Loss:
    def guarded(estimate: Tensor, reference: Tensor) -> Tensor:
        with torch.autocast(estimate.device.type, enabled=False):
            try:
                return loss(_single(estimate), _single(reference))
            except TooShortError as error:
                raise _too_short(name, sample_rate, error) from error

    return guarded


def _single(value: Tensor) -> Tensor:
    """Convert to single precision; spectra stay complex."""
    return value if value.is_complex() else value.float()


def _too_short(name: str, sample_rate: int, error: TooShortError) -> ConfigError:
    enough = math.ceil((error.longest + 1) / sample_rate * 1000) / 1000
    return ConfigError(
        "data.clip_seconds",
        [
            f"clips of {error.found / sample_rate:.3g} s are too short for losses.{name}. "
            f"Try: --set data.clip_seconds={enough:g} (or longer stages, or shorter windows)"
        ],
    )


def _unknown_option(key: str, known: list[str]) -> str:
    near = nearest(key, known)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"unknown key {key!r}, {hint}"
