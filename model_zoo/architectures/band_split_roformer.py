"""RoFormers over bands of a spectrogram: BS-RoFormer and Mel-Band RoFormer.

::

    mixture ─ STFT ─ bands ─▶ norm, linear ─▶ layers ─▶ MLP per band and stem ─▶ masks ─▶ stems
                                              time, frequency

Lu, Wang, Kong and Hung 2023, "Music source separation with band-split RoPE transformer" (arXiv
2309.02612), splits the bins into 62 bands; Wang, Lu and Won 2023, "Mel-band RoFormer for music
source separation" (arXiv 2310.01809), into 60 that overlap and are spaced as mel. Each band of a
frame becomes one token. A layer is a transformer along time and one along frequency. The masks are
complex numbers without a bound that multiply the spectrogram of the mixture; where bands overlap,
their mean does.

Names and shapes of tensors are those of lucidrains' BS-RoFormer 0.3
(https://github.com/lucidrains/BS-RoFormer) and of the public checkpoints trained with ZFTurbo's
Music-Source-Separation-Training. These have one more tensor per attention,
``rotary_embed.freqs``, a constant that is computed here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Complex
from torch import Tensor, nn

from model_zoo.architectures.mel_frontend import LARGEST_BANK
from model_zoo.blocks.attention import Rotary
from model_zoo.blocks.band_split import (
    AxialLayer,
    BandSplit,
    BandSplitNetwork,
    FeedForward,
    GatedAttention,
    GatedBlock,
    GatedTransformer,
    LengthNorm,
    MaskEstimator,
    Masks,
    Values,
)
from model_zoo.blocks.spectral import mel_bank
from model_zoo.config import broken
from model_zoo.separator import Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum

NormPlace = Literal["each", "final", "both"]

Members = Bool[Tensor, "band freq"]
"""Whether a band has a bin."""

BINS_PER_BAND = (*[2] * 24, *[4] * 12, *[12] * 8, *[24] * 8, *[48] * 8, 128, 129)
"""Bins of BS-RoFormer's 62 bands, for a window of 2048 samples (arXiv 2309.02612)."""

PUBLISHED_NAMES = {
    **{"dim": "hidden_channels", "depth": "num_layers", "heads": "num_heads"},
    **{"dim_head": "head_channels", "mlp_expansion_factor": "mask_expansion"},
    **{"time_transformer_depth": "time_blocks", "freq_transformer_depth": "freq_blocks"},
    **{"stft_n_fft": "window_size", "stft_win_length": "window_size"},
    **{"stft_hop_length": "hop_size", "freqs_per_bands": "bins_per_band"},
    "use_shared_bias": "attention_bias",
    **{"stereo": "audio_channels", "attn_dropout": "dropout", "ff_dropout": "dropout"},
    "mask_estimator_depth": "mask_layers, which counts linear layers",
    "num_stems": "stems, which names them",
}
"""Names in configurations of the public checkpoints, and the options here."""


@dataclass(frozen=True, kw_only=True)
class BandSplitConfig(SpectralConfig, ABC):
    """Options of both networks.

    Attributes:
        hidden_channels: width of a token.
        num_layers: layers of one transformer along time and one along frequency.
        num_heads: attention heads of every transformer.
        head_channels: width of a head, an even number.
        time_blocks: blocks of each transformer along time.
        freq_blocks: blocks of each transformer along frequency.
        mask_layers: linear layers of the MLPs that give the masks.
        mask_expansion: width of the hidden layers of these MLPs, relative to a token.
        norm: whether a norm follows each transformer (``"each"``), one follows the last layer
            (``"final"``), or both.
        attention_bias: whether queries, keys, values and outputs of attention have a bias.
        skip_connection: whether a layer's input is the sum of the outputs of all before it, the
            last of which counts twice.
        zero_dc: whether the mask is 0 at 0 Hz.
        audio_channels: 1, or 2 for a network that processes left and right together.
        dropout: dropout probability in training.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        segment: length in samples that the network is trained on, 8 s by default.
    """

    other_names: ClassVar[Mapping[str, str]] = PUBLISHED_NAMES

    hidden_channels: int = 384
    num_layers: int = 6
    num_heads: int = 8
    head_channels: int = 64
    time_blocks: int = 1
    freq_blocks: int = 1
    mask_layers: int = 3
    mask_expansion: int = 4
    norm: NormPlace = "each"
    attention_bias: bool = False
    skip_connection: bool = False
    zero_dc: bool = False
    audio_channels: int = 2
    dropout: float = 0.0
    window_size: int = 2048
    hop_size: int = 441
    sample_rate: int = 44_100
    segment: int = 352_800

    if TYPE_CHECKING:
        # An option of one network, a property of the other.

        @property
        def num_bands(self) -> int:
            """Bands the spectrogram is split into."""

    @property
    def num_bins(self) -> int:
        """Bins of the spectrogram."""
        return self.window_size // 2 + 1

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        found = super().mistakes()
        size = self.num_bands * self.window_size
        rules = {
            f"bands times window_size must be at most {LARGEST_BANK:,}, found {size:,}": (
                size > LARGEST_BANK
            ),
            f"head_channels must be even, found {self.head_channels}": self.head_channels % 2 > 0,
            f"dropout must be in [0, 1), found {self.dropout}": not 0 <= self.dropout < 1,
            "audio_channels must be 1 or 2": self.audio_channels not in (1, 2),
        }
        found += broken(rules)
        return found or self.mistakes_in_bands()

    @abstractmethod
    def mistakes_in_bands(self) -> list[str]:
        """Contradictions in the layout of the bands."""

    @abstractmethod
    def members(self) -> Members:
        """The bins of every band, computed even where tensors have no storage (device "meta")."""


@dataclass(frozen=True, kw_only=True)
class MelBandRoFormerConfig(BandSplitConfig):
    """Arguments of :class:`MelBandRoFormer`; the defaults are those of Kimberley Jensen's model.

    Attributes:
        num_bands: bands, spaced as mel, each of which overlaps both neighbours by half.
    """

    num_bands: int = 60

    def mistakes_in_bands(self) -> list[str]:
        """Bands need at least one bin each."""
        empty = int((~self.members().any(1)).sum())
        return broken(
            {
                f"num_bands={self.num_bands} must be lower for window_size={self.window_size}: "
                f"{empty} bands would have no bin": empty > 0
            }
        )

    def members(self) -> Members:
        """The bins where a band's mel filter is above 0, and DC in the first band."""
        with torch.device("cpu"):
            bank = mel_bank(self.sample_rate, self.window_size, self.num_bands) > 0
        bank[0, 0] = True
        return bank


@dataclass(frozen=True, kw_only=True)
class BSRoFormerConfig(BandSplitConfig):
    """Arguments of :class:`BSRoFormer`; the defaults are those of viperx' model for vocals.

    Attributes:
        bins_per_band: bins of each band, from 0 Hz upwards. Without any, the bands of the paper,
            whose limits in Hz do not depend on ``window_size``.
    """

    hidden_channels: int = 512
    num_layers: int = 12
    mask_layers: int = 2
    norm: NormPlace = "final"
    dropout: float = 0.1
    bins_per_band: tuple[int, ...] = ()

    @property
    def num_bands(self) -> int:
        """Bands the spectrogram is split into, at most."""
        return len(self.bins_per_band or BINS_PER_BAND)

    def mistakes_in_bands(self) -> list[str]:
        """Bands need at least one bin each, and a bin needs one band."""
        widths, bins = self.bins_per_band, self.num_bins
        return broken(
            {
                f"bins_per_band must be 1 or more, found {min(widths, default=1)}": (
                    min(widths, default=1) < 1
                ),
                f"bins_per_band must add up to the {bins} bins of window_size={self.window_size}, "
                f"found {sum(widths)}": bool(widths) and sum(widths) != bins,
            }
        )

    def members(self) -> Members:
        """Consecutive bins."""
        widths = self.bins_per_band or paper_bands(self.window_size)
        bins = torch.arange(self.num_bins, device="cpu")
        limits = [0, *accumulate(widths)]
        return torch.stack([(bins >= low) & (bins < high) for low, high in pairwise(limits)])


def paper_bands(window_size: int) -> tuple[int, ...]:
    """Bins of BS-RoFormer's bands for any window; bands that would be empty are left out."""
    *limits, _ = (round(limit * window_size / 2048) for limit in accumulate(BINS_PER_BAND))
    edges = sorted({0, *limits, window_size // 2 + 1})
    return tuple(high - low for low, high in pairwise(edges))


class BandFrontend(Frontend):
    """Bins of every band as real numbers, and complex masks on the mixture's spectrogram.

    Args:
        config: of the separator.
        members: bins of every band.
    """

    bins: Tensor
    shares: Tensor

    def __init__(self, config: BandSplitConfig, members: Members) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.channels = config.audio_channels
        count, device = members.sum(0), torch.get_default_device()
        shares = 1.0 / count
        if config.zero_dc:
            shares[0] = 0.0
        self._overlap = bool((count > 1).any())
        self._scale = self._overlap or config.zero_dc
        self.register_buffer("bins", members.nonzero()[:, 1].to(device), persistent=False)
        self.register_buffer("shares", shares.to(device), persistent=False)

    def features(self, spectrum: Spectrum) -> Values:
        """Values of all bands."""
        values = torch.view_as_real(spectrum)
        if self._overlap:
            values = values.index_select(2, self.bins)
        return rearrange(values, "b c f t m -> b t (f c m)")

    def apply_output(self, spectrum: Spectrum, output: Masks) -> Spectra:
        """Spectrogram of the mixture under the mask of each stem."""
        masks = rearrange(self._per_bin(output), "b s t f c -> b s c f t")
        return spectrum.unsqueeze(1) * masks

    def _per_bin(self, output: Masks) -> Complex[Tensor, "batch stem frame freq channel"]:
        """The mean of the masks of all bands that a bin belongs to."""
        masks = rearrange(output.float(), "b s t (n c m) -> b s t n c m", c=self.channels, m=2)
        if self._overlap:
            empty = masks.new_zeros(*masks.shape[:3], len(self.shares), *masks.shape[4:])
            masks = empty.index_add(3, self.bins, masks)
        if self._scale:
            masks = masks * self.shares[:, None, None]
        return torch.view_as_complex(masks)


class BandSplitSeparator(SpectralSeparator):
    """Base of both architectures, which differ in their bands and defaults."""

    Config: ClassVar[type[BandSplitConfig]]
    config: BandSplitConfig
    weight_independent_options = (
        *SpectralSeparator.weight_independent_options,
        *("dropout", "zero_dc"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config, members = self.config, self.config.members()
        dim = config.hidden_channels
        widths = [2 * config.audio_channels * bins for bins in members.sum(1).tolist()]
        self.channels = config.audio_channels
        self.fourier = BandFrontend(config, members)
        self.layers = axial_layers(config, bands=len(widths))
        self.final_norm = norm(config, "final")
        self.band_split = BandSplit(widths, dim)
        self.mask_estimators = nn.ModuleList(
            MaskEstimator(widths, dim, dim * config.mask_expansion, config.mask_layers)
            for _ in config.stems
        )

    @cached_property
    def core(self) -> BandSplitNetwork:
        """Values of the bands to masks; not registered, so tensor names lack ``core``."""
        parts = (self.band_split, self.layers, self.final_norm, self.mask_estimators)
        return BandSplitNetwork(*parts, skip_connection=self.config.skip_connection)


def axial_layers(config: BandSplitConfig, bands: int) -> nn.ModuleList:
    """Layers of two transformers; all along one axis share the table of their rotations."""
    frames = config.segment // config.hop_size + 1
    along_time, along_freq = (Rotary(config.head_channels, length) for length in (frames, bands))
    return nn.ModuleList(
        AxialLayer(
            transformer(config, config.time_blocks, along_time),
            transformer(config, config.freq_blocks, along_freq),
        )
        for _ in range(config.num_layers)
    )


def transformer(config: BandSplitConfig, depth: int, rotary: Rotary) -> GatedTransformer:
    """Transformer along one axis."""
    dim, dropout = config.hidden_channels, config.dropout
    heads = (config.num_heads, config.head_channels, rotary, dropout, config.attention_bias)
    blocks = (
        GatedBlock(GatedAttention(dim, *heads), FeedForward(dim, dropout)) for _ in range(depth)
    )
    return GatedTransformer(blocks, norm(config, "each"))


def norm(config: BandSplitConfig, place: NormPlace) -> nn.Module:
    """A norm if the config has one in this place."""
    is_here = config.norm in (place, "both")
    return LengthNorm(config.hidden_channels) if is_here else nn.Identity()


SMALL = {
    **{"hidden_channels": 16, "num_layers": 2, "num_heads": 2, "head_channels": 8},
    **{"mask_expansion": 2, "dropout": 0.1, "window_size": 256, "hop_size": 64},
    **{"sample_rate": 16_000, "segment": 4096},
}


class MelBandRoFormer(BandSplitSeparator):
    """Masks from transformers over overlapping mel bands.

    Takes the arguments of :class:`MelBandRoFormerConfig`.
    """

    Config = MelBandRoFormerConfig
    config: MelBandRoFormerConfig
    purpose = "any stems, for GPUs: transformers over mel bands, as in public checkpoints"
    documented_parameters = 228_202_788
    grid = "msst"
    adds_up = False
    small_options: ClassVar[Mapping[str, Any]] = {**SMALL, "num_bands": 12}


class BSRoFormer(BandSplitSeparator):
    """Masks from transformers over adjacent bands.

    Takes the arguments of :class:`BSRoFormerConfig`.
    """

    Config = BSRoFormerConfig
    config: BSRoFormerConfig
    purpose = "any stems, for GPUs: transformers over adjacent bands, as in public checkpoints"
    documented_parameters = 159_758_028
    grid = "msst"
    adds_up = False
    small_options: ClassVar[Mapping[str, Any]] = {
        **SMALL,
        "bins_per_band": (*[4] * 8, *[8] * 4, *[16] * 3, 17),
    }
