"""How good the averaged weights are on a track with known stems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from model_zoo.errors import DecodeError
from model_zoo.separator import Separator
from trainers.metrics.sdr import global_sdr


@dataclass(frozen=True)
class ValidationTrack:
    """A mixture (``channel time``) and its true stems (``stem channel time``)."""

    mixture: Tensor
    stems: Tensor


def open_track(folder: Path, stems: tuple[str, ...], sample_rate: int) -> ValidationTrack:
    """Read ``mixture.*`` and one file per stem.

    Raises:
        DecodeError: a file is missing, unreadable or at another sample rate.
    """
    waves = [_read(folder, name, sample_rate) for name in ("mixture", *stems)]
    return ValidationTrack(waves[0], torch.stack(waves[1:]))


def _read(folder: Path, name: str, sample_rate: int) -> Tensor:
    found = sorted(folder.glob(f"{name}.*"))
    if not found:
        raise DecodeError(f"No file {name}.* in {folder}: name a folder that has it.")
    try:
        wave, rate = soundfile.read(found[0], dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DecodeError(f"Cannot decode {found[0]}: {error.error_string}") from error
    if rate != sample_rate:
        raise DecodeError(f"{found[0]} is at {rate} Hz: convert it to {sample_rate} Hz.")
    return torch.from_numpy(wave.T)


@torch.inference_mode()
def validate(model: Separator, track: ValidationTrack) -> dict[str, float]:
    """Global SDR in dB of every stem, from segments side by side."""
    length, segment = track.mixture.shape[-1], model.segment
    padded = F.pad(track.mixture, (0, -length % segment))
    device = next(model.parameters()).device
    parts = rearrange(padded, "c (b t) -> b c t", t=segment).to(device)
    estimates = torch.cat([model(part[None]).cpu() for part in parts])
    joined = rearrange(estimates, "b s c t -> s c (b t)")[..., :length]
    scores = global_sdr(joined, track.stems)
    return dict(zip(model.stems, scores.tolist(), strict=True))
