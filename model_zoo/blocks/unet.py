"""Parts of the U-Nets over magnitude spectrograms: encoder levels, bottlenecks, decoder levels.

::

    input ─▶ down ─▶ down ─▶ ... ─▶ bottom ─▶ ... ─▶ up ─▶ up ─▶ mask
               │       └────────── skip ─────────────┘      │
               └────────────────── skip ────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.auxiliary import HasAuxiliaryLoss
from model_zoo.config import broken

Plane = Float[Tensor, "batch feature freq frame"]
PlaneIn = Float[Tensor, "batch feature_in freq frame"]
PlaneBelow = Float[Tensor, "batch feature_below freq_below frame_below"]
Tokens = Float[Tensor, "batch token feature"]
Memories = Float[Tensor, "batch token feature_out"]

KERNEL = 5
"""Height and width of the transposed convolutions."""

LOG_SIGMA = (-10.0, 10.0)
"""Range of the logarithm of a standard deviation, so that neither it nor its square overflows."""

TOKENS = {0: "b c f t -> b t (c f)", 1: "b c f t -> b f (c t)"}
PLANES = {0: "b t (c f) -> b c f t", 1: "b f (c t) -> b c f t"}
"""Patterns by the axis that becomes part of the features: 0 frequency, 1 time."""


@dataclass(frozen=True)
class UNetLevel:
    """Size of the planes of one level.

    Attributes:
        channels: features.
        bins: bins along frequency.
        frames: frames along time.
    """

    channels: int
    bins: int
    frames: int

    @property
    def below(self) -> UNetLevel:
        """Next lower level: half the bins and frames, twice the features."""
        return UNetLevel(2 * self.channels, self.bins // 2, self.frames // 2)


@dataclass(frozen=True)
class LayerOptions:
    """Options of the layers of all levels.

    Attributes:
        leak_factor: slope of leaky ReLUs below zero; 0 selects SELU.
        dropout_p: dropout probability in training.
    """

    leak_factor: float
    dropout_p: float


class ConvBlock(nn.Sequential):
    """Convolution, activation and, if ``normed``, batch normalization.

    Weights are initialized for rectifiers as in He et al. 2015 (arXiv 1502.01852), for SELU with a
    gain of 1 as in Klambauer et al. 2017 (arXiv 1706.02515).
    """

    def __init__(self, width: int, out: int, leak_factor: float, *, normed: bool = False) -> None:
        convolution = nn.Conv2d(width, out, 3, padding="same", bias=not normed)
        activation = nn.LeakyReLU(leak_factor) if leak_factor > 0 else nn.SELU()
        kind: Literal["leaky_relu", "linear"] = "leaky_relu" if leak_factor > 0 else "linear"
        nn.init.kaiming_normal_(convolution.weight, a=leak_factor, nonlinearity=kind)
        super().__init__(convolution, activation, *([nn.BatchNorm2d(out)] if normed else []))


class ConvBlockTriple(nn.Sequential):
    """Three convolutions, the last of them normalized."""

    def __init__(self, width: int, out: int, leak_factor: float) -> None:
        super().__init__(
            ConvBlock(width, out, leak_factor),
            ConvBlock(out, out, leak_factor),
            ConvBlock(out, out, leak_factor, normed=True),
        )


class DownBlock(nn.Module):
    """Encoder level: convolutions for the skip connection, then max pooling for the next level."""

    def __init__(self, width: int, level: UNetLevel, options: LayerOptions) -> None:
        super().__init__()
        self.convolutions = ConvBlockTriple(width, level.channels, options.leak_factor)

    def forward(self, x: PlaneIn) -> tuple[Plane, PlaneBelow]:
        """Plane of this level, and the one for the level below."""
        skip = self.convolutions(x)
        return skip, F.max_pool2d(skip, 2)


class UpBlock(nn.Module):
    """Decoder level: upsampling, concatenation with the skip connection, convolutions."""

    def __init__(self, level: UNetLevel, dropout_p: float) -> None:
        super().__init__()
        below = level.below
        padding = (_padding(below.bins, level.bins), _padding(below.frames, level.frames))
        self.grow = nn.ConvTranspose2d(below.channels, level.channels, KERNEL, 2, padding)
        self.norm = nn.BatchNorm2d(level.channels)
        self.convolutions = ConvBlockTriple(2 * level.channels, level.channels, leak_factor=0)
        self.dropout = nn.Dropout2d(dropout_p)

    def forward(self, x: PlaneBelow, skip: Plane) -> Plane:
        """Plane of this level."""
        up = self.norm(self.grow(x, output_size=skip.shape))
        return self.dropout(self.convolutions(torch.cat([up, skip], dim=1)))


def _padding(small: int, large: int) -> int:
    """Padding of a transposed convolution from ``small`` to about ``large``."""
    return -((large - KERNEL - 2 * (small - 1)) // 2)


class ConvBottom(nn.Module):
    """Bottleneck of convolutions, as on every level."""

    def __init__(self, level: UNetLevel, options: LayerOptions) -> None:
        super().__init__()
        self.convolutions = ConvBlockTriple(
            level.channels // 2, level.channels, options.leak_factor
        )

    def forward(self, x: PlaneIn) -> Plane:
        """Plane with twice as many features."""
        return self.convolutions(x)


class RecurrentBottom(nn.Module):
    """Bottleneck of stacked bidirectional LSTMs along one axis, then two linear layers.

    Args:
        level: lowest level.
        options: of all levels.
        recurrent_depth: number of stacked LSTMs.
        hidden_size: width of each direction; that of the level is its upper limit.
        input_axis: 0 for LSTMs over frames whose features are the bins, 1 for LSTMs over bins whose
            features are the frames.
    """

    def __init__(
        self,
        level: UNetLevel,
        options: LayerOptions,
        recurrent_depth: int,
        hidden_size: int,
        input_axis: int,
    ) -> None:
        super().__init__()
        self.input_axis, self.axis_length = input_axis, (level.bins, level.frames)[input_axis]
        self.features = level.channels // 2 * self.axis_length
        hidden = min(hidden_size, level.channels)
        self.lstm = nn.LSTM(
            self.features,
            hidden,
            recurrent_depth,
            batch_first=True,
            dropout=options.dropout_p if recurrent_depth > 1 else 0.0,
            bidirectional=True,
        )
        self.linear = nn.Sequential(
            nn.Linear(2 * hidden, hidden),
            nn.SELU(),
            nn.Linear(hidden, 2 * self.features),
            nn.SELU(),
        )

    def forward(self, x: PlaneIn) -> Plane:
        """Plane with twice as many features."""
        read = self.linear(self.read(rearrange(x, TOKENS[self.input_axis])))
        axis = {"ft"[self.input_axis]: self.axis_length}
        return rearrange(read, PLANES[self.input_axis], **axis)

    def read(self, tokens: Tokens) -> Memories:
        """Outputs of the LSTMs for every token, both directions concatenated."""
        return self.lstm(tokens)[0]


class VariationalBottom(RecurrentBottom):
    """Bottleneck of LSTMs over a latent variable, as in a variational autoencoder.

    Takes the arguments of :class:`RecurrentBottom`.
    """

    def __init__(
        self,
        level: UNetLevel,
        options: LayerOptions,
        recurrent_depth: int,
        hidden_size: int,
        input_axis: int,
    ) -> None:
        super().__init__(level, options, recurrent_depth, hidden_size, input_axis)
        self.latent = Latent(self.features)

    def read(self, tokens: Tokens) -> Memories:
        """Outputs of the LSTMs for the latent variable."""
        return super().read(self.latent(tokens))


class Latent(HasAuxiliaryLoss):
    """Normal distribution for every feature: sampled in training, its mean otherwise.

    Kingma and Welling 2014 (arXiv 1312.6114), with their reparametrization. The auxiliary loss is
    ``divergence``, see :func:`kl_divergence`.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mu = nn.Linear(features, features)
        self.log_sigma = nn.Linear(features, features)

    def forward(self, tokens: Tokens) -> Tokens:
        """Values of the latent variables."""
        mu = self.mu(tokens)
        if not self.training:
            return mu
        log_sigma = self.log_sigma(tokens).float().clamp(*LOG_SIGMA)
        self.losses = {"divergence": kl_divergence(mu.float(), log_sigma)}
        return mu + log_sigma.exp() * torch.randn_like(log_sigma)


def kl_divergence(
    mu: Float[Tensor, "*batch feature"], log_sigma: Float[Tensor, "*batch feature"]
) -> Float[Tensor, ""]:
    """Mean divergence of normal distributions from the standard one.

    ``mean((mu² + sigma² - log sigma² - 1) / 2)``: Kingma and Welling 2014 (arXiv 1312.6114),
    appendix B, as a mean over the features instead of a sum.
    """
    return 0.5 * (mu.square() + (2 * log_sigma).exp() - 2 * log_sigma - 1).mean()


class FrequencyNorm(nn.Module):
    """Shift and scale every bin by its own two values.

    Args:
        bins: number of bins.
        learned: learn the values from a random start; otherwise they stay 0 and 1.
    """

    def __init__(self, bins: int, *, learned: bool) -> None:
        super().__init__()
        center, scale = torch.zeros(bins), torch.ones(bins)
        if learned:
            center, scale = 0.1 * torch.rand(bins), 1 + 0.1 * torch.rand(bins)
        self.center = nn.Parameter(center, requires_grad=learned)
        self.scale = nn.Parameter(scale, requires_grad=learned)

    def forward(self, x: Plane) -> Plane:
        """Plane with every bin shifted and scaled."""
        return (x - self.center[:, None]) * self.scale[:, None]


def size_mistakes(bins: int, frames: int, levels: int) -> list[str]:
    """Explain why a spectrogram cannot be halved ``levels`` times; empty if it can.

    The smallest plane needs two points, otherwise batch normalization fails for a batch of one.
    """
    if min(bins, frames, levels) < 1:
        return []
    bottom = (bins >> levels, frames >> levels)
    if prod(bottom) > 1:
        return []
    depths = range(1, min(levels, bins.bit_length()))
    most = max((n for n in depths if (bins >> n) * (frames >> n) > 1), default=0)
    advice = f"take num_levels={most}" if most else "take more bins and frames"
    return [f"num_fft_bins={bins} x num_frames={frames} cannot be halved {levels} times: {advice}"]


def layer_option_mistakes(leak_factor: float, dropout_p: float) -> list[str]:
    """Mistakes in the options of the layers, one sentence each."""
    return broken(
        {
            "leak_factor must be 0 or more and below 1": not 0 <= leak_factor < 1,
            "dropout_p must be 0 or more and below 1": not 0 <= dropout_p < 1,
        }
    )
