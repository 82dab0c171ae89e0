"""How good the averaged weights are on a track with known stems."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from model_zoo.separator import Separator
from trainers.data.validation import ValidationTrack
from trainers.metrics.sdr import global_sdr
from trainers.objectives.separation import estimate


@torch.inference_mode()
def validate(model: Separator, track: ValidationTrack) -> dict[str, float]:
    """Global SDR in dB of every stem, from segments side by side."""
    scores = global_sdr(hear(model, track.mixture), track.stems)
    return dict(zip(model.stems, scores.tolist(), strict=True))


@torch.inference_mode()
def hear(
    model: Separator, mixture: Float[Tensor, "channel time"]
) -> Float[Tensor, "stem channel time"]:
    """The stems of a mixture of any length, from segments side by side, on the CPU."""
    length, segment = mixture.shape[-1], model.segment
    padded = F.pad(mixture, (0, -length % segment))
    device = next(model.parameters()).device
    parts = rearrange(padded, "c (b t) -> b c t", t=segment).to(device)
    estimates = torch.cat([estimate(model, part[None]).cpu() for part in parts])
    return rearrange(estimates, "b s c t -> s c (b t)")[..., :length]
