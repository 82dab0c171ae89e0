"""How good the averaged weights are on a track with known stems."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange

from model_zoo.separator import Separator
from trainers.data.validation import ValidationTrack
from trainers.metrics.sdr import global_sdr
from trainers.objectives.separation import estimate


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
