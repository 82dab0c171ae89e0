"""All scores of one song."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_zoo.errors import UsageError
from trainers.metrics.bsseval.filters import find_filters
from trainers.metrics.bsseval.frames import score_frames


@dataclass(frozen=True)
class FrameScores:
    """Ratios in dB of every window: not a number where any stem or estimate is silent."""

    sdr: Float[Tensor, "stem frame"]
    isr: Float[Tensor, "stem frame"]
    sir: Float[Tensor, "stem frame"]
    sar: Float[Tensor, "stem frame"]


def bss_eval(
    estimate: Float[Tensor, "stem channel time"],
    reference: Float[Tensor, "stem channel wanted"],
    window: int = 44100,
    hop: int = 44100,
) -> FrameScores:
    """BSSEval version 4 of all stems of a song.

    Computes in double precision, on the device of the stems, block by block. Memory beside the
    stems is what the filters need, and does not depend on the length of the song, but on that of a
    window: four times the square of stems times channels times 512 numbers, six times where
    channels of true stems depend on each other, which takes longer as well.

    Args:
        estimate: separated stems; cut at the end of the reference, or filled with zeros up to it.
        reference: true stems in the same order.
        window: length of the windows in samples.
        hop: distance between the beginnings of windows in samples.

    Raises:
        UsageError: there are no samples, or the window or the hop is below 1.
    """
    length = reference.shape[-1]
    if min(length, window, hop) < 1:
        raise UsageError(
            f"BSSEval needs samples, a window and a hop, found {length}, {window} and {hop}."
        )
    made = fitted(estimate, length)
    scores = score_frames(made, reference, find_filters(made, reference), window, hop)
    return FrameScores(*scores.transpose(1, 2))


def fitted(wave: Float[Tensor, "*batch time"], length: int) -> Float[Tensor, "*batch length"]:
    """Cut at a length, or filled with zeros up to it; a copy only where zeros are needed."""
    missing = length - wave.shape[-1]
    return F.pad(wave, (0, missing)) if missing > 0 else wave[..., :length]
