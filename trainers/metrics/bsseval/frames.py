"""Windows of a song, and what its estimates are made of in each."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from trainers.metrics.bsseval.filters import TAPS, Filters

TOGETHER = 1_000_000
"""Samples of all stems and channels that are transformed at once; a dozen such arrays are held."""

Windows = Float[Tensor, "frame stem channel time"]
Spectra = Complex[Tensor, "frame stem channel freq"]


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
        both = torch.fft.rfft(torch.stack([made, true]), n=points)
        scores.append(
            _ratios(both[0], both[1], joint, own).masked_fill(is_silent[:, None], torch.nan)
        )
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


def _ratios(
    made: Spectra,
    true: Spectra,
    joint: Complex[Tensor, "source target freq"],
    own: Complex[Tensor, "stem channel heard freq"],
) -> Float[Tensor, "ratio frame stem"]:
    """The four ratios of :mod:`trainers.metrics.bsseval`, by Parseval's theorem.

    Spectra are long enough for what the filters add after a window, so products wrap nothing.
    """
    of_own = einsum(
        true, own, "frame stem source freq, stem source target freq -> frame stem target freq"
    )
    sources = true.flatten(1, 2)
    of_all = einsum(sources, joint, "frame source freq, source target freq -> frame target freq")
    of_all = of_all.reshape(true.shape)
    spatial, interference, artefacts = of_own - true, of_all - of_own, made - of_all
    signals = [true, true, of_own, of_all]
    errors = [made - true, spatial, interference, artefacts]
    return 10 * torch.log10(_energies(signals) / _energies(errors))


def _energies(parts: list[Spectra]) -> Float[Tensor, "ratio frame stem"]:
    """Energies of real signals over time and channels, times half the points of the transform."""
    squares = torch.stack([part.abs().square().sum(2) for part in parts])
    return squares.sum(-1) - (squares[..., 0] + squares[..., -1]) / 2
