"""SpectrogramNet separators: the U-Nets over magnitude spectrograms, with the mixture's phase.

A network has a fixed number of frames. Longer mixtures are cut into blocks of this length, which
are items of the network's batch; the last block is padded with silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from model_zoo.architectures.spectrogram_nets import (
    MaskActivation,
    SpectrogramNetLSTM,
    SpectrogramNetSimple,
    SpectrogramNetVAE,
    activation_mistakes,
)
from model_zoo.blocks.unet import layer_option_mistakes, size_mistakes
from model_zoo.separator import Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum

Blocks = Float[Tensor, "block channel freq_in frame_in"]
BlockMasks = Float[Tensor, "block mask_channel freq_in frame_in"]


@dataclass(frozen=True)
class SpectrogramNetConfig(SpectralConfig):
    """Arguments of :class:`SpectrogramNetSimpleSeparator`.

    Those of the network are explained by
    :class:`~model_zoo.architectures.spectrogram_nets.SpectrogramNetSimple`.

    Attributes:
        num_fft_bins: bins that are input of the network. An even number leaves out the highest bin
            of a window of ``2 * num_fft_bins`` samples, which is then silent; an odd number is all
            bins of a window of ``2 * (num_fft_bins - 1)``.
        num_frames: frames of a block.
        num_channels: audio channels: 1 processes every channel on its own, 2 left and right
            together.
        hidden_channels: features of the outermost level.
        mask_act_fn: last activation.
        leak_factor: slope of leaky ReLUs below zero; 0 selects SELU.
        dropout_p: dropout probability in training.
        normalize_input: learn to normalize a block.
        normalize_output: learn to shift and scale every bin.
        num_levels: number of halvings.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        segment: length in samples the network is trained on; 0 stands for that of one block.
    """

    num_fft_bins: int = 1024
    num_frames: int = 173
    num_channels: int = 1
    hidden_channels: int = 16
    mask_act_fn: MaskActivation = "sigmoid"
    leak_factor: float = 0.0
    dropout_p: float = 0.5
    normalize_input: bool = False
    normalize_output: bool = False
    num_levels: int = field(default=6, kw_only=True)
    hop_size: int = field(default=512, kw_only=True)
    sample_rate: int = field(default=44_100, kw_only=True)
    segment: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.segment == 0 and not [*self._type_mistakes()]:
            object.__setattr__(self, "segment", (self.num_frames - 1) * self.hop_size)
        super().__post_init__()

    @property
    def window_size(self) -> int:
        """STFT window in samples."""
        return 2 * self.bins_of_window - 2

    @property
    def bins_of_window(self) -> int:
        """Bins of the window, including one that the network may not see."""
        return self.num_fft_bins + 1 - self.num_fft_bins % 2

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        found = super().mistakes()
        if self.num_channels > 2:
            found.append(f"num_channels must be 1 or 2, found {self.num_channels}")
        return [
            *found,
            *size_mistakes(self.num_fft_bins, self.num_frames, self.num_levels),
            *layer_option_mistakes(self.leak_factor, self.dropout_p),
            *activation_mistakes(self.mask_act_fn, len(self.stems)),
        ]

    @property
    def network_arguments(
        self,
    ) -> tuple[int, int, int, int, MaskActivation, float, float, bool, bool]:
        """Positional arguments of the network."""
        return (
            *(self.num_fft_bins, self.num_frames, self.num_channels, self.hidden_channels),
            *(self.mask_act_fn, self.leak_factor, self.dropout_p),
            *(self.normalize_input, self.normalize_output),
        )


@dataclass(frozen=True)
class SpectrogramNetLSTMConfig(SpectrogramNetConfig):
    """Arguments of :class:`SpectrogramNetLSTMSeparator` and :class:`SpectrogramNetVAESeparator`.

    Attributes:
        recurrent_depth: stacked LSTMs.
        hidden_size: upper limit of the features of an LSTM in each direction.
        input_axis: 0 for LSTMs over frames whose features are the bins, 1 for LSTMs over bins whose
            features are the frames.
    """

    recurrent_depth: int = field(default=3, kw_only=True)
    hidden_size: int = field(default=1024, kw_only=True)
    input_axis: Literal[0, 1] = field(default=1, kw_only=True)


class BlockFrontend(Frontend):
    """Magnitudes in blocks of a fixed number of frames, for a core whose output is masks.

    Args:
        config: of the separator.
    """

    def __init__(self, config: SpectrogramNetConfig) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.bins, self.frames = config.num_fft_bins, config.num_frames

    def features(self, spectrum: Spectrum) -> Blocks:
        """Magnitudes of the lower bins, in blocks."""
        magnitudes = spectrum.abs()[..., : self.bins, :]
        padded = F.pad(magnitudes, (0, -magnitudes.shape[-1] % self.frames))
        return rearrange(padded, "b c f (n t) -> (b n) c f t", t=self.frames)

    def apply_output(self, spectrum: Spectrum, output: BlockMasks) -> Spectra:
        """Spectrogram of the mixture under the mask of every stem."""
        return spectrum.unsqueeze(1) * self.masks(spectrum, output)

    def masks(
        self, spectrum: Spectrum, output: BlockMasks
    ) -> Float[Tensor, "batch stem channel freq frame"]:
        """Masks of the whole spectrogram: blocks joined, and 0 above ``num_fft_bins``."""
        batch, channels, bins, frames = spectrum.shape
        pattern = "(b n) (s c) f t -> b s c f (n t)"
        masks = rearrange(output, pattern, b=batch, c=channels)
        return F.pad(masks, (0, 0, 0, bins - masks.shape[-2]))[..., :frames]


SMALL = {
    **{"num_fft_bins": 64, "num_frames": 16, "hidden_channels": 4, "num_levels": 3},
    **{"normalize_input": True, "normalize_output": True, "dropout_p": 0.1},
    **{"hop_size": 32, "sample_rate": 16_000},
}
SMALL_LSTM = {**SMALL, "recurrent_depth": 1, "hidden_size": 16}


class SpectrogramNetSimpleSeparator(SpectralSeparator):
    """Stems by soft masks from a U-Net of convolutions.

    Takes the arguments of :class:`SpectrogramNetConfig`.
    """

    Config = SpectrogramNetConfig
    config: SpectrogramNetConfig
    purpose = "soft masks on magnitudes: a plain convolutional U-Net"
    documented_parameters = 61_523_441
    small_options = SMALL
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "dropout_p")
    fourier: BlockFrontend

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.num_channels
        self.fourier = BlockFrontend(config)
        self.network = SpectrogramNetSimple(
            *config.network_arguments, num_levels=config.num_levels, num_masks=len(config.stems)
        )


class SpectrogramNetLSTMSeparator(SpectralSeparator):
    """Stems by soft masks from a U-Net with LSTMs at its bottleneck.

    Takes the arguments of :class:`SpectrogramNetLSTMConfig`.
    """

    Network: ClassVar[type[SpectrogramNetLSTM]] = SpectrogramNetLSTM
    Config = SpectrogramNetLSTMConfig
    config: SpectrogramNetLSTMConfig
    purpose = (
        "soft masks on magnitudes: a U-Net with LSTMs along time or frequency at the bottleneck"
    )
    documented_parameters = 109_281_777
    small_options = SMALL_LSTM
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "dropout_p")
    fourier: BlockFrontend

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.num_channels
        self.fourier = BlockFrontend(config)
        self.network = self.Network(
            *config.network_arguments,
            recurrent_depth=config.recurrent_depth,
            hidden_size=config.hidden_size,
            input_axis=config.input_axis,
            num_levels=config.num_levels,
            num_masks=len(config.stems),
        )


class SpectrogramNetVAESeparator(SpectrogramNetLSTMSeparator):
    """Stems by soft masks from a U-Net with a variational autoencoder and LSTMs at its bottleneck.

    Takes the arguments of :class:`SpectrogramNetLSTMConfig`.
    """

    Network = SpectrogramNetVAE
    purpose = "soft masks on magnitudes: a U-Net with LSTMs and a sampled latent variable"
    documented_parameters = 111_380_977
    auxiliary_loss_names = ("divergence",)


SpectrogramNetSeparator = (
    SpectrogramNetSimpleSeparator | SpectrogramNetLSTMSeparator | SpectrogramNetVAESeparator
)
