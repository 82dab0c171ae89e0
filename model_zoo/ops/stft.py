"""Short-time Fourier transform and its inverse, as every network here uses them.

Periodic Hann window, frames centred on multiples of the hop, the ends reflected:
``frames = 1 + time // hop``. The inverse divides by the summed squared window (Griffin and Lim
1984, https://doi.org/10.1109/TASSP.1984.1164317), so that it undoes the transform exactly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Inexact
from torch import Tensor


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
