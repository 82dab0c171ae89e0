"""Losses on spectrograms: STFT magnitudes, mel bands and phases.

Spectra are scaled by the square root of the window's energy, so that every resolution has the same
weight as the waveform (Parseval): noise of level 1 has magnitudes of about 1 for any window.
Waveforms must be longer than half of the longest window, because their ends are reflected.

Phase losses take angles divided by pi as the estimate, and the true spectrum as the reference. The
phase of silence is noise, so bins can be weighted by their magnitudes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import Stems
from model_zoo.config import broken
from model_zoo.ops.spectra import stft
from trainers.losses.base import Loss, LossOptions, require_more_than
from trainers.losses.waveform import NOISE_FLOOR

RESOLUTIONS = (4096, 2048, 1024, 512)
"""Window lengths in samples; hops are a quarter of them."""

SMALLEST_MAGNITUDE = 1e-5
"""Smallest magnitude that logarithms resolve: -100 dB for a waveform of level 1."""


@dataclass(frozen=True)
class MagnitudeL1(LossOptions):
    """Options of a loss at one resolution.

    Attributes:
        n_fft: length of the Hann window in samples.
        hop: hop in samples.
    """

    n_fft: int = 4096
    hop: int = 1024

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return resolution_mistakes((self.n_fft,), (self.hop,))

    def make(self, sample_rate: int) -> Loss:
        """Create :func:`magnitude_l1`."""
        return partial(magnitude_l1, n_fft=self.n_fft, hop=self.hop)


@dataclass(frozen=True)
class MagnitudeMSE(MagnitudeL1):
    """Options of the squared loss at one resolution."""

    def make(self, sample_rate: int) -> Loss:
        """Create :func:`magnitude_mse`."""
        return partial(magnitude_mse, n_fft=self.n_fft, hop=self.hop)


@dataclass(frozen=True)
class MultiResolutionMagnitude(LossOptions):
    """Options of a loss at several resolutions.

    Attributes:
        n_fft: lengths of the Hann windows in samples.
        hop: hop of each, in samples.
        convergence: use spectral convergence instead of the plain L1 distance.
    """

    n_fft: tuple[int, ...] = (2048, 1024, 512)
    hop: tuple[int, ...] = (512, 256, 128)
    convergence: bool = False

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return resolution_mistakes(self.n_fft, self.hop)

    def make(self, sample_rate: int) -> Loss:
        """Create :func:`multi_resolution_magnitude`."""
        resolutions = [*zip(self.n_fft, self.hop, strict=True)]
        return partial(
            multi_resolution_magnitude, resolutions=resolutions, convergence=self.convergence
        )


def multi_resolution_stft(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Compute the L1 distance of complex spectra, averaged over window lengths.

    Spectra are compared as complex numbers, not by their magnitudes, so that phase counts.
    By linearity their distance is the magnitude of the error's spectrum.
    """
    error = estimate - reference
    distances = [magnitudes(error, n_fft, n_fft // 4).mean() for n_fft in RESOLUTIONS]
    return torch.stack(distances).mean()


def magnitude_l1(estimate: Stems, reference: Stems, n_fft: int, hop: int) -> Float[Tensor, ""]:
    """Compute the mean absolute difference of magnitudes, ignoring phase."""
    return _l1(magnitudes(estimate, n_fft, hop), magnitudes(reference, n_fft, hop))


def magnitude_mse(estimate: Stems, reference: Stems, n_fft: int, hop: int) -> Float[Tensor, ""]:
    """Compute the mean squared difference of magnitudes, ignoring phase."""
    difference = magnitudes(estimate, n_fft, hop) - magnitudes(reference, n_fft, hop)
    return difference.square().mean()


def multi_resolution_magnitude(
    estimate: Stems,
    reference: Stems,
    resolutions: Sequence[tuple[int, int]],
    convergence: bool = False,
) -> Float[Tensor, ""]:
    """Compute L1 distances of magnitudes and of log magnitudes, averaged over resolutions.

    With ``convergence`` the terms are those of Yamamoto et al. 2020 (arXiv 1910.11480).
    Logarithms are natural, with magnitudes clamped to at least :data:`SMALLEST_MAGNITUDE`.

    Args:
        estimate: estimated waveforms.
        reference: true waveforms.
        resolutions: window length and hop of each, in samples.
        convergence: use :func:`spectral_convergence` instead of the L1 distance of magnitudes.
    """
    require_more_than(max(n_fft for n_fft, _ in resolutions) // 2, estimate)
    distance = spectral_convergence if convergence else _l1
    parts = []
    for n_fft, hop in resolutions:
        output, target = magnitudes(estimate, n_fft, hop), magnitudes(reference, n_fft, hop)
        logarithms = _l1(
            output.clamp_min(SMALLEST_MAGNITUDE).log(), target.clamp_min(SMALLEST_MAGNITUDE).log()
        )
        parts.append(distance(output, target) + logarithms)
    return torch.stack(parts).mean()


def spectral_convergence(
    output: Float[Tensor, "*batch freq frame"], target: Float[Tensor, "*batch freq frame"]
) -> Float[Tensor, ""]:
    """Compute the norm of the difference over the norm of the reference, over the whole batch.

    Norms are taken over the batch, so that a silent reference among others has no unbounded weight;
    a silent batch counts as noise at :data:`~trainers.losses.waveform.NOISE_FLOOR`.
    """
    scale = (target.square().sum() + NOISE_FLOOR * target.numel()).sqrt()
    return torch.linalg.vector_norm(output - target) / scale


def magnitudes(
    wave: Float[Tensor, "*batch time"], n_fft: int, hop: int
) -> Float[Tensor, "*batch freq frame"]:
    """Compute the magnitudes of the spectrum, scaled by the square root of the window's energy."""
    hann_energy = 3 / 8 * n_fft
    return spectrum(wave, n_fft, hop).abs() / hann_energy**0.5


def spectrum(
    wave: Float[Tensor, "*batch time"], n_fft: int, hop: int
) -> Complex[Tensor, "*batch freq frame"]:
    """Compute the spectrum with a Hann window.

    Raises:
        TooShortError: the waveform is not longer than half of the window.
    """
    require_more_than(n_fft // 2, wave)
    window = torch.hann_window(n_fft, device=wave.device, dtype=wave.dtype)
    return stft(wave, window, hop)


def resolution_mistakes(n_fft: Sequence[int], hop: Sequence[int]) -> list[str]:
    """Report invalid window lengths and hops, in one sentence each."""
    return broken(
        {
            "n_fft must have at least one window": not n_fft,
            f"hop must have as many values as n_fft, found {len(hop)} and {len(n_fft)}": (
                len(n_fft) != len(hop)
            ),
            "n_fft must be 4 or more": any(window < 4 for window in n_fft),
            "hop must be 1 or more": any(step < 1 for step in hop),
            "hop must not be longer than its window of n_fft": any(
                step > window >= 4 for window, step in zip(n_fft, hop, strict=False)
            ),
        }
    )


def _l1(output: Tensor, target: Tensor) -> Float[Tensor, ""]:
    return (output - target).abs().mean()


Scale = Literal["htk", "slaney"]
Norm = Literal["none", "slaney"]


@dataclass(frozen=True)
class MultiMel(LossOptions):
    """Options of the mel loss; the defaults are MSRKit's.

    Attributes:
        n_fft: lengths of the Hann windows in samples.
        hop: hop of each, in samples.
        n_mels: number of mel filters of each.
        clip: smallest mel magnitude that logarithms resolve.
        mel_scale: ``htk``, or ``slaney`` as in librosa.
        norm: ``none`` for filters with a height of 1; ``slaney`` for an area of 1 over Hz.
    """

    n_fft: tuple[int, ...] = (1024, 2048, 512)
    hop: tuple[int, ...] = (256, 512, 128)
    n_mels: tuple[int, ...] = (80, 160, 40)
    clip: float = 1e-7
    mel_scale: Scale = "htk"
    norm: Norm = "none"

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return resolution_mistakes(self.n_fft, self.hop) + broken(
            {
                f"n_mels must have as many values as n_fft, found {len(self.n_mels)} and "
                f"{len(self.n_fft)}": len(self.n_mels) != len(self.n_fft),
                "n_mels must be 1 or more": any(mels < 1 for mels in self.n_mels),
                "clip must be above 0": not self.clip > 0,
            }
        )

    def make(self, sample_rate: int) -> Loss:
        """Create :class:`MultiMelDistance`."""
        views = [
            MelView(n_fft, hop, mel_filters(n_fft, n_mels, sample_rate, self.mel_scale, self.norm))
            for n_fft, hop, n_mels in zip(self.n_fft, self.hop, self.n_mels, strict=True)
        ]
        return MultiMelDistance(views, self.clip)


class MultiMelDistance(nn.Module):
    """L1 distance of log mel magnitudes, averaged over resolutions.

    As in MSRKit and, with other parameters, in DAC (Kumar et al. 2023, arXiv 2306.06546).
    Logarithms are natural, with magnitudes clamped to at least ``clip``; spectra are not scaled.

    Args:
        views: mel spectrogram of each resolution.
        clip: smallest magnitude.
    """

    def __init__(self, views: Sequence[MelView], clip: float) -> None:
        super().__init__()
        self.views, self.clip = nn.ModuleList(views), clip
        self.half_window = max(view.n_fft for view in views) // 2

    def forward(self, estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
        """Compute the distance.

        Raises:
            TooShortError: the waveforms are not longer than half of the longest window.
        """
        require_more_than(self.half_window, estimate)
        self.to(estimate.device)
        distances = []
        for view in self.views:
            output, target = (view(wave).clamp_min(self.clip) for wave in (estimate, reference))
            distances.append((output.log() - target.log()).abs().mean())
        return torch.stack(distances).mean()


class MelView(nn.Module):
    """Mel spectrogram of magnitudes.

    Args:
        n_fft: length of the Hann window in samples.
        hop: hop in samples.
        filters: see :func:`mel_filters`.
    """

    filters: Tensor

    def __init__(self, n_fft: int, hop: int, filters: Float[Tensor, "mel freq"]) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wave: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch mel frame"]:
        """Compute the weighted sums of magnitudes."""
        return self.filters @ spectrum(wave, self.n_fft, self.hop).abs()


def mel_filters(
    n_fft: int, n_mels: int, sample_rate: int, scale: Scale = "htk", norm: Norm = "none"
) -> Float[Tensor, "mel freq"]:
    """Build triangular filters from 0 Hz to half of the sample rate, equally wide on the mel scale.

    If bins are wider than triangles, some filters contain no bin and are always 0, so they count as
    equal, as in the original implementations; torchaudio's warning about them is suppressed.

    Raises:
        MissingExtraError: torchaudio is not installed.
    """
    from model_zoo.ops.torchaudio_functions import functional

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filterbank", UserWarning)
        filters: Tensor = functional.melscale_fbanks(
            n_fft // 2 + 1,
            0.0,
            float(sample_rate // 2),
            n_mels,
            sample_rate,
            None if norm == "none" else norm,
            scale,
        )
    return filters.T.contiguous()


Angles = Float[Tensor, "batch channel freq frame"]
Spectrum = Complex[Tensor, "batch channel freq frame"]
Weighting = Literal["magnitude", "none"]

LEAST_WEIGHT = 1e-8
"""Sum of magnitudes below which a clip counts as silent, without a phase."""


@dataclass(frozen=True)
class PhaseOptions(LossOptions):
    """Options of the phase losses.

    Attributes:
        weighting: ``magnitude`` weights each bin by its share of the clip's magnitudes; ``none``
            weights all bins equally.
    """

    weighting: Weighting = "magnitude"


class PhaseCosine(PhaseOptions):
    """Options of :func:`phase_cosine`."""

    def make(self, sample_rate: int) -> Loss:
        """Create the loss."""
        return partial(phase_cosine, weighting=self.weighting)


class PhaseL1(PhaseOptions):
    """Options of :func:`phase_l1`."""

    def make(self, sample_rate: int) -> Loss:
        """Create the loss."""
        return partial(phase_l1, weighting=self.weighting)


def phase_cosine(
    estimate: Angles, reference: Spectrum, weighting: Weighting = "magnitude"
) -> Float[Tensor, ""]:
    """Compute 1 - cos of the difference: from 0 for the right angle to 2 for the opposite one.

    It is half the squared distance of the two points on the unit circle, so that angles just below
    pi and just above -pi are close.
    """
    away = torch.pi * estimate - reference.angle()
    return _mean(1 - away.cos(), reference, weighting)


def phase_l1(
    estimate: Angles, reference: Spectrum, weighting: Weighting = "magnitude"
) -> Float[Tensor, ""]:
    """Compute the absolute difference of angles over pi, without wrap-around: from 0 to 2."""
    return _mean((estimate - reference.angle() / torch.pi).abs(), reference, weighting)


def _mean(away: Angles, reference: Spectrum, weighting: Weighting) -> Float[Tensor, ""]:
    """Average over clips the weighted means over bins; silent clips give 0."""
    if weighting == "none":
        return away.mean()
    weight = reference.abs()
    total = weight.sum((1, 2, 3)).clamp_min(LEAST_WEIGHT)
    return ((weight * away).sum((1, 2, 3)) / total).mean()
