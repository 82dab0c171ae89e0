"""Spleeter (Hennequin, Khlif, Voituret and Moussallam 2020, JOSS 5(50), 2154): a U-Net per stem.

::

    mixture ─ STFT ─ magnitudes ─┬─▶ U-Net of stem 1 ─▶ estimate ─┐
                                 ├─▶ U-Net of stem 2 ─▶ estimate ─┼─▶ ratio masks ─▶ stems
                                 └─▶ ...                          ┘

Each U-Net estimates the magnitudes of its stem (Jansson et al. 2017, "Singing voice separation with
deep U-Net convolutional networks", ISMIR). The power of each estimate, divided by the power of all,
is the mask that the mixture's spectrum is multiplied by.
https://doi.org/10.21105/joss.02154
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import MonoWave, Stems, Wave
from model_zoo.config import broken
from model_zoo.ops.spectra import gain, power_ratio
from model_zoo.ops.tensors import full_precision
from model_zoo.separator import Frontend, SpectralConfig, SpectralSeparator, Spectrum

Activation = Literal["leaky_relu", "relu", "elu"]
Magnitudes = Float[Tensor, "block channel frame_in freq_in"]
Estimates = Float[Tensor, "block stem channel frame_in freq_in"]
Masks = Float[Tensor, "batch stem channel freq frame 1"]
MaskedSpectra = Complex[Tensor, "batch masked_stem channel freq frame"]

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "relu": nn.ReLU,
    "elu": nn.ELU,
}

DEEPEST = 16
"""Most levels; one more would halve a block of 65,536 frames to less than one."""

KERNEL = 5
"""Frames and bins that each convolution covers."""


@dataclass(frozen=True, kw_only=True)
class SpleeterConfig(SpectralConfig):
    """Arguments of :class:`Spleeter`; the defaults are those of Deezer's ``2stems``.

    Attributes:
        stems: names of the sources, at least two, because masks are ratios between them.
        num_bins: bins of the spectrogram that the U-Nets see, from 0 Hz upwards (Spleeter's F).
        num_frames: frames of one block (T). Longer mixtures are cut into blocks of this length,
            shorter ones are padded to the next length that can be halved at every level.
        filters: output features of each convolution in the encoder, one per level.
        num_levels: levels that are used, counted from the top.
        conv_activation: activation in the encoder.
        deconv_activation: activation in the decoder.
        output: ``"sigmoid"``: each U-Net decides alone how much of the mixture is its stem;
            ``"softmax"``: the shares of all stems add up to one (Deezer's ``5stems``).
        separation_exponent: power to which estimates are raised before the ratio is taken.
        mask_extension: mask of the bins above ``num_bins``: ``"average"`` is the mean over the bins
            below, ``"zeros"`` (the authors' default) removes them from every stem.
        dropout: dropout probability in training, in the lower half of the decoder.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        segment: length in samples that the network is trained on; the default is that of
            ``num_frames`` frames.
    """

    stems: tuple[str, ...] = ("vocals", "instrumental")
    num_bins: int = 1024
    num_frames: int = 512
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    num_levels: int = 6
    conv_activation: Activation = "leaky_relu"
    deconv_activation: Activation = "relu"
    output: Literal["sigmoid", "softmax"] = "sigmoid"
    separation_exponent: float = 2.0
    mask_extension: Literal["average", "zeros"] = "average"
    dropout: float = 0.5
    window_size: int = 4096
    hop_size: int = 1024
    sample_rate: int = 44_100
    segment: int = 523_264  # 11.87 s: 512 frames, centred on multiples of the hop

    @property
    def stride(self) -> int:
        """Bins and frames of the input per bin and frame of the lowest level."""
        return 1 << self.num_levels

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        most = min(len(self.filters), DEEPEST)
        if not 1 <= self.num_levels <= most:
            return [f"num_levels must be from 1 to the {most} of filters, found {self.num_levels}"]
        uneven = f"must be a multiple of {self.stride} for num_levels={self.num_levels}"
        bins = self.window_size // 2 + 1
        rules = {
            "stems must name at least two sources": len(self.stems) < 2,
            f"filters must be at least 1, found {min(self.filters)}": min(self.filters) < 1,
            f"num_bins {uneven}, found {self.num_bins}": self.num_bins % self.stride > 0,
            f"num_frames {uneven}, found {self.num_frames}": self.num_frames % self.stride > 0,
            f"num_bins must be at most the {bins} of window_size={self.window_size}, "
            f"found {self.num_bins}": self.num_bins > bins,
            f"separation_exponent must be above 0, found {self.separation_exponent}": not (
                self.separation_exponent > 0
            ),
            f"dropout must be in [0, 1), found {self.dropout}": not 0 <= self.dropout < 1,
        }
        return [*super().mistakes(), *broken(rules)]


class Halving(nn.Conv2d):
    """Convolution that halves frames and bins; padded as TensorFlow's ``same``."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, KERNEL, stride=2)
        init(self)

    def forward(
        self, input: Float[Tensor, "block feature_in frame freq"]
    ) -> Float[Tensor, "block feature_out frame_below freq_below"]:
        """Features of the level below."""
        return super().forward(F.pad(input, (1, 2, 1, 2)))


class Doubling(nn.ConvTranspose2d):
    """Transposed convolution that doubles frames and bins; cropped as TensorFlow's ``same``."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, KERNEL, stride=2, padding=1)
        init(self)

    def forward(
        self,
        input: Float[Tensor, "block feature_in frame_below freq_below"],
        output_size: list[int] | None = None,  # of the base class; the size is always doubled
    ) -> Float[Tensor, "block feature_out frame freq"]:
        """Features of the level above.

        Slow paths of oneDNN are avoided: it falls back on its reference implementation for a bias,
        which is added apart, and for a single feature, which interleaved convolutions give.
        """
        bias = cast(Tensor, self.bias)[:, None, None]
        if self.out_channels == 1:
            return F.pixel_shuffle(F.conv2d(input, interleaved(self.weight), padding=1), 2) + bias
        doubled = F.conv_transpose2d(input, self.weight, None, stride=2, padding=1)
        return doubled[..., :-1, :-1] + bias


def interleaved(
    weight: Float[Tensor, "feature_in 1 5 5"],
) -> Float[Tensor, "4 feature_in 3 3"]:
    """Kernels of the convolutions that give even and odd rows and columns of a :class:`Doubling`.

    An even sample 2 m depends on samples m - 1 and m below through taps 3 and 1, an odd one on
    m - 1, m and m + 1 through taps 4, 2 and 0 (Shi et al. 2016, "Is the deconvolution layer the
    same as a convolutional layer?", arXiv 1609.07009).
    """
    padded = F.pad(weight[:, 0], (0, 1, 0, 1))  # tap 5 is the one that even samples lack
    taps = torch.tensor([[3, 1, 5], [4, 2, 0]], device=weight.device)
    kernels = padded[:, taps[:, None, :, None], taps[None, :, None, :]]
    return rearrange(kernels, "c row column y x -> (row column) c y x")


def norm(features: int) -> nn.BatchNorm2d:
    """Batch normalization with the constants of Keras."""
    return nn.BatchNorm2d(features, eps=1e-3, momentum=0.01)


def init(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Uniform weights for rectifiers (He et al. 2015, arXiv 1502.01852); biases start at 0."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class UNet(nn.Module):
    """Magnitudes of a mixture to the logits of one stem's share in them.

    The skip connections carry the outputs of the convolutions, before normalization.

    Args:
        channels: audio channels.
        config: of the separator.
    """

    def __init__(self, channels: int, config: SpleeterConfig) -> None:
        super().__init__()
        filters = config.filters[: config.num_levels]
        self.down = nn.ModuleList(
            Halving(width, out) for width, out in pairwise((channels, *filters))
        )
        self.down_norms = nn.ModuleList(
            nn.Sequential(norm(width), ACTIVATIONS[config.conv_activation]())
            for width in filters[:-1]
        )
        up = tuple(_widths_up(filters))
        self.up = nn.ModuleList(Doubling(width, out) for width, out in up)
        self.up_norms = nn.ModuleList(
            nn.Sequential(
                ACTIVATIONS[config.deconv_activation](),
                norm(out),
                nn.Dropout(config.dropout if level < len(filters) // 2 else 0.0),
            )
            for level, (_, out) in enumerate(up)
        )
        self.share = nn.Conv2d(1, channels, kernel_size=4, dilation=2, padding=3)
        init(self.share)

    def forward(self, magnitudes: Magnitudes) -> Magnitudes:
        """Logits, one for each magnitude."""
        x = self.down[0](magnitudes)
        skips = [x]
        for normed, halved in zip(self.down_norms, self.down[1:], strict=True):
            x = halved(normed(x))
            skips.append(x)
        skips.pop()
        for doubled, normed in zip(self.up, self.up_norms, strict=True):
            x = normed(doubled(x))
            x = torch.cat([skips.pop(), x], dim=1) if skips else x
        return self.share(x)


def _widths_up(filters: Sequence[int]) -> list[tuple[int, int]]:
    """Input and output features of each level of the decoder, the last of which returns one.

    All but the first also take the features of a skip connection.
    """
    outs = (*reversed(filters[:-1]), 1)
    return list(zip((filters[-1], *(2 * out for out in outs[:-1])), outs, strict=True))


class UNets(nn.Module):
    """One U-Net per stem: magnitudes of the mixture to those of every stem.

    Args:
        channels: audio channels.
        config: of the separator.
    """

    def __init__(self, channels: int, config: SpleeterConfig) -> None:
        super().__init__()
        self.stems = nn.ModuleList(UNet(channels, config) for _ in config.stems)
        self._shares_add_up = config.output == "softmax"

    def forward(self, magnitudes: Magnitudes) -> Estimates:
        """The magnitudes of every stem."""
        logits = torch.stack([unet(magnitudes) for unet in self.stems], dim=1)
        shares = logits.softmax(1) if self._shares_add_up else logits.sigmoid()
        return shares * magnitudes.unsqueeze(1)


class SpleeterFrontend(Frontend):
    """Magnitudes of the lower bins in blocks, for a core whose output is magnitudes of the stems.

    Args:
        config: of the separator.
    """

    def __init__(self, config: SpleeterConfig) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.config = config

    def features(self, spectrum: Spectrum) -> Magnitudes:
        """Magnitudes of the lower bins, in blocks."""
        magnitudes = spectrum.abs()[..., : self.config.num_bins, :]
        block = self._block(spectrum.shape[-1])
        padded = F.pad(magnitudes, (0, -spectrum.shape[-1] % block))
        return rearrange(padded, "b c f (n t) -> (b n) c t f", t=block)

    def apply_output(self, spectrum: Spectrum, output: Estimates) -> MaskedSpectra:
        """Spectrogram of the mixture under the ratio masks of the stems.

        The last stem is left out where masks add up to 1: :meth:`synthesize` subtracts the others
        from the mixture, which saves an inverse STFT.
        """
        masks = self.masks(spectrum, output)
        return gain(spectrum.unsqueeze(1), masks[:, :-1] if self._adds_up else masks)

    def synthesize(self, spectra: MaskedSpectra, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Waveforms; where masks add up to 1, the last stem is the rest of the mixture."""
        stems = super().synthesize(spectra, mixture)
        if not self._adds_up:
            return stems
        rest = mixture.unsqueeze(1) - stems.sum(1, keepdim=True)
        return torch.cat([stems, rest], dim=1)

    def masks(self, spectrum: Spectrum, output: Estimates) -> Masks:
        """Share of each stem in every bin and frame of the mixture's spectrogram, from 0 to 1."""
        with full_precision(output):
            masks = power_ratio(output.float(), self.config.separation_exponent)
        bins, frames = spectrum.shape[-2:]
        planes = rearrange(masks, "(b n) s c t f -> b s c (n t) f", b=spectrum.shape[0])
        return self._extended(planes[..., :frames, :], bins).mT.unsqueeze(-1)

    @property
    def _adds_up(self) -> bool:
        """Whether the masks of all stems add up to 1 in every bin."""
        return self.config.mask_extension == "average"

    def _block(self, frames: int) -> int:
        """Frames of a block: for a short mixture no more than its frames fill."""
        stride = self.config.stride
        return min(self.config.num_frames, -(-frames // stride) * stride)

    def _extended(
        self, masks: Float[Tensor, "batch stem channel frame freq_in"], bins: int
    ) -> Float[Tensor, "batch stem channel frame freq"]:
        """Masks for all bins."""
        mean = masks.mean(-1, keepdim=True)
        above = mean if self._adds_up else torch.zeros_like(mean)
        return torch.cat([masks, above.expand(*mean.shape[:-1], bins - masks.shape[-1])], dim=-1)


class Spleeter(SpectralSeparator):
    """Stems by ratio masks from a U-Net per stem.

    Takes the arguments of :class:`SpleeterConfig`. A U-Net has 9,822,725 parameters: 9,820,739 of
    convolutions and 1,986 of batch normalizations. Deezer's checkpoints count 9,826,759 values:
    with the statistics of the normalizations, and with one more normalization, at the lowest level,
    whose output is not used.
    """

    Config = SpleeterConfig
    config: SpleeterConfig
    purpose = "voice and band, or four or five stems, fast: one U-Net per stem over magnitudes"
    documented_parameters = 2 * 9_822_725
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"num_bins": 64, "num_frames": 32, "filters": (6, 8, 10), "num_levels": 3},
        **{"dropout": 0.1, "window_size": 256, "hop_size": 64, "sample_rate": 16_000},
        "segment": 1984,
    }
    weight_independent_options = (
        *SpectralSeparator.weight_independent_options,
        *("dropout", "separation_exponent", "mask_extension", "num_frames"),
    )
    prefers_channels_last = True
    channels = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fourier = SpleeterFrontend(self.config)
        self.unets = UNets(self.channels, self.config)

    @property
    def core(self) -> UNets:
        """Magnitudes of the mixture to those of the stems."""
        return self.unets
