"""Multichannel Wiener filter for stems whose spectra are estimated, by expectation maximization.

Each stem is modelled as Gaussian in every bin, with a power ``v`` for each frame and a spatial
covariance ``R`` for all frames of a window. One iteration takes both from the current estimates
``y`` of the stems, and filters the mixture ``x`` anew::

    v_j = mean of |y_j|² over the channels
    R_j = sum of y_j y_jᴴ over the frames / (ε + sum of v_j over the frames)
    y_j = v_j R_j (Σ_k v_k R_k + √ε I)⁻¹ x

Nugraha, Liutkus and Vincent 2016, "Multichannel music separation with deep neural networks",
EUSIPCO; Uhlich et al. 2017, "Improving music source separation based on deep neural networks
through data augmentation and network blending", ICASSP. The constants are those of Open-Unmix.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor

Mixtures = Complex[Tensor, "batch channel freq frame"]
Estimates = Complex[Tensor, "batch stem channel freq frame"]
MixtureWindows = Complex[Tensor, "window freq channel frame"]
EstimateWindows = Complex[Tensor, "window freq stem channel frame"]
Powers = Float[Tensor, "window freq stem frame"]
Covariances = Complex[Tensor, "window freq stem channel channel"]

SMALLEST_POWER = 1e-10
"""Keeps ratios defined where all estimates are silent (Open-Unmix's epsilon)."""

FLOOR = SMALLEST_POWER**0.5
"""Power of the white noise in the model of the mixture, which keeps its inverse defined."""

LOUDEST = 10.0
"""Magnitude that louder windows are scaled down to, so that the noise counts as much in them."""

ROUNDING = 16.0
"""Smallest ratio of the floor to the rounding error of the modelled power; matters in float32."""


def soft_masks(
    magnitudes: Float[Tensor, "batch stem channel freq frame"],
) -> Float[Tensor, "batch stem channel freq frame"]:
    """Masks in the ratio of the stems' magnitudes; 0 where all are silent."""
    return magnitudes / (SMALLEST_POWER + magnitudes.sum(1, keepdim=True))


def wiener_filter(
    estimates: Estimates, mixture: Mixtures, iterations: int, window: int | None = None
) -> Estimates:
    """Refine estimates of all stems so that together they explain all channels of the mixture.

    Computed in float64: where one sound is panned, the covariance has nearly rank one, and rounding
    to float32 would leave errors of some percent or no number at all.

    Args:
        estimates: first estimates of two stems or more, of one or two channels.
        mixture: spectrogram of the sum of all stems.
        iterations: of expectation maximization; 0 returns the estimates.
        window: frames over which a stem's direction is taken to be constant; None for all.
    """
    if iterations == 0:
        return estimates
    frames = mixture.shape[-1]
    length = min(window or frames, frames)
    x = rearrange(_filled(mixture, length), "b c f (n t) -> (b n) f c t", t=length)
    y = rearrange(_filled(estimates, length), "b s c f (n t) -> (b n) f s c t", t=length)
    scale = (x.abs().amax((1, 2, 3), keepdim=True) / LOUDEST).clamp_min(1)
    x, y = _precise(x / scale), _precise(y / scale.unsqueeze(-1))
    for _ in range(iterations):
        y = _iteration(y, x)
    y = y.to(estimates.dtype) * scale.unsqueeze(-1)
    return rearrange(y, "(b n) f s c t -> b s c f (n t)", b=mixture.shape[0])[..., :frames]


def _filled(
    spectrum: Complex[Tensor, "*item frame"], length: int
) -> Complex[Tensor, "*item whole_frame"]:
    """Silent frames at the end, which change no sum, up to a multiple of ``length``."""
    return F.pad(spectrum, (0, -spectrum.shape[-1] % length))


def _precise(spectrum: Complex[Tensor, "*item"]) -> Complex[Tensor, "*item"]:
    """The same in double precision, which Apple's GPUs do not have."""
    return spectrum if spectrum.device.type == "mps" else spectrum.to(torch.complex128)


def _iteration(estimates: EstimateWindows, mixture: MixtureWindows) -> EstimateWindows:
    """One step of expectation maximization."""
    power = torch.view_as_real(estimates).square().sum(-1).mean(-2)
    total = SMALLEST_POWER + power.sum(-1)
    covariances = estimates @ estimates.mH / total[..., None, None]
    whitened = _whitened(mixture, power, covariances)
    stems = covariances.flatten(2, 3) @ whitened
    return power.unsqueeze(-2) * torch.unflatten(stems, 2, covariances.shape[2:4])


def _whitened(mixture: MixtureWindows, power: Powers, covariances: Covariances) -> MixtureWindows:
    """The mixture, multiplied by the inverse of its modelled covariance.

    The inverse of a matrix ``[[a, b], [b*, d]]`` is ``[[d, -b], [-b*, a]] / (a d - |b|²)``. In
    float32 the floor is raised so that rounding cannot bring the denominator to 0.
    """
    left = covariances[..., 0, 0].real
    if mixture.shape[-2] == 1:
        return mixture / (left.unsqueeze(-2) @ power + FLOOR)
    right, cross = covariances[..., 1, 1].real, covariances[..., 0, 1]
    parts = torch.stack([left, right, cross.real, cross.imag], dim=-2) @ power
    a, d, real, imag = parts.unbind(-2)
    floor = (ROUNDING * torch.finfo(power.dtype).eps * (a + d)).clamp_min(FLOOR)
    a, d, b = a + floor, d + floor, torch.complex(real, imag)
    x, y = mixture.unbind(-2)
    adjugate = torch.stack([d * x - b * y, a * y - b.conj() * x], dim=-2)
    return adjugate / (a * d - real.square() - imag.square()).unsqueeze(-2)
