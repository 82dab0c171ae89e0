"""The filters that bring true stems as near to an estimate as they can come."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor

from trainers.metrics.bsseval.correlation import correlate

TAPS = 512
"""Length of the filters, as in all versions of BSSEval: 12 ms at 44.1 kHz."""


@dataclass(frozen=True)
class Filters:
    """What the estimates of a song are taken apart with. A source is a channel of a true stem.

    Attributes:
        joint: from every source to every channel of every estimate.
        own: within each stem, from its channels to those of its estimate.
    """

    joint: Float[Tensor, "source target tap"]
    own: Float[Tensor, "stem channel heard tap"]

    def responses(
        self, points: int
    ) -> tuple[Complex[Tensor, "freq source target"], Complex[Tensor, "stem freq channel heard"]]:
        """Both in the frequency domain, as matrices for each frequency."""
        joint, own = (torch.fft.rfft(part, n=points) for part in (self.joint, self.own))
        joint = rearrange(joint, "source target freq -> freq source target")
        own = rearrange(own, "stem source target freq -> stem freq source target")
        return joint.contiguous(), own.contiguous()


def find_filters(
    estimate: Float[Tensor, "stem channel time"], reference: Float[Tensor, "stem channel time"]
) -> Filters:
    """Least squares over a whole song (Vincent et al. 2006, section III-B).

    Args:
        estimate: separated stems.
        reference: true stems in the same order.
    """
    stems, channels, _ = reference.shape
    sources, targets = reference.flatten(0, 1), estimate.flatten(0, 1)
    among, across = correlate(sources, targets, TAPS)
    parts = [slice(first, first + channels) for first in range(0, stems * channels, channels)]
    own = torch.stack([_solve(among[part, part], across[part, part]) for part in parts])
    return Filters(_solve(among, across), own)


def _solve(
    among: Float[Tensor, "source source tap"], across: Float[Tensor, "source target tap"]
) -> Float[Tensor, "source target tap"]:
    """Filters whose outputs are nearest to the targets, from correlations at lags of 0 and more."""
    sources, targets, taps = across.shape
    matrix = _toeplitz(among).reshape(sources * taps, sources * taps)
    wanted = across.transpose(1, 2).reshape(sources * taps, targets)
    return _least_squares(matrix, wanted).reshape(sources, taps, targets).transpose(1, 2)


def _toeplitz(
    among: Float[Tensor, "source source tap"],
) -> Float[Tensor, "source tap source tap"]:
    """Products of all delayed sources: entry (a, l, b, m) correlates a and b at lag l - m."""
    taps = among.shape[-1]
    lags = torch.cat([among.transpose(0, 1).flip(-1), among[..., 1:]], dim=-1)
    delay = torch.arange(taps, device=among.device)
    return lags[..., delay[:, None] - delay + taps - 1].transpose(1, 2)


def _least_squares(
    matrix: Float[Tensor, "row row"], wanted: Float[Tensor, "row target"]
) -> Float[Tensor, "row target"]:
    """By Cholesky, with rows scaled so that a faint stem counts as much as a loud one.

    Where sources depend on each other (two channels that are the same, a silent one), many filters
    are equally good, and those that use the fewest delayed sources are taken. The reference
    implementation (museval 0.4.1 with NumPy 2) stops there, or returns what rounding makes of it.
    """
    scale = matrix.diagonal().clamp_min(torch.finfo(matrix.dtype).tiny).rsqrt()
    matrix = matrix * scale[:, None] * scale
    wanted = wanted * scale[:, None]
    factor, failed = torch.linalg.cholesky_ex(matrix)
    smallest = len(matrix) * torch.finfo(matrix.dtype).eps
    if failed or factor.diagonal().square().min() < smallest:
        return scale[:, None] * _by_pivots(matrix, wanted, smallest)
    return scale[:, None] * torch.cholesky_solve(wanted, factor)


def _by_pivots(
    matrix: Float[Tensor, "row row"], wanted: Float[Tensor, "row target"], smallest: float
) -> Float[Tensor, "row target"]:
    """By Cholesky on the rows of which something is left when those before them are taken off.

    The row of which most is left comes next (Higham 2002, "Accuracy and Stability of Numerical
    Algorithms", section 10.3); where less than ``smallest`` is left of all, they are combinations
    of those before, and get no filter.
    """
    factor, left = torch.zeros_like(matrix), matrix.diagonal().clone()
    order: list[int] = []
    while len(order) < len(matrix) and left.max() > smallest:
        pivot, rank = int(left.argmax()), len(order)
        row = matrix[pivot] - factor[:rank, pivot] @ factor[:rank]
        factor[rank] = row / left[pivot].sqrt()
        left -= factor[rank].square()
        left[[*order, pivot]] = 0
        order.append(pivot)
    found = torch.zeros_like(wanted)
    found[order] = torch.cholesky_solve(wanted[order], factor[: len(order), order].T.tril())
    return found
