"""The U-Nets over magnitude spectrograms as separators: masks of the mixture, with its phase.

A network has a fixed number of frames, so that longer mixtures are cut into blocks of as many,
which it hears side by side; the last is filled up with silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.spectrogram_nets import (
    MaskActivation,
    SpectrogramNetLSTM,
    SpectrogramNetSimple,
    SpectrogramNetVAE,
    activation_mistakes,
)
from model_zoo.blocks.unet import layer_option_mistakes, size_mistakes
from model_zoo.separator import (
    Documented,
    Sizes,
    Spectra,
    SpectralConfig,
    SpectralSeparator,
    Spectrum,
    parts_of,
)

Blocks = Float[Tensor, "block channel freq_heard frame_heard"]
BlockMasks = Float[Tensor, "block mask_channel freq_heard frame_heard"]

OF_NETWORK = (
    *("num_fft_bins", "num_frames", "num_channels", "hidden_channels", "mask_act_fn"),
    *("leak_factor", "dropout_p", "normalize_input", "normalize_output", "num_levels"),
)
OF_LSTM = ("recurrent_depth", "hidden_size", "input_axis")


@dataclass(frozen=True)
class SpectrogramNetConfig(SpectralConfig):
    """Arguments of :class:`SpectrogramNetSimpleSeparator`.

    Those of the network are explained by
    :class:`~model_zoo.architectures.spectrogram_nets.SpectrogramNetSimple`.

    Attributes:
        num_fft_bins: frequencies that the network hears. An even number leaves out the highest of
            a window of ``2 * num_fft_bins`` samples, which stays silent; an odd number is all of a
            window of ``2 * (num_fft_bins - 1)``.
        num_frames: frames of a block.
        num_channels: audio channels: 1 hears every channel on its own, 2 left and right together.
        hidden_channels: features of the outermost level.
        mask_act_fn: last activation.
        leak_factor: slope of leaky rectifiers below zero; 0 takes SELU.
        dropout_p: chance that a feature is left out in training.
        normalize_input: learn to normalize a block.
        normalize_output: learn to move and scale every frequency.
        num_levels: halvings.
        hop_size: samples between two frames.
        sample_rate: in Hz.
        segment: length in samples the network is trained on; 0 becomes that of one block.
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
        """Samples of the STFT window."""
        return 2 * self.bins_of_window - 2

    @property
    def bins_of_window(self) -> int:
        """Frequencies of the window, those that the network does not hear among them."""
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

    def of_network(self) -> dict[str, Any]:
        """Arguments of the network."""
        return {name: getattr(self, name) for name in OF_NETWORK} | {"num_masks": len(self.stems)}


@dataclass(frozen=True)
class SpectrogramNetLSTMConfig(SpectrogramNetConfig):
    """Arguments of :class:`SpectrogramNetLSTMSeparator` and :class:`SpectrogramNetVAESeparator`.

    Attributes:
        recurrent_depth: stacked LSTMs.
        hidden_size: most features of an LSTM in each direction.
        input_axis: 0 sees all frequencies at once and reads along time, 1 the other way round.
    """

    recurrent_depth: int = field(default=3, kw_only=True)
    hidden_size: int = field(default=1024, kw_only=True)
    input_axis: Literal[0, 1] = field(default=1, kw_only=True)

    def of_network(self) -> dict[str, Any]:
        """Arguments of the network."""
        return super().of_network() | {name: getattr(self, name) for name in OF_LSTM}


SMALL = {
    **{"num_fft_bins": 64, "num_frames": 16, "hidden_channels": 4, "num_levels": 3},
    **{"normalize_input": True, "normalize_output": True, "dropout_p": 0.1},
    **{"hop_size": 32, "sample_rate": 16_000},
}
SMALL_LSTM = {**SMALL, "recurrent_depth": 1, "hidden_size": 16}
SEVERAL = {"stems": ("vocals", "drums", "bass"), "num_channels": 2}
PUBLISHED = (1024, 173, 1, 16)
"""Bins, frames, channels and features of the examples in the original's documentation."""


class SpectrogramNetSimpleSeparator(SpectralSeparator):
    """Stems by soft masks from a U of convolutions.

    Takes the arguments of :class:`SpectrogramNetConfig`.
    """

    Config: ClassVar[type[SpectrogramNetConfig]] = SpectrogramNetConfig
    Network: ClassVar[type[SpectrogramNetSimple]] = SpectrogramNetSimple
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "dropout_p")
    purpose = "soft masks on magnitudes: a plain U of convolutions over spectrograms"
    sizes = Sizes(
        small=SMALL,
        several=SEVERAL,
        documented=(
            Documented(61_523_441, PUBLISHED),
            Documented(61_877_745, PUBLISHED, {"normalize_input": True, "normalize_output": True}),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels = self.config.num_channels
        self.network = self.Network(**self.config.of_network())

    @property
    def core(self) -> nn.Module:
        """Magnitudes to masks."""
        return self.network

    def blocks(self) -> Iterator[nn.Module]:
        """Levels of the U, and the layers around them."""
        return parts_of(self.network)

    def features(self, spectrum: Spectrum) -> Blocks:
        """Magnitudes in blocks of as many frames as the network has."""
        heard = spectrum.abs()[..., : self.config.num_fft_bins, :]
        full = F.pad(heard, (0, -heard.shape[-1] % self.config.num_frames))
        return rearrange(full, "b c f (n t) -> (b n) c f t", t=self.config.num_frames)

    def answer(self, spectrum: Spectrum, numbers: BlockMasks) -> Spectra:
        """The mixture's spectrum under every stem's mask."""
        return spectrum.unsqueeze(1) * self.masks(spectrum, numbers)

    def masks(
        self, spectrum: Spectrum, numbers: BlockMasks
    ) -> Float[Tensor, "batch stem channel freq frame"]:
        """Masks of the whole spectrum: blocks side by side again, and 0 where none was heard."""
        batch, bins, frames = spectrum.shape[0], spectrum.shape[-2], spectrum.shape[-1]
        masks = rearrange(numbers, "(b n) (s c) f t -> b s c f (n t)", b=batch, s=len(self.stems))
        return F.pad(masks, (0, 0, 0, bins - masks.shape[-2]))[..., :frames]


class SpectrogramNetLSTMSeparator(SpectrogramNetSimpleSeparator):
    """Stems by soft masks from a U with LSTMs at its bottom.

    Takes the arguments of :class:`SpectrogramNetLSTMConfig`. The numbers of parameters are counted
    by hand: a U without its bottom has 37,926,385; an LSTM of hidden size h that sees i features
    8 h (i + h + 2), the linear layers of f features h (2 h + 1) + 2 f (h + 1). The original's are
    larger by the convolutions at the bottom that it kept without using them (23,597,056), and where
    its hidden size was above 1024.
    """

    Config: ClassVar[type[SpectrogramNetConfig]] = SpectrogramNetLSTMConfig
    Network = SpectrogramNetLSTM
    purpose = "soft masks on magnitudes: a U with LSTMs along time or frequency at its bottom"
    sizes = Sizes(
        small=SMALL_LSTM,
        several=SEVERAL,
        documented=(
            Documented(109_281_777, PUBLISHED),
            Documented(206_293_489 - 23_597_056, PUBLISHED, {"input_axis": 0}),
            Documented(84_099_569, PUBLISHED, {"recurrent_depth": 2, "hidden_size": 2048}),
        ),
    )


class SpectrogramNetVAESeparator(SpectrogramNetLSTMSeparator):
    """Stems by soft masks from a U with a variational autoencoder and LSTMs at its bottom.

    Takes the arguments of :class:`SpectrogramNetLSTMConfig`. Two linear layers of f features add
    2 f (f + 1) parameters, and f is 1024.
    """

    Network = SpectrogramNetVAE
    network: SpectrogramNetVAE
    purpose = "soft masks on magnitudes: a U with a sampled latent variable and LSTMs"
    auxiliary_loss_names = ("divergence",)
    sizes = Sizes(
        small=SMALL_LSTM,
        several=SEVERAL,
        documented=(
            Documented(109_281_777 + 2_099_200, PUBLISHED),
            Documented(
                84_099_569 + 2_099_200, PUBLISHED, {"recurrent_depth": 2, "hidden_size": 2048}
            ),
        ),
    )
