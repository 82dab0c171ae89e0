"""Correlations of signals as long as songs, at few lags."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

BLOCK = 4096
"""Length in samples of the Fourier transforms: short enough for a cache, long against 512 lags."""

TOGETHER = 32
"""Blocks that are transformed at once."""


def correlate(
    sources: Float[Tensor, "source time"], targets: Float[Tensor, "target time"], lags: int
) -> tuple[Float[Tensor, "source source lag"], Float[Tensor, "source target lag"]]:
    """Correlations of all sources with all sources and with all targets.

    ``sum over t of a[t] b[t + lag]``, lags 0 to ``lags - 1``. A block of a source meets the block
    of the other that begins with it and goes on for as many samples as there are lags, so no lag
    wraps around. Spectra of all blocks are added before the one transform back, and memory does not
    depend on the length.

    Args:
        sources: signals of any precision; the sums are in double precision.
        targets: signals of the same length.
        lags: how many, at most ``BLOCK``.
    """
    hop, count = BLOCK - lags + 1, len(sources)
    total = torch.zeros(
        (BLOCK // 2 + 1, count, count + len(targets)), dtype=torch.complex128, device=sources.device
    )
    for start in range(0, sources.shape[-1], TOGETHER * hop):
        blocks = torch.cat([_blocks(side, start, hop) for side in (sources, targets)])
        ours = torch.fft.rfft(blocks[:count, :, :hop], n=BLOCK)
        ours = rearrange(ours, "source block freq -> freq source block").conj_physical()
        all_ = rearrange(torch.fft.rfft(blocks), "signal block freq -> freq block signal")
        total += ours.contiguous() @ all_.contiguous()
    found = torch.fft.irfft(total, n=BLOCK, dim=0)[:lags].permute(1, 2, 0)
    return found[:, :count], found[:, count:]


def _blocks(
    signals: Float[Tensor, "signal time"], start: int, hop: int
) -> Float[Tensor, "signal block time_of_block"]:
    """Overlapping blocks from ``start`` on, with zeros after the end."""
    count = min(TOGETHER, -(-(signals.shape[-1] - start) // hop))
    stop = start + (count - 1) * hop + BLOCK
    part = signals[:, start:stop].double()
    return F.pad(part, (0, stop - start - part.shape[-1])).unfold(-1, BLOCK, hop)
