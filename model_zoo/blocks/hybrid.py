"""Parts of hybrid networks: U-Nets over a spectrogram and over its waveform at once.

Défossez 2021, Hybrid Spectrogram and Waveform Source Separation (arXiv 2111.03600). Both U-Nets
have a stride of 4 per level, one along frequency, the other along time, and spectrograms have a
hop of a quarter window without an extra frame. So a level of the U-Net over time that has been
reached by a total stride of one hop has as many steps as the spectrogram has frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.blocks.dconv import DConv
from model_zoo.blocks.spectral import Fourier
from model_zoo.ops.spectra import istft, reflected
from model_zoo.ops.tensors import full_precision

Steps = Float[Tensor, "batch feature frame"]
Planes = Float[Tensor, "batch plane freq frame"]
"""Spectrograms as real numbers: of each channel the real part, then the imaginary one."""
Features = Float[Tensor, "batch feature *plane"]
"""Features over time, or over frequency and time."""
LevelFeatures = Float[Tensor, "batch level_feature *level_plane"]

KERNEL, STRIDE = 8, 4
"""Samples or bins that the convolution between two levels covers, and its step."""

NORM_GROUPS = 4

EDGE_FRAMES = 2
"""Frames on each side of a spectrogram, centred outside of the waveform, that networks lack."""

BLOCK = 2**20
"""Features that the residual branches of a network that is not trained see at once."""

TINY = 1e-5
"""Added to deviations, so that silence can be divided by its own."""


class HybridFourier(Fourier):
    """STFT with a hop of a quarter window, as many frames as hops, and no Nyquist bin.

    Frame ``i`` begins 3/2 hops before the ``i``-th hop of the waveform, which is reflected there.
    Spectra are divided by the square root of the window length.

    Args:
        n_fft: window length in samples.
        hybrid_old: networks of the Music Demixing Challenge of 2021 were trained with zeros instead
            of reflections, and with an inverse transform whose waveforms come 3/2 hops late, which
            the network makes up for.
    """

    def __init__(self, n_fft: int, *, hybrid_old: bool = False) -> None:
        super().__init__(n_fft, n_fft // 4, persistent=False)
        self.edge = self.hop_length // 2 * 3
        self.hybrid_old = hybrid_old

    def conventions(self) -> dict[str, int | str | bool]:
        """What another program needs to compute the same transform."""
        beyond = "zeros" if self.hybrid_old else "reflected"
        return {
            **super().conventions(),
            "frames": f"as many as hops; frame i begins {self.edge} samples before hop i, where the"
            f" ends of the mixture are {beyond}",
            "scale": "divided by the square root of the window size",
        }

    def analyze(self, wave: Wave) -> Complex[Tensor, "batch channel freq frame"]:
        """Spectrogram of waveforms, of which the beginning and the end are reflected."""
        n_fft, hop = self.window.numel(), self.hop_length
        left, right = self.edge, self.edge + -wave.shape[-1] % hop
        pad = F.pad if self.hybrid_old else reflected
        padded = pad(wave, (left, right))
        spectrum = torch.stft(
            padded.flatten(0, 1),
            *(n_fft, hop),
            window=self.window,
            center=False,
            normalized=True,
            return_complex=True,
        )
        return rearrange(spectrum[:, :-1], "(b c) f t -> b c f t", b=wave.shape[0])

    def synthesize(
        self, spectra: Complex[Tensor, "batch stem channel freq frame"], length: int
    ) -> Stems:
        """Waveforms of ``length`` samples; bins and frames that networks lack are 0.

        One stem after the other, which takes less memory.
        """
        return torch.stack([self._synthesize(stem, length) for stem in spectra.unbind(1)], 1)

    def _synthesize(
        self, spectrum: Complex[Tensor, "batch channel freq frame"], length: int
    ) -> Wave:
        n_fft, hop = self.window.numel(), self.hop_length
        padded = F.pad(spectrum, (EDGE_FRAMES, EDGE_FRAMES, 0, 1))
        whole = spectrum.shape[-1] * hop
        start = 0 if self.hybrid_old else self.edge
        waves = istft(padded, self.window, hop, whole + 2 * start)
        return waves[..., start : start + length] * n_fft**0.5


def to_stems(
    channels: Float[Tensor, "batch plane *rest"], stems: int
) -> Float[Tensor, "batch stem channel *rest"]:
    """The channels of each stem on an axis of their own."""
    return rearrange(channels, "b (s c) ... -> b s c ...", s=stems)


def to_planes(spectrum: Complex[Tensor, "batch channel freq frame"]) -> Planes:
    """Real and imaginary parts as channels."""
    return rearrange(torch.view_as_real(spectrum), "b c f t part -> b (c part) f t")


def to_spectra(planes: Planes, stems: int) -> Complex[Tensor, "batch stem channel freq frame"]:
    """Spectrograms of all stems from their real and imaginary parts."""
    parts = rearrange(planes, "b (s c part) f t -> b s c f t part", s=stems, part=2)
    return torch.view_as_complex(parts.contiguous())


class Standardized(NamedTuple):
    """Items with mean 0 and deviation 1, and what they had before."""

    values: Float[Tensor, "batch ..."]
    mean: Float[Tensor, "batch ..."]
    deviation: Float[Tensor, "batch ..."]

    def restore(self, values: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Give an output the mean and deviation that the input had."""
        return torch.addcmul(self.mean, values, self.deviation)


def standardize(x: Float[Tensor, "batch ..."]) -> Standardized:
    """Subtract the mean of each item and divide by its deviation."""
    axes = [*range(1, x.ndim)]
    with full_precision(x):
        deviation, mean = torch.std_mean(x.float(), axes, keepdim=True)
        return Standardized((x - mean) / (TINY + deviation), mean, deviation)


@dataclass(frozen=True)
class LevelOptions:
    """Options of a level of a U-Net, in the encoder and in the decoder.

    Attributes:
        axis: what the convolutions between levels step along.
        kernel: bins or samples that they cover.
        stride: their step.
        padding: bins or samples beyond each end that they see as 0.
        has_norm: normalize the output of each convolution, over groups of features.
        dconv: arguments of :class:`~model_zoo.blocks.dconv.DConv` beside the number of features;
            empty if there are no residual branches.
        sees_neighbours: whether the decoder's first convolution covers 3 bins, not 1, of 3 frames.
    """

    axis: Literal["freq", "time"]
    kernel: int = KERNEL
    stride: int = STRIDE
    padding: int = KERNEL // 4
    has_norm: bool = False
    dconv: Mapping[str, Any] = field(default_factory=dict)
    sees_neighbours: bool = True

    def convolution(self, width: int, out: int) -> nn.Conv1d | nn.Conv2d:
        """Convolution from one level of the encoder to the next."""
        if self.axis == "time":
            return nn.Conv1d(width, out, self.kernel, self.stride, self.padding)
        return nn.Conv2d(width, out, (self.kernel, 1), (self.stride, 1), (self.padding, 0))

    def transposed(self, width: int, out: int) -> nn.ConvTranspose1d | nn.ConvTranspose2d:
        """Transposed convolution from one level of the decoder to the next, without padding."""
        if self.axis == "time":
            return nn.ConvTranspose1d(width, out, self.kernel, self.stride)
        return nn.ConvTranspose2d(width, out, (self.kernel, 1), (self.stride, 1))

    def gated(self, width: int, frames: int) -> nn.Conv1d | nn.Conv2d:
        """Convolution over adjacent frames whose output is the input of a gated linear unit."""
        if self.axis == "time":
            return nn.Conv1d(width, 2 * width, frames, padding=frames // 2)
        bins = frames if self.sees_neighbours else 1
        return nn.Conv2d(width, 2 * width, (bins, frames), padding=(bins // 2, frames // 2))

    def norm(self, width: int) -> nn.Module:
        """Normalization, or nothing."""
        return nn.GroupNorm(NORM_GROUPS, width) if self.has_norm else nn.Identity()

    def branches(self, width: int) -> nn.Module:
        """Residual branches, or nothing."""
        return DConv(width, **self.dconv) if self.dconv else nn.Identity()


class EncoderLevel(nn.Module):
    """Strided convolution, residual branches over time and a gated linear unit.

    Args:
        width: input features.
        out: output features.
        options: of the level.
    """

    def __init__(self, width: int, out: int, options: LevelOptions) -> None:
        super().__init__()
        self.options = options
        self.conv = options.convolution(width, out)
        self.norm1 = options.norm(out)
        self.rewrite = options.gated(out, 1)
        self.norm2 = options.norm(2 * out)
        self.dconv = options.branches(out)

    def forward(self, x: Features, other: LevelFeatures | None = None) -> LevelFeatures:
        """Features of the level below.

        Args:
            x: features of the level above; along time, zeros make up a multiple of the stride.
            other: output of the convolution of another branch, added to that of this one.
        """
        if self.options.axis == "time":
            x = F.pad(x, (0, -x.shape[-1] % self.options.stride))
        below = self.conv(x)
        below = below if other is None else below + other
        mixed = along_time(self.dconv, F.gelu(self.norm1(below)))
        return F.glu(self.norm2(self.rewrite(mixed)), dim=1)


class DecoderLevel(nn.Module):
    """Gated linear unit, residual branches over time and a transposed convolution.

    Args:
        width: input features.
        out: output features.
        options: of the level.
        is_last: leave out the activation, because the output is that of the network.
    """

    def __init__(self, width: int, out: int, options: LevelOptions, *, is_last: bool) -> None:
        super().__init__()
        self.options, self.is_last = options, is_last
        self.conv_tr = options.transposed(width, out)
        self.norm2 = options.norm(out)
        self.rewrite = options.gated(width, 3)
        self.norm1 = options.norm(2 * width)
        self.dconv = options.branches(width)

    def forward(
        self, x: LevelFeatures, length: int | None = None
    ) -> tuple[Features, LevelFeatures]:
        """Features of the level above, and what they are computed from.

        Args:
            x: features of the level below, with those of the skip connection added.
            length: samples of the level above; none if ``axis`` is frequency.
        """
        mixed = self._mixed(F.glu(self.norm1(self.rewrite(x)), dim=1))
        above = self.norm2(self.conv_tr(mixed))
        cropped = cropped_edges(above, self.options, length)
        return cropped if self.is_last else F.gelu(cropped), mixed

    def _mixed(self, x: LevelFeatures) -> LevelFeatures:
        """Run the residual branches.

        Those next to the output are not run in bfloat16: in ``htdemucs``, they alone made as much
        noise as all other layers together, and three times as much in quiet stems.
        """
        if not self.is_last:
            return along_time(self.dconv, x)
        with full_precision(x):
            return along_time(self.dconv, x.to(self.conv_tr.weight.dtype))


class BranchEnd(nn.Module):
    """Lowest level of the encoder over time: the convolution, whose output the other one adds.

    Args:
        width: input features.
        out: output features.
        options: of the level.
    """

    def __init__(self, width: int, out: int, options: LevelOptions) -> None:
        super().__init__()
        self.conv = options.convolution(width, out)

    def forward(self, x: Steps) -> Float[Tensor, "batch feature_out 1 frame_below"]:
        """Features like those of a spectrogram with one bin."""
        return self.conv(F.pad(x, (0, -x.shape[-1] % STRIDE))).unsqueeze(2)


class BranchStart(nn.Module):
    """Lowest level of the decoder over time: the transposed convolution.

    Args:
        width: input features.
        out: output features.
        options: of the level.
    """

    def __init__(self, width: int, out: int, options: LevelOptions) -> None:
        super().__init__()
        self.options = options
        self.conv_tr = options.transposed(width, out)
        self.norm2 = options.norm(out)

    def forward(
        self, x: Float[Tensor, "batch feature 1 frame"], length: int
    ) -> Float[Tensor, "batch feature_out length"]:
        """Features of the level above, which has ``length`` steps."""
        above = self.norm2(self.conv_tr(x.squeeze(2)))
        return F.gelu(cropped_edges(above, self.options, length))


def cropped_edges(x: Features, options: LevelOptions, length: int | None) -> LevelFeatures:
    """The output of a transposed convolution without what padding added to its input's level."""
    start = options.padding
    if options.axis == "time":
        return x[..., start : start + x.shape[-1] if length is None else start + length]
    return x[..., start : x.shape[-2] - start, :]


def along_time(branches: nn.Module, x: Features) -> Features:
    """Run residual branches over time, for each bin on its own."""
    if x.ndim == 3 or isinstance(branches, nn.Identity):
        return branches(x)
    if torch.is_grad_enabled():
        return over_bins(branches, x)
    bins = max(1, BLOCK // x[:, :, 0].numel())
    below = torch.empty_like(x)
    for start in range(0, x.shape[-2], bins):
        block = slice(start, start + bins)
        below[:, :, block] = over_bins(branches, x[:, :, block])
    return below


def over_bins(
    branches: nn.Module, x: Float[Tensor, "batch feature freq frame"]
) -> Float[Tensor, "batch feature freq frame"]:
    """Run residual branches over the frames of each bin, all bins at once."""
    rows = branches(rearrange(x, "b c f t -> (b f) c t"))
    return rearrange(rows, "(b f) c t -> b c f t", f=x.shape[-2])


class FrequencyEmbedding(nn.Module):
    """Adds to the features of each bin a vector that is learned for the bin.

    Isik et al. 2020, PoCoNet (arXiv 2008.04470). Weights are stored divided by
    :attr:`SCALE`, which makes their learning rate larger by it, and start as a random walk over the
    bins, so that adjacent bins have similar vectors.

    Args:
        bins: number of bins.
        features: number of features.
        weight: factor of the vectors.
    """

    SCALE = 10

    def __init__(self, bins: int, features: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.embedding = nn.Embedding(bins, features)
        with torch.no_grad():
            steps = torch.arange(1, bins + 1, device=self.embedding.weight.device)
            walk = self.embedding.weight.cumsum(0) / steps.sqrt()[:, None]
            self.embedding.weight.copy_(walk / self.SCALE)

    def forward(
        self, x: Float[Tensor, "batch feature freq frame"]
    ) -> Float[Tensor, "batch feature freq frame"]:
        """The features with those of their bins."""
        return x + self.weight * self.SCALE * self.embedding.weight.T[:, :, None]


RESCALE_TO = 0.1
"""Deviation that the initial weights of convolutions are brought closer to."""


def rescale(module: nn.Module) -> None:
    """Divide initial weights and biases of all convolutions by the root of their deviation / 0.1.

    Défossez et al. 2019, Music Source Separation in the Waveform Domain (arXiv 1911.13254).
    """
    kinds = (nn.Conv1d, nn.ConvTranspose1d, nn.Conv2d, nn.ConvTranspose2d)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, kinds):
                scale = (part.weight.std() / RESCALE_TO).sqrt()
                part.weight.div_(scale)
                if part.bias is not None:
                    part.bias.div_(scale)
