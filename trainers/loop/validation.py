"""How good the averaged weights are on songs with known stems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange

from model_zoo.separator import Separator
from stemcli.engine.precision import Precision
from trainers.data.validation import ValidationSong, ValidationTrack, is_heard
from trainers.loop.worker import Worker
from trainers.metrics.sdr import global_sdr
from trainers.objectives.separation import estimate


def validate(
    model: Separator, songs: Sequence[ValidationSong], worker: Worker, precision: Precision
) -> dict[str, float]:
    """Mean global SDR in dB of every stem over the songs that have it, the same on every worker.

    Each worker hears its share of the songs, or all of them where none can hear one alone.
    """
    sums: dict[str, float] = {}
    for stem in model.stems:
        sums |= {f"sum {stem}": 0.0, f"count {stem}": 0.0}
    for song in worker.share(songs):
        for stem, sdr in score(model, song.read(), precision).items():
            sums[f"sum {stem}"] += sdr
            sums[f"count {stem}"] += 1
    return _means(worker.total(sums), model.stems)


def _means(sums: Mapping[str, float], stems: tuple[str, ...]) -> dict[str, float]:
    """Means of the stems that any song has."""
    counts = {stem: sums[f"count {stem}"] for stem in stems}
    return {stem: sums[f"sum {stem}"] / count for stem, count in counts.items() if count}


@torch.inference_mode()
def score(model: Separator, track: ValidationTrack, precision: Precision) -> dict[str, float]:
    """Global SDR in dB of every stem that is not silent, from segments side by side."""
    length, segment = track.mixture.shape[-1], model.segment
    padded = F.pad(track.mixture, (0, -length % segment))
    device = next(model.parameters()).device
    parts = rearrange(padded, "c (b t) -> b c t", t=segment).to(device)
    with precision.autocast(device):
        made = [estimate(model, part[None], model.channels).float().cpu() for part in parts]
    joined = rearrange(torch.cat(made), "b s c t -> s c (b t)")[..., :length]
    scores = zip(model.stems, global_sdr(joined, track.stems).tolist(), strict=True)
    heard = is_heard(track.stems)
    return {stem: sdr for (stem, sdr), loud in zip(scores, heard.tolist(), strict=True) if loud}
