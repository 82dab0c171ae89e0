"""Correlations of signals as long as songs, at few lags."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

BLOCK = 16384
"""Length in samples of the Fourier transforms: short enough for a cache, long against 512 lags."""

TOGETHER = 16
"""Blocks that are transformed at once."""


def correlate(
    left: Float[Tensor, "left time"], right: Float[Tensor, "right time"], lags: int
) -> Float[Tensor, "left right lag"]:
    """``sum over t of left[a, t] right[b, t + lag]`` for all pairs, lags 0 to ``lags - 1``.

    A block of ``left`` meets the block of ``right`` that begins with it and goes on for as many
    samples as there are lags, so no lag wraps around. Spectra of all blocks are added before the
    one transform back, and memory does not depend on the length.

    Args:
        left: signals of any precision; the sums are in double precision.
        right: signals of the same length.
        lags: how many, at most ``BLOCK``.
    """
    hop = BLOCK - lags + 1
    total = left.new_zeros((BLOCK // 2 + 1, len(left), len(right)), dtype=torch.complex128)
    for start in range(0, left.shape[-1], TOGETHER * hop):
        ours, theirs = (_blocks(signals, start, hop) for signals in (left, right))
        ours, theirs = (torch.fft.rfft(part, n=BLOCK) for part in (ours[..., :hop], theirs))
        total += torch.einsum("abf,cbf->fac", ours.conj(), theirs)
    return torch.fft.irfft(total, n=BLOCK, dim=0)[:lags].permute(1, 2, 0)


def _blocks(
    signals: Float[Tensor, "signal time"], start: int, hop: int
) -> Float[Tensor, "signal block time_of_block"]:
    """Overlapping blocks from ``start`` on, with zeros after the end."""
    count = min(TOGETHER, -(-(signals.shape[-1] - start) // hop))
    stop = start + (count - 1) * hop + BLOCK
    part = signals[:, start:stop].double()
    return F.pad(part, (0, stop - start - part.shape[-1])).unfold(-1, BLOCK, hop)
