"""Distances between spectrograms.

Spectra are scaled by the root of the window's energy, so that every resolution weighs as much as
the waveform does (Parseval): noise of level 1 has magnitudes of about 1, whatever the window. Waves
must be longer than half of the longest window, because their ends are reflected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from model_zoo.axes import Stems
from model_zoo.config import broken
from model_zoo.ops.stft import stft
from trainers.losses.contract import Loss, LossOptions, require_more_than
from trainers.losses.waveform import NOISE_FLOOR

RESOLUTIONS = (4096, 2048, 1024, 512)
"""Window lengths in samples; the hop is a quarter of each."""

QUIETEST = 1e-5
"""Magnitude below which logarithms tell nothing apart: -100 dB of a wave of 1."""


@dataclass(frozen=True)
class MagnitudeL1(LossOptions):
    """One resolution.

    Attributes:
        n_fft: length of the Hann window, in samples.
        hop: in samples.
    """

    n_fft: int = 4096
    hop: int = 1024

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return resolution_mistakes((self.n_fft,), (self.hop,))

    def make(self, sample_rate: int) -> Loss:
        """See :func:`magnitude_l1`."""
        return partial(magnitude_l1, n_fft=self.n_fft, hop=self.hop)


@dataclass(frozen=True)
class MultiResolutionMagnitude(LossOptions):
    """Several resolutions.

    Attributes:
        n_fft: lengths of the Hann windows, in samples.
        hop: of each, in samples.
        convergence: measure spectral convergence instead of the plain L1 distance.
    """

    n_fft: tuple[int, ...] = (2048, 1024, 512)
    hop: tuple[int, ...] = (512, 256, 128)
    convergence: bool = False

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return resolution_mistakes(self.n_fft, self.hop)

    def make(self, sample_rate: int) -> Loss:
        """See :func:`multi_resolution_magnitude`."""
        resolutions = [*zip(self.n_fft, self.hop, strict=True)]
        return partial(
            multi_resolution_magnitude, resolutions=resolutions, convergence=self.convergence
        )


def multi_resolution_stft(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """L1 distance of complex spectra, averaged over several window lengths.

    Spectra are compared as complex numbers and not by their magnitudes, so that phase counts.
    By linearity their distance is the magnitude of the error's spectrum.
    """
    error = estimate - reference
    distances = [magnitudes(error, n_fft, n_fft // 4).mean() for n_fft in RESOLUTIONS]
    return torch.stack(distances).mean()


def magnitude_l1(estimate: Stems, reference: Stems, n_fft: int, hop: int) -> Float[Tensor, ""]:
    """Mean absolute difference of magnitudes; phase does not count."""
    return _l1(magnitudes(estimate, n_fft, hop), magnitudes(reference, n_fft, hop))


def multi_resolution_magnitude(
    estimate: Stems,
    reference: Stems,
    resolutions: Sequence[tuple[int, int]],
    convergence: bool = False,
) -> Float[Tensor, ""]:
    """L1 distance of magnitudes and of their logarithms, averaged over resolutions.

    With ``convergence`` the terms are those of Yamamoto et al. 2020 (arXiv 1910.11480).
    Logarithms are natural, of magnitudes of :data:`QUIETEST` at least.

    Args:
        estimate: what is judged.
        reference: what it should be.
        resolutions: window length and hop of each, in samples.
        convergence: :func:`spectral_convergence` instead of the L1 distance of magnitudes.
    """
    require_more_than(max(n_fft for n_fft, _ in resolutions) // 2, estimate)
    distance = spectral_convergence if convergence else _l1
    parts = []
    for n_fft, hop in resolutions:
        found, wanted = magnitudes(estimate, n_fft, hop), magnitudes(reference, n_fft, hop)
        logarithms = _l1(found.clamp_min(QUIETEST).log(), wanted.clamp_min(QUIETEST).log())
        parts.append(distance(found, wanted) + logarithms)
    return torch.stack(parts).mean()


def spectral_convergence(
    found: Float[Tensor, "*batch freq frame"], wanted: Float[Tensor, "*batch freq frame"]
) -> Float[Tensor, ""]:
    """Norm of the difference over the norm of what is wanted, both over the whole batch.

    Over the batch, so that a silent reference among others does not weigh without bound; one alone
    is taken for noise at the level of :data:`~trainers.losses.waveform.NOISE_FLOOR`.
    """
    scale = (wanted.square().sum() + NOISE_FLOOR * wanted.numel()).sqrt()
    return torch.linalg.vector_norm(found - wanted) / scale


def magnitudes(
    wave: Float[Tensor, "*batch time"], n_fft: int, hop: int
) -> Float[Tensor, "*batch freq frame"]:
    """Magnitudes of the spectrum, scaled by the root of the window's energy."""
    hann_energy = 3 / 8 * n_fft
    return spectrum(wave, n_fft, hop).abs() / hann_energy**0.5


def spectrum(
    wave: Float[Tensor, "*batch time"], n_fft: int, hop: int
) -> Complex[Tensor, "*batch freq frame"]:
    """Spectrum under a Hann window.

    Raises:
        TooShortError: the wave is not longer than half of the window.
    """
    require_more_than(n_fft // 2, wave)
    window = torch.hann_window(n_fft, device=wave.device, dtype=wave.dtype)
    return stft(wave, window, hop)


def resolution_mistakes(n_fft: Sequence[int], hop: Sequence[int]) -> list[str]:
    """What is wrong with window lengths and hops, one sentence each."""
    return broken(
        {
            "n_fft must list at least one window": not n_fft,
            f"hop must be as many as n_fft: {len(hop)} instead of {len(n_fft)}": (
                len(n_fft) != len(hop)
            ),
            "n_fft must be 4 or more": any(window < 4 for window in n_fft),
            "hop must be 1 or more": any(step < 1 for step in hop),
            "hop must not be longer than its window of n_fft": any(
                step > window >= 4 for window, step in zip(n_fft, hop, strict=False)
            ),
        }
    )


def _l1(found: Tensor, wanted: Tensor) -> Float[Tensor, ""]:
    return (found - wanted).abs().mean()
