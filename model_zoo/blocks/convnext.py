"""ConvNeXt blocks that change width and resolution (Liu et al. 2022, arXiv 2201.03545).

A convolution covers the neighbourhood, a gated bottleneck of pointwise layers mixes the features,
and a second convolution resizes the residual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.attention import RMSNorm
from model_zoo.errors import ConfigError

Size = TypeVar("Size", bound=int | tuple[int, int])


class _ConvNeXtBlock(nn.Module, Generic[Size]):
    """Base of both blocks; subclasses define convolutions and the width of the bottleneck."""

    convolutions: ClassVar[dict[str, Callable[..., nn.Module]]]
    expansion: ClassVar[tuple[int, int]]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size,
        input_dim: int,
        output_dim: int,
        mode: str = "normal",
        *,
        depthwise: bool = True,
    ) -> None:
        super().__init__()
        if mode not in self.convolutions:
            raise ConfigError(type(self).__name__, [_mode_mistake(mode)])
        times, over = self.expansion
        hidden = times * input_dim // over
        convolution, padding = self.convolutions[mode], _half(kernel_size)
        groups = input_dim if depthwise else 1
        self.mode = mode
        self.dwconv = convolution(
            input_dim, input_dim, kernel_size, stride, padding=padding, groups=groups
        )
        self.residual_conv = convolution(
            input_dim, output_dim, kernel_size, stride, padding=padding
        )
        self.norm = RMSNorm(input_dim)
        self.pwconv1 = nn.Linear(input_dim, 2 * hidden)
        self.pwconv2 = nn.Linear(hidden, output_dim)

    def _mix(self, x: Tensor, size: Sequence[int] | None) -> Tensor:
        size = None if self.mode == "normal" else size
        near = self.norm(resized(self.dwconv, x, size).movedim(1, -1))
        gate, value = self.pwconv1(near).chunk(2, dim=-1)
        mixed = self.pwconv2(F.silu(gate) * value).movedim(-1, 1)
        return mixed + resized(self.residual_conv, x, size)


def resized(
    convolution: nn.Module, x: Float[Tensor, "batch feature_in *plane"], size: Sequence[int] | None
) -> Float[Tensor, "batch feature_out *resized"]:
    """Output of a convolution; of a transposed one, an output of the given size.

    Exported networks compute the largest output and crop it, because ONNX has no variable size.
    """
    if size is None:
        return convolution(x)
    if not torch.compiler.is_exporting():
        return convolution(x, output_size=list(size))
    assert isinstance(convolution, (nn.ConvTranspose1d, nn.ConvTranspose2d)), (
        "only these take sizes"
    )
    function: Any = F.conv_transpose1d if len(size) == 1 else F.conv_transpose2d
    whole = function(
        x,
        convolution.weight,
        convolution.bias,
        convolution.stride,
        convolution.padding,
        [step - 1 for step in convolution.stride],
        convolution.groups,
    )
    crop: tuple[Any, ...] = (..., *(slice(side) for side in size))
    return whole[crop]


class ConvNeXt1DBlock(_ConvNeXtBlock[int]):
    """ConvNeXt block over sequences; bottleneck of 8/3 of the width.

    Args:
        kernel_size: kernel size of the convolutions.
        stride: factor by which the sequence gets shorter, or longer in transposed mode.
        input_dim: input features.
        output_dim: output features.
        mode: ``"normal"`` shortens, ``"transposed"`` lengthens.
        depthwise: convolve every feature on its own; False mixes them, with many more weights.

    Raises:
        ConfigError: there is no such mode.
    """

    convolutions: ClassVar[dict[str, Callable[..., nn.Module]]] = {
        "normal": nn.Conv1d,
        "transposed": nn.ConvTranspose1d,
    }
    expansion = (8, 3)

    def forward(
        self, x: Float[Tensor, "batch feature_in token"], original_shape: int | None = None
    ) -> Float[Tensor, "batch feature_out token_out"]:
        """Change resolution and width.

        Args:
            x: the sequences.
            original_shape: output length in transposed mode; several lengths are shortened to the
                same one, so it cannot be derived from ``x``.
        """
        return self._mix(x, None if original_shape is None else (original_shape,))


class ConvNeXt2DBlock(_ConvNeXtBlock[int | tuple[int, int]]):
    """ConvNeXt block over planes; bottleneck of 4/3 of the width.

    Args:
        kernel_size: height and width of the convolutions; one number for a square.
        stride: factors by which the plane gets smaller, or larger in transposed mode.
        input_dim: input features.
        output_dim: output features.
        mode: ``"normal"`` downsamples, ``"transposed"`` upsamples.
        depthwise: convolve every feature on its own; False mixes them, with many more weights.

    Raises:
        ConfigError: there is no such mode.
    """

    convolutions: ClassVar[dict[str, Callable[..., nn.Module]]] = {
        "normal": nn.Conv2d,
        "transposed": nn.ConvTranspose2d,
    }
    expansion = (4, 3)

    def forward(
        self,
        x: Float[Tensor, "batch feature_in height width"],
        original_shape: tuple[int, int] | None = None,
    ) -> Float[Tensor, "batch feature_out height_out width_out"]:
        """Change resolution and width.

        Args:
            x: the planes.
            original_shape: output height and width in transposed mode.
        """
        return self._mix(x, original_shape)


def _half(kernel: int | tuple[int, int]) -> int | tuple[int, ...]:
    return kernel // 2 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)


def _mode_mistake(mode: str) -> str:
    return f"mode must be 'normal' or 'transposed', found {mode!r}"
