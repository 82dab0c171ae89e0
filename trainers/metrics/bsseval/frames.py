"""Windows of a song, and what its estimates are made of in each."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from trainers.metrics.bsseval.filters import TAPS, Filters

TOGETHER = 4_000_000
"""Samples of all stems and channels that are transformed at once; a dozen such arrays are held."""

Windows = Float[Tensor, "frame stem channel time"]
Spectra = Complex[Tensor, "stem freq frame channel"]


def count_frames(length: int, window: int, hop: int) -> int:
    """Windows that fit into a song; one, shorter than asked, where none does."""
    return (length - window + hop) // hop if window < length else 1


def fast_length(least: int) -> int:
    """The next even number that Fourier transforms are fast for: products of 2, 3 and 5."""
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
    """SDR, ISR, SIR and SAR of every window in dB; not a number where any stem is silent."""
    window = min(window, reference.shape[-1])
    points = fast_length(window + TAPS - 1)
    joint, own = filters.responses(points)
    scores = []
    sides = (_windows(side, window, hop) for side in (estimate, reference))
    for made, true in zip(*sides, strict=True):
        is_silent = _has_silence(made) | _has_silence(true)
        ratios = _ratios(_spectra(made, points), _spectra(true, points), joint, own)
        scores.append(ratios.masked_fill(is_silent[:, None], torch.nan))
    return torch.cat(scores, dim=1)


def _windows(stems: Float[Tensor, "stem channel time"], window: int, hop: int) -> Iterator[Windows]:
    """All windows in their order, as many at a time as memory is meant to hold."""
    count = count_frames(stems.shape[-1], window, hop)
    together = max(TOGETHER // (stems[..., 0].numel() * (window + TAPS)), 1)
    for first in range(0, count, together):
        last = min(first + together, count) - 1
        part = stems[..., first * hop : last * hop + window].double().unfold(-1, window, hop)
        yield rearrange(part, "stem channel frame time -> frame stem channel time")


def _has_silence(windows: Windows) -> Bool[Tensor, " frame"]:
    """Whether a stem is silent as the reference implementation has it: its channels add up to 0."""
    return (windows.sum(2) == 0).all(-1).any(-1)


def _spectra(windows: Windows, points: int) -> Spectra:
    """Frequencies first: filters are then products of small matrices."""
    spectra = torch.fft.rfft(windows, n=points)
    return rearrange(spectra, "frame stem channel freq -> stem freq frame channel").contiguous()


def _ratios(
    made: Spectra,
    true: Spectra,
    joint: Complex[Tensor, "freq source target"],
    own: Complex[Tensor, "stem freq channel heard"],
) -> Float[Tensor, "ratio frame stem"]:
    """The four ratios of :mod:`trainers.metrics.bsseval`, by Parseval's theorem, stem by stem.

    Spectra are long enough for what the filters add after a window, so products wrap nothing.
    """
    count = len(true)
    of_all = rearrange(true, "stem freq frame channel -> freq frame (stem channel)") @ joint
    of_all = rearrange(of_all, "freq frame (stem channel) -> stem freq frame channel", stem=count)
    ratios = []
    for stem in range(count):
        of_own = true[stem] @ own[stem]
        signals = [true[stem], true[stem], of_own, of_all[stem]]
        errors = [
            made[stem] - true[stem],
            of_own - true[stem],
            of_all[stem] - of_own,
            made[stem] - of_all[stem],
        ]
        ratios.append(_energies(signals) / _energies(errors))
    return 10 * torch.log10(torch.stack(ratios, dim=-1))


def _energies(
    parts: list[Complex[Tensor, "freq frame channel"]],
) -> Float[Tensor, "ratio frame"]:
    """Energies of real signals over time and channels, times half the points of the transform."""
    squares = [torch.view_as_real(part).square().sum((-2, -1)) for part in parts]
    return torch.stack([each.sum(0) - (each[0] + each[-1]) / 2 for each in squares])
