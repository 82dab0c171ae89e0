"""BSSEval version 4: what museval calls SDR, ISR, SIR and SAR.

Goal: to measure not only how far an estimate is from the true stem, but also which kinds of error
it has. An estimate is decomposed (Vincent, Gribonval and Févotte 2006, "Performance measurement in
blind audio source separation", https://doi.org/10.1109/TSA.2005.858005; for images of several
channels Vincent et al. 2007, "First stereo audio source separation evaluation campaign",
https://doi.org/10.1007/978-3-540-74494-8_69):

``estimate = s + e_spat + e_interf + e_artif``

``s`` is the true stem; ``s + e_spat`` is the projection of the estimate onto the true stem under
filters of 512 taps between all channels; ``s + e_spat + e_interf`` is the projection onto all true
stems; ``e_artif`` is the rest. Ratios of energies of a window, in dB, higher is better:

- ``SDR = |s|^2 / |e_spat + e_interf + e_artif|^2``, signal to distortion
- ``ISR = |s|^2 / |e_spat|^2``, image to spatial distortion
- ``SIR = |s + e_spat|^2 / |e_interf|^2``, signal to interference
- ``SAR = |s + e_spat + e_interf|^2 / |e_artif|^2``, signal to artefacts

Version 4 (Stöter, Liutkus and Ito 2018, "The 2018 Signal Separation Evaluation Campaign",
arXiv 1804.06267) fits the filters once for a whole song and computes energies in windows of one
second. A song's score is the median over its windows, a data set's the median over its songs.
Argument order is (estimate, reference) everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Complex, Float
from torch import Tensor
from torch.nn import functional as F

from model_zoo.errors import UsageError

BLOCK = 4096
"""Length of the Fourier transforms in samples: fits into a cache, long compared to 512 lags."""

MOST_HOPS = 32
"""Number of blocks transformed at once."""


def correlate(
    sources: Float[Tensor, "source time"], targets: Float[Tensor, "target time"], lags: int
) -> tuple[Float[Tensor, "source source lag"], Float[Tensor, "source target lag"]]:
    """Compute correlations of all sources with all sources and all targets.

    ``sum over t of a[t] b[t + lag]``, lags 0 to ``lags - 1``. A block of one source is correlated
    with a block of the other that starts at the same sample and is longer by the number of lags, so
    no lag wraps around. Spectra of all blocks are summed before a single inverse transform, and
    memory does not depend on the length.

    Args:
        sources: signals of any precision; sums are in double precision.
        targets: signals of the same length.
        lags: number of lags, at most ``BLOCK``.
    """
    hop, count = BLOCK - lags + 1, len(sources)
    total = torch.zeros(
        (BLOCK // 2 + 1, count, count + len(targets)), dtype=torch.complex128, device=sources.device
    )
    for start in range(0, sources.shape[-1], MOST_HOPS * hop):
        blocks = torch.cat([_blocks(side, start, hop) for side in (sources, targets)])
        spectra = torch.fft.rfft(blocks[:count, :, :hop], n=BLOCK)
        spectra = rearrange(spectra, "source block freq -> freq source block").conj_physical()
        all_ = rearrange(torch.fft.rfft(blocks), "signal block freq -> freq block signal")
        total += spectra.contiguous() @ all_.contiguous()
    found = torch.fft.irfft(total, n=BLOCK, dim=0)[:lags].permute(1, 2, 0)
    return found[:, :count], found[:, count:]


def _blocks(
    signals: Float[Tensor, "signal time"], start: int, hop: int
) -> Float[Tensor, "signal block time_of_block"]:
    """Return overlapping blocks from ``start``, zero-padded at the end."""
    count = min(MOST_HOPS, -(-(signals.shape[-1] - start) // hop))
    stop = start + (count - 1) * hop + BLOCK
    part = signals[:, start:stop].double()
    return F.pad(part, (0, stop - start - part.shape[-1])).unfold(-1, BLOCK, hop)


TAPS = 512
"""Filter length in all versions of BSSEval: 12 ms at 44.1 kHz."""


@dataclass(frozen=True)
class Filters:
    """Projection filters of a song. A source is a channel of a true stem.

    Attributes:
        joint: filters from every source to every channel of every estimate.
        own: filters within each stem, from its channels to those of its estimate.
    """

    joint: Float[Tensor, "source target tap"]
    own: Float[Tensor, "stem channel channel_out tap"]

    def responses(
        self, points: int
    ) -> tuple[
        Complex[Tensor, "freq source target"], Complex[Tensor, "stem freq channel channel_out"]
    ]:
        """Transform both to the frequency domain, as a matrix per frequency."""
        joint, own = (torch.fft.rfft(part, n=points) for part in (self.joint, self.own))
        joint = rearrange(joint, "source target freq -> freq source target")
        own = rearrange(own, "stem source target freq -> stem freq source target")
        return joint.contiguous(), own.contiguous()


def find_filters(
    estimate: Float[Tensor, "stem channel time"], reference: Float[Tensor, "stem channel time"]
) -> Filters:
    """Fit the filters by least squares over a whole song (Vincent et al. 2006, section III-B).

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
    """Solve for the least-squares filters, given correlations at lags from 0."""
    sources, targets, taps = across.shape
    matrix = _toeplitz(among).reshape(sources * taps, sources * taps)
    rhs = across.transpose(1, 2).reshape(sources * taps, targets)
    return _least_squares(matrix, rhs).reshape(sources, taps, targets).transpose(1, 2)


def _toeplitz(
    among: Float[Tensor, "source source tap"],
) -> Float[Tensor, "source tap source tap"]:
    """Build the Gram matrix of delayed sources: entry (a, l, b, m) is a and b at lag l - m."""
    taps = among.shape[-1]
    lags = torch.cat([among.transpose(0, 1).flip(-1), among[..., 1:]], dim=-1)
    delay = torch.arange(taps, device=among.device)
    return lags[..., delay[:, None] - delay + taps - 1].transpose(1, 2)


def _least_squares(
    matrix: Float[Tensor, "row row"], rhs: Float[Tensor, "row target"]
) -> Float[Tensor, "row target"]:
    """Solve by Cholesky, with rows scaled so that quiet stems count as much as loud ones.

    If sources are linearly dependent (two equal channels, a silent one), the solution is not
    unique, and the one with the fewest delayed sources is chosen. The reference implementation
    (museval 0.4.1 with NumPy 2) fails in that case, or returns rounding noise.
    """
    scale = matrix.diagonal().clamp_min(torch.finfo(matrix.dtype).tiny).rsqrt()
    matrix = matrix * scale[:, None] * scale
    rhs = rhs * scale[:, None]
    factor, failed = torch.linalg.cholesky_ex(matrix)
    smallest = len(matrix) * torch.finfo(matrix.dtype).eps
    if failed or factor.diagonal().square().min() < smallest:
        return scale[:, None] * _by_pivots(matrix, rhs, smallest)
    return scale[:, None] * torch.cholesky_solve(rhs, factor)


def _by_pivots(
    matrix: Float[Tensor, "row row"], rhs: Float[Tensor, "row target"], smallest: float
) -> Float[Tensor, "row target"]:
    """Solve by pivoted Cholesky, dropping linearly dependent rows.

    The next pivot is the row with the largest remainder (Higham 2002, "Accuracy and Stability of
    Numerical Algorithms", section 10.3); once all remainders are below ``smallest``, the other rows
    are combinations of earlier ones, and get no filter.
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
    solution = torch.zeros_like(rhs)
    solution[order] = torch.cholesky_solve(rhs[order], factor[: len(order), order].T.tril())
    return solution


MOST_NUMBERS = 4_000_000
"""Samples over all stems and channels transformed at once; about a dozen such arrays exist."""

Windows = Float[Tensor, "frame stem channel time"]
Spectra = Complex[Tensor, "stem freq frame channel"]


def count_frames(length: int, window: int, hop: int) -> int:
    """Return how many windows fit into a song; at least one."""
    return (length - window + hop) // hop if window < length else 1


def fast_length(least: int) -> int:
    """Return the next even number with only the factors 2, 3 and 5, for fast transforms."""
    length = least + least % 2
    while not _is_smooth(length):
        length += 2
    return length


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def score_frames(
    estimate: Float[Tensor, "stem channel time"],
    reference: Float[Tensor, "stem channel time"],
    filters: Filters,
    window: int,
    hop: int,
) -> Float[Tensor, "ratio frame stem"]:
    """Compute SDR, ISR, SIR and SAR of every window in dB; NaN if any stem is silent."""
    window = min(window, reference.shape[-1])
    points = fast_length(window + TAPS - 1)
    joint, own = filters.responses(points)
    scores = []
    sides = (_windows(side, window, hop) for side in (estimate, reference))
    for estimated, true in zip(*sides, strict=True):
        is_silent = _has_silence(estimated) | _has_silence(true)
        ratios = _ratios(_spectra(estimated, points), _spectra(true, points), joint, own)
        scores.append(ratios.masked_fill(is_silent[:, None], torch.nan))
    return torch.cat(scores, dim=1)


def _windows(stems: Float[Tensor, "stem channel time"], window: int, hop: int) -> Iterator[Windows]:
    """Yield all windows in order, in chunks of limited memory."""
    count = count_frames(stems.shape[-1], window, hop)
    together = max(MOST_NUMBERS // (stems[..., 0].numel() * (window + TAPS)), 1)
    for first in range(0, count, together):
        last = min(first + together, count) - 1
        part = stems[..., first * hop : last * hop + window].double().unfold(-1, window, hop)
        yield rearrange(part, "stem channel frame time -> frame stem channel time")


def _has_silence(windows: Windows) -> Bool[Tensor, " frame"]:
    """Return whether stems are silent by the reference's rule: their channels add up to 0."""
    return (windows.sum(2) == 0).all(-1).any(-1)


def _spectra(windows: Windows, points: int) -> Spectra:
    """Transform with frequencies first, so that filters are products of small matrices."""
    spectra = torch.fft.rfft(windows, n=points)
    return rearrange(spectra, "frame stem channel freq -> stem freq frame channel").contiguous()


def _ratios(
    estimate: Spectra,
    true: Spectra,
    joint: Complex[Tensor, "freq source target"],
    own: Complex[Tensor, "stem freq channel channel_out"],
) -> Float[Tensor, "ratio frame stem"]:
    """Compute the four ratios of :mod:`trainers.metrics.bsseval` by Parseval's theorem, per stem.

    Spectra are long enough for the filters' tails after a window, so products do not wrap around.
    """
    count = len(true)
    of_all = rearrange(true, "stem freq frame channel -> freq frame (stem channel)") @ joint
    of_all = rearrange(of_all, "freq frame (stem channel) -> stem freq frame channel", stem=count)
    ratios = []
    for stem in range(count):
        of_own = true[stem] @ own[stem]
        signals = [true[stem], true[stem], of_own, of_all[stem]]
        errors = [
            estimate[stem] - true[stem],
            of_own - true[stem],
            of_all[stem] - of_own,
            estimate[stem] - of_all[stem],
        ]
        ratios.append(_energies(signals) / _energies(errors))
    return 10 * torch.log10(torch.stack(ratios, dim=-1))


def _energies(
    parts: list[Complex[Tensor, "freq frame channel"]],
) -> Float[Tensor, "ratio frame"]:
    """Return energies of real signals over time and channels, times half the transform's length."""
    squares = [torch.view_as_real(part).square().sum((-2, -1)) for part in parts]
    return torch.stack([each.sum(0) - (each[0] + each[-1]) / 2 for each in squares])


@dataclass(frozen=True)
class FrameScores:
    """Return the ratios of every window in dB; NaN if any stem or estimate is silent."""

    sdr: Float[Tensor, "stem frame"]
    isr: Float[Tensor, "stem frame"]
    sir: Float[Tensor, "stem frame"]
    sar: Float[Tensor, "stem frame"]


def bss_eval(
    estimate: Float[Tensor, "stem channel time"],
    reference: Float[Tensor, "stem channel length"],
    window: int = 44100,
    hop: int = 44100,
) -> FrameScores:
    """Compute BSSEval version 4 of all stems of a song.

    Computes in double precision, on the device of the stems, block by block. Besides the stems,
    memory is needed for the filters, independent of the song's length but dependent on the
    window's: four times the square of stems times channels times 512 numbers, six times if channels
    of true stems are linearly dependent, which also takes longer.

    Args:
        estimate: separated stems; cut or zero-padded to the length of the reference.
        reference: true stems in the same order.
        window: window length in samples.
        hop: distance between starts of windows in samples.

    Raises:
        UsageError: there are no samples, or the window or the hop is below 1.
    """
    length = reference.shape[-1]
    if min(length, window, hop) < 1:
        raise UsageError(
            f"BSSEval needs samples, a window and a hop, found {length}, {window} and {hop}."
        )
    estimate = fitted(estimate, length)
    scores = score_frames(estimate, reference, find_filters(estimate, reference), window, hop)
    return FrameScores(*scores.transpose(1, 2))


def fitted(wave: Float[Tensor, "*batch time"], length: int) -> Float[Tensor, "*batch length"]:
    """Cut or zero-pad to a length; copies only to pad."""
    missing = length - wave.shape[-1]
    return F.pad(wave, (0, missing)) if missing > 0 else wave[..., :length]


__all__ = ["FrameScores", "bss_eval", "fitted"]
