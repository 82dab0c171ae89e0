"""How good the averaged weights are on a track with known stems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from model_zoo.errors import DecodeError
from model_zoo.separator import Separator
from trainers.data.files import find_stem, read_wave
from trainers.metrics.sdr import global_sdr
from trainers.objectives.separation import estimate


@dataclass(frozen=True)
class ValidationTrack:
    """A mixture (``channel time``) and its true stems (``stem channel time``)."""

    mixture: Tensor
    stems: Tensor


def open_track(folder: Path, model: Separator) -> ValidationTrack:
    """Read ``mixture.*`` and one file for each stem of ``model``.

    Raises:
        DecodeError: a file is missing or unreadable, does not have the network's sample rate and
            channels, or is not as long as the others.
    """
    paths = [find_stem(folder, name) for name in ("mixture", *model.stems)]
    waves = [_read(path, model) for path in paths]
    for path, wave in zip(paths, waves, strict=True):
        if wave.shape != waves[0].shape:
            raise DecodeError(
                f"{path} and {paths[0]} differ in length or channels: "
                "give stems that add up to their mixture."
            )
    return ValidationTrack(waves[0], torch.stack(waves[1:]))


def _read(path: Path, model: Separator) -> Tensor:
    wave, rate = read_wave(path)
    if rate != model.sample_rate:
        raise DecodeError(f"{path} is at {rate} Hz: convert it to {model.sample_rate} Hz.")
    if model.channels not in (1, len(wave)):
        raise DecodeError(
            f"{path} has {len(wave)} channels and the network takes {model.channels}: convert it."
        )
    return torch.from_numpy(wave.copy())


@torch.inference_mode()
def validate(model: Separator, track: ValidationTrack) -> dict[str, float]:
    """Global SDR in dB of every stem, from segments side by side."""
    length, segment = track.mixture.shape[-1], model.segment
    padded = F.pad(track.mixture, (0, -length % segment))
    device = next(model.parameters()).device
    parts = rearrange(padded, "c (b t) -> b c t", t=segment).to(device)
    estimates = torch.cat([estimate(model, part[None]).cpu() for part in parts])
    joined = rearrange(estimates, "b s c t -> s c (b t)")[..., :length]
    scores = global_sdr(joined, track.stems)
    return dict(zip(model.stems, scores.tolist(), strict=True))
