"""STFT and inverse STFT, masks on complex spectra, and a downward expander.

Periodic Hann window, frames centred on multiples of the hop, the ends reflected:
``frames = 1 + time // hop``. The inverse divides by the summed squared window (Griffin and Lim
1984, https://doi.org/10.1109/TASSP.1984.1164317), so that it undoes the transform exactly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from model_zoo.axes import Stems, Wave

FAINTEST = 1e-20
"""Mean square below which a mixture is silence; the quietest sound of 24 bits has 1e-14."""

SHARPNESS = 2
"""Exponent of the curve: each dB that a stem lies further below the threshold costs 4 more."""


def expand(stems: Stems, mixture: Wave, threshold_db: float) -> Stems:
    """Turn down each stem that holds little of the energy of the mixture.

    With ``r`` the energy of a stem over that of the mixture, and ``t`` the threshold, the stem is
    multiplied by ``1 / (1 + (t / r)^2)``: well above the threshold nothing changes, at it 6 dB are
    lost, and what a network takes for a faint voice in a song without one fades out. One gain holds
    for the whole length, so nothing is modulated within a segment, and for all channels that the
    network receives at once.

    Args:
        stems: estimates.
        mixture: what they were taken from.
        threshold_db: level of a stem against the mixture, below 0 and above -100.
    """
    threshold = 10 ** (threshold_db / 10)
    share = _energy(stems) / _energy(mixture).clamp_min(FAINTEST)[:, None]
    gain = 1 / (1 + (threshold / share) ** SHARPNESS)
    return stems * gain[..., None, None]


def _energy(wave: Float[Tensor, "*item channel time"]) -> Float[Tensor, "*item"]:
    return wave.square().mean((-2, -1))


SMALLEST_POWER = 1e-10
"""Keeps the ratio of silences defined (Spleeter's epsilon)."""


def elementwise(
    spectrum: Complex[Tensor, "*#batch freq frame"], mask: Float[Tensor, "*#batch freq frame 2"]
) -> Complex[Tensor, "*#batch freq frame"]:
    """Scale real and imaginary part each by its own number (not a complex product)."""
    return torch.view_as_complex((torch.view_as_real(spectrum) * mask).contiguous())


def complex_product(
    spectrum: Complex[Tensor, "*#batch freq frame"], mask: Float[Tensor, "*#batch freq frame 2"]
) -> Complex[Tensor, "*#batch freq frame"]:
    """Scale and turn the phase: the product with a complex number.

    Williamson, Wang and Wang 2016, Complex Ratio Masking for Monaural Speech Separation, IEEE/ACM
    Transactions on Audio, Speech, and Language Processing 24(3), 483.
    """
    return spectrum * torch.view_as_complex(mask.contiguous())


def gain(
    spectrum: Complex[Tensor, "*#batch freq frame"], mask: Float[Tensor, "*#batch freq frame 1"]
) -> Complex[Tensor, "*#batch freq frame"]:
    """Scale and keep the phase of the mixture.

    Real numbers times real ones: beside a complex number, a real one would become complex first.
    """
    return torch.view_as_complex(torch.view_as_real(spectrum) * mask)


def power_ratio(
    estimates: Float[Tensor, "batch stem *plane"], exponent: float
) -> Float[Tensor, "batch stem *plane"]:
    """Masks in the ratio of the stems' estimated magnitudes, each to the power of ``exponent``.

    They add up to 1; where all estimates are 0, every stem gets the same share. With an exponent of
    2 this is the Wiener filter of independent sources (Liutkus and Badeau 2015, Generalized Wiener
    filtering with fractional power spectrograms, ICASSP, eq. 5).
    """
    powers = estimates**exponent
    share = SMALLEST_POWER / estimates.shape[1]
    return (powers + share) / (powers.sum(1, keepdim=True) + SMALLEST_POWER)


def stft(
    wave: Float[Tensor, "*batch time"], window: Float[Tensor, " n_fft"], hop: int
) -> Complex[Tensor, "*batch freq frame"]:
    """Spectrum of ``wave``; ``freq = n_fft // 2 + 1``, DC first.

    The waveform must be longer than half a window, because its ends are reflected.
    """
    flat = wave.reshape(-1, wave.shape[-1])
    spectrum = torch.stft(
        flat, window.numel(), hop, window=window, center=True, return_complex=True
    )
    return spectrum.reshape(*wave.shape[:-1], *spectrum.shape[-2:])


def reflected(wave: Wave, edges: tuple[int, int]) -> Float[Tensor, "batch channel padded_time"]:
    """Put reflections of a waveform before and after it.

    One that is too short for that is made longer first, by zeros after it, then before it.

    Args:
        wave: a waveform of one sample or more.
        edges: samples before and after it; the first number is not above the second.
    """
    left, right = edges
    zeros = max(0, right + 1 - wave.shape[-1])
    after = min(right, zeros)
    before = zeros - after
    longer = F.pad(wave, (before, after))
    return F.pad(longer, (left - before, right - after), "reflect")


def istft(
    spectrum: Complex[Tensor, "*batch freq frame"],
    window: Float[Tensor, " n_fft"],
    hop: int,
    length: int,
) -> Float[Tensor, "*batch time"]:
    """Waveform of exactly ``length`` samples whose spectrum is nearest to ``spectrum``."""
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    wave = torch.istft(flat, window.numel(), hop, window=window, center=True, length=length)
    return wave.reshape(*spectrum.shape[:-2], length)


def with_nyquist(
    bins: Inexact[Tensor, "*batch freq frame"],
) -> Inexact[Tensor, "*batch freq_and_nyquist frame"]:
    """Put 0 where the highest bin was, for networks that do not see it."""
    return F.pad(bins, (0, 0, 0, 1))
