"""SpectrogramNets: U-Nets that estimate soft masks from magnitude spectrograms of a fixed size.

After Jansson et al. 2017 (https://archives.ismir.net/ismir2017/paper/000171.pdf), in the form that
auralflow had in May 2022: SELU instead of rectifiers, three convolutions on each of six levels, and
a bottleneck of convolutions, LSTMs or a variational autoencoder with LSTMs. Unlike there, LSTMs run
along a sequence rather than the batch, ``hidden_size`` is an upper limit as documented, the latent
variable is sampled in training only, and masks are clamped to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.unet import (
    ConvBottom,
    DownBlock,
    FrequencyNorm,
    LayerOptions,
    RecurrentBottom,
    UNetLevel,
    UpBlock,
    VariationalBottom,
    layer_option_mistakes,
    size_mistakes,
)
from model_zoo.config import broken
from model_zoo.errors import ConfigError, DeviceError

Magnitudes = Float[Tensor, "batch channel freq frame"]
Masks = Float[Tensor, "batch mask_channel freq frame"]
MaskActivation = Literal["hardtanh", "prelu", "relu", "selu", "sigmoid", "softmax", "tanh"]

FIRST_UPS = 3
"""Decoder levels, counted from the bottleneck, with the full ``dropout_p``."""

LATER_DROPOUT = 0.4
"""Upper limit of the dropout probability on the levels above."""


class StemSoftmax(nn.Module):
    """Softmax over the stems.

    Args:
        num_masks: number of stems.
    """

    def __init__(self, num_masks: int) -> None:
        super().__init__()
        self.num_masks = num_masks

    def forward(self, x: Masks) -> Masks:
        """Masks that add up to 1."""
        stems = rearrange(x, "b (s c) f t -> b s c f t", s=self.num_masks).softmax(dim=1)
        return rearrange(stems, "b s c f t -> b (s c) f t")


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "hardtanh": partial(nn.Hardtanh, 0.0, 1.0),
    "prelu": nn.PReLU,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
SOFTMAX = "softmax"


class SpectrogramNetSimple(nn.Module):
    """Soft masks from a U-Net of convolutions.

    Args:
        num_fft_bins: bins of a spectrogram.
        num_frames: frames of a spectrogram.
        num_channels: audio channels: 1 mono, 2 stereo.
        hidden_channels: features of the outermost level; every level doubles them.
        mask_act_fn: last activation; its output is clamped to [0, 1]. ``"softmax"`` makes the masks
            of several stems add up to 1.
        leak_factor: slope of leaky ReLUs below zero; 0 selects SELU.
        dropout_p: dropout probability in training, at most 0.4 on the upper levels.
        normalize_input: learn a layer normalization of the whole spectrogram.
        normalize_output: learn to shift and scale every bin before the last activation.
        device: device of the weights.
        num_levels: number of halvings.
        num_masks: number of stems, each with a mask for every channel.
        bottom: builds the bottleneck; subclasses pass their own.

    Raises:
        ConfigError: the options contradict each other; all mistakes at once.
        DeviceError: there is no such device.
    """

    def __init__(
        self,
        num_fft_bins: int,
        num_frames: int,
        num_channels: int = 1,
        hidden_channels: int = 16,
        mask_act_fn: str = "sigmoid",
        leak_factor: float = 0,
        dropout_p: float = 0.5,
        normalize_input: bool = False,
        normalize_output: bool = False,
        device: str | torch.device | None = None,
        *,
        num_levels: int = 6,
        num_masks: int = 1,
        bottom: Callable[[UNetLevel, LayerOptions], nn.Module] = ConvBottom,
    ) -> None:
        super().__init__()
        self.shape = (num_channels, num_fft_bins, num_frames)
        sizes = (*self.shape, hidden_channels, num_levels, num_masks)
        _require(
            type(self).__name__,
            [
                *broken({"sizes and counts must be 1 or more": min(sizes) < 1}),
                *size_mistakes(num_fft_bins, num_frames, num_levels),
                *layer_option_mistakes(leak_factor, dropout_p),
                *activation_mistakes(mask_act_fn, num_masks),
            ],
        )
        options, levels = (
            LayerOptions(leak_factor, dropout_p),
            self._levels(hidden_channels, num_levels),
        )
        self.input_norm = nn.LayerNorm(self.shape) if normalize_input else nn.Identity()
        self.down = nn.ModuleList(
            DownBlock(level.channels // 2 if index else num_channels, level, options)
            for index, level in enumerate(levels[:-1])
        )
        self.bottom = bottom(levels[-1], options)
        self.up = nn.ModuleList(
            UpBlock(level, dropout_p if index < FIRST_UPS else min(dropout_p, LATER_DROPOUT))
            for index, level in enumerate(reversed(levels[:-1]))
        )
        self.soft_conv = nn.Conv2d(hidden_channels, num_masks * num_channels, 1)
        self.output_norm = FrequencyNorm(num_fft_bins, learned=normalize_output)
        self.mask_activation = _activation(mask_act_fn, num_masks)
        _place(self, device)

    def _levels(self, hidden_channels: int, num_levels: int) -> list[UNetLevel]:
        """Sizes of all levels, the outermost first."""
        levels = [UNetLevel(hidden_channels, *self.shape[1:])]
        for _ in range(num_levels):
            levels.append(levels[-1].below)
        return levels

    def forward(self, data: Magnitudes) -> Masks:
        """Soft masks between 0 and 1, those of one stem after those of another."""
        if tuple(data.shape[1:]) != self.shape:
            found = f"found {tuple(data.shape)}, give (batch, {', '.join(map(str, self.shape))})"
            raise ConfigError(type(self).__name__, [found])
        x, skips = self.input_norm(data), []
        for down in self.down:
            skip, x = down(x)
            skips.append(skip)
        x = self.bottom(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, skip)
        return self.mask_activation(self.output_norm(self.soft_conv(x))).clamp(0, 1)


class SpectrogramNetLSTM(SpectrogramNetSimple):
    """Soft masks from a U-Net with bidirectional LSTMs at its bottleneck.

    Args:
        *args: of :class:`SpectrogramNetSimple`.
        recurrent_depth: number of stacked LSTMs.
        hidden_size: upper limit of the features of an LSTM in each direction; the other limit is
            that of the bottleneck (64 times ``hidden_channels`` with six levels).
        input_axis: 0 for LSTMs over frames whose features are the bins, 1 for LSTMs over bins whose
            features are the frames.
        **kwargs: of :class:`SpectrogramNetSimple`.

    Raises:
        ConfigError: the options contradict each other.
    """

    Bottom: ClassVar[type[RecurrentBottom]] = RecurrentBottom

    def __init__(
        self,
        *args: Any,
        recurrent_depth: int = 3,
        hidden_size: int = 1024,
        input_axis: int = 1,
        **kwargs: Any,
    ) -> None:
        rules = {
            "recurrent_depth and hidden_size must be 1 or more": (
                min(recurrent_depth, hidden_size) < 1
            ),
            f"input_axis must be 0 or 1, found {input_axis}": input_axis not in (0, 1),
        }
        _require(type(self).__name__, broken(rules))
        bottom = partial(
            self.Bottom,
            recurrent_depth=recurrent_depth,
            hidden_size=hidden_size,
            input_axis=input_axis,
        )
        super().__init__(*args, bottom=bottom, **kwargs)


class SpectrogramNetVAE(SpectrogramNetLSTM):
    """Soft masks from a U-Net whose LSTMs run over a latent variable, z ~ p(z | x).

    In training z is sampled; otherwise it is the mean. Takes the arguments of
    :class:`SpectrogramNetLSTM`.
    """

    Bottom = VariationalBottom
    bottom: VariationalBottom

    def get_kl_div(self) -> Float[Tensor, ""]:
        """Mean divergence of p(z | x) from the standard normal distribution.

        The value of the last training forward pass; 0 before the first.
        """
        return self.bottom.latent.losses.get("divergence", torch.zeros(()))


def activation_mistakes(name: str, num_masks: int) -> list[str]:
    """Mistakes in the name of the last activation, one sentence each."""
    known = ", ".join(sorted([*ACTIVATIONS, SOFTMAX]))
    return broken(
        {
            f"mask_act_fn must be one of {known}, found {name!r}": (
                name not in (*ACTIVATIONS, SOFTMAX)
            ),
            "mask_act_fn='softmax' shares the mixture among stems, give it two at least": (
                name == SOFTMAX and num_masks < 2
            ),
        }
    )


def _activation(name: str, num_masks: int) -> nn.Module:
    return StemSoftmax(num_masks) if name == SOFTMAX else ACTIVATIONS[name]()


def _require(name: str, mistakes: list[str]) -> None:
    if mistakes:
        raise ConfigError(name, mistakes)


def _place(network: nn.Module, device: str | torch.device | None) -> None:
    if device is None:
        return
    try:
        network.to(device)
    except (AssertionError, RuntimeError) as error:
        found = f"PyTorch {torch.__version__} finds no device {str(device)!r}"
        raise DeviceError(f"{found}: give cpu, cuda, cuda:N or mps") from error
