"""ConvNeXt blocks. Reference: their definition in functional torch, and the original's sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.blocks.convnext import ConvNeXt1DBlock, ConvNeXt2DBlock
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern

KERNELS = st.sampled_from([3, 4, 5, 7])


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 60), kernel=KERNELS, stride=st.integers(1, 3))
def test_a_sequence_is_restored_to_its_length(length: int, kernel: int, stride: int) -> None:
    down = ConvNeXt1DBlock(kernel, stride, 2, 4)
    up = ConvNeXt1DBlock(kernel, stride, 4, 2, "transposed")
    x = pattern(1, 2, length)
    assert up(down(x), original_shape=length).shape == x.shape


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kernel=st.tuples(KERNELS, KERNELS),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_a_plane_is_restored_to_its_size(size, kernel, stride) -> None:
    down = ConvNeXt2DBlock(kernel, stride, 2, 4)
    up = ConvNeXt2DBlock(kernel, stride, 4, 2, "transposed")
    x = pattern(1, 2, *size)
    assert up(down(x), original_shape=size).shape == x.shape


@pytest.mark.parametrize("depthwise", [True, False])
def test_definition_in_one_dimension(depthwise: bool) -> None:
    block = fill(ConvNeXt1DBlock(5, 2, 6, 4, depthwise=depthwise))
    x, groups = pattern(2, 6, 11), 6 if depthwise else 1
    near = F.conv1d(x, block.dwconv.weight, block.dwconv.bias, stride=2, padding=2, groups=groups)
    residual = F.conv1d(
        x, block.residual_conv.weight, block.residual_conv.bias, stride=2, padding=2
    )
    torch.testing.assert_close(block(x), bottleneck(block, near) + residual)


@pytest.mark.parametrize("depthwise", [True, False])
def test_definition_in_two_dimensions_transposed(depthwise: bool) -> None:
    block = fill(ConvNeXt2DBlock(3, (2, 2), 6, 4, "transposed", depthwise=depthwise))
    x, groups = pattern(2, 6, 4, 5), 6 if depthwise else 1
    options = {"stride": 2, "padding": 1, "output_padding": (1, 0)}
    near = F.conv_transpose2d(x, block.dwconv.weight, block.dwconv.bias, groups=groups, **options)
    residual = F.conv_transpose2d(
        x, block.residual_conv.weight, block.residual_conv.bias, **options
    )
    torch.testing.assert_close(block(x, (8, 9)), bottleneck(block, near) + residual)


def bottleneck(block, near: torch.Tensor) -> torch.Tensor:
    """RMS norm, then a gate and a value from one projection, per position."""
    x = near.movedim(1, -1)
    x = x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6) * block.norm.scale
    gate_and_value = x @ block.pwconv1.weight.T + block.pwconv1.bias
    half = gate_and_value.shape[-1] // 2
    gate, value = gate_and_value[..., :half], gate_and_value[..., half:]
    return (
        gate * torch.sigmoid(gate) * value @ block.pwconv2.weight.T + block.pwconv2.bias
    ).movedim(-1, 1)


def test_sizes_of_the_original() -> None:
    # pwconv1 maps 128 to 2 x int(4/3 x 128) in a plane and to 2 x int(8/3 x 128) in a sequence.
    assert ConvNeXt2DBlock(7, 2, 128, 64).pwconv1.weight.shape == (2 * 170, 128)
    assert ConvNeXt1DBlock(7, 2, 128, 64).pwconv1.weight.shape == (2 * 341, 128)
    assert ConvNeXt2DBlock(7, 2, 8, 4, depthwise=False).dwconv.weight.shape == (8, 8, 7, 7)
    assert ConvNeXt2DBlock(7, 2, 8, 4).dwconv.weight.shape == (8, 1, 7, 7)
    assert ConvNeXt2DBlock(7, 2, 8, 4).residual_conv.weight.shape == (4, 8, 7, 7)


def test_without_a_size_the_smallest_is_restored() -> None:
    assert ConvNeXt1DBlock(7, 2, 4, 2, "transposed")(pattern(1, 4, 5)).shape == (1, 2, 9)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="mode must be 'normal' or 'transposed', found 'up'"):
        ConvNeXt1DBlock(7, 2, 4, 2, "up")
