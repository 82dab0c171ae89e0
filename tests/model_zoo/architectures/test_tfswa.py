"""The TFSWA networks. Reference: their definitions, step by step in plain torch.

Parameter counts are worked by hand. Names and examples are from ``004_a35b6f546fb4c9a1.txt``;
tests whose names end in ``as_in_the_seed`` contain its examples unchanged.
"""

from __future__ import annotations

import inspect
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.architectures.multi_scale_tfswa import Balance, MultiScaleTFSWASeparator
from model_zoo.architectures.tfswa_resunet import (
    RCM,
    SerialTFSWABlock,
    TFSWAResUNet,
    TFSWAResUNetSeparator,
)
from model_zoo.architectures.tfswa_unet import (
    LightweightTFSWA,
    TFSWAUNet,
    TFSWAUNetSeparator,
    instance_normalized,
)
from model_zoo.blocks.attention import attention_weights
from model_zoo.blocks.plane_attention import PlaneAttention
from model_zoo.blocks.tfswa import TFSWABlock
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern

SEED = """
_target_: src.models.tfswa_unet.TFSWAUNet
in_channels: 2  # Real and imaginary parts
out_channels: 2  # Vocals and accompaniment masks
depths: [2, 2, 6, 2]  # Number of TFSWA blocks per stage
dims: [32, 64, 128, 256]  # Feature dimensions
window_size: 8
shift_size: 4
num_heads: 8
"""
MASKING = ("tfswa_unet", "multi_scale_tfswa", "lightweight_tfswa")


def small(name: str, **options: object) -> Any:
    return fill(registry.build(name, {**registry.architecture(name).small_options, **options}))


def features_of(network: Any, mixture: Tensor) -> Tensor:
    return network.fourier.features(network.fourier.analyze(mixture))


def unet(**options: Any) -> TFSWAUNet:
    usual = {"depths": [2, 1, 1], "dims": [4, 8, 8], "window_size": 2, "shift_size": 1}
    return fill(TFSWAUNet(**{**usual, "num_heads": 2, **options}))


def test_config_as_in_the_seed() -> None:
    config = yaml.safe_load(SEED)
    assert config.pop("_target_").endswith(".TFSWAUNet")
    with torch.device("meta"):
        network = TFSWAUNet(**config)
        masks = network(torch.empty(1, 2, 64, 128))
    assert masks.shape == (1, 2, 64, 128)
    signature = inspect.signature(TFSWAUNet).parameters
    defaults = {name: signature[name].default for name in config}
    assert {key: [*v] if isinstance(v, tuple) else v for key, v in defaults.items()} == config


def test_block_as_in_the_seed() -> None:
    block = TFSWABlock(in_channels=16, window_size=4, shift_size=2, num_heads=4)
    assert block.eval()(pattern(1, 16, 8, 12)).shape == (1, 16, 8, 12)
    assert [*inspect.signature(TFSWABlock).parameters][:4] == [
        *("in_channels", "window_size", "shift_size", "num_heads"),
    ]


def forward(self: Any, x: Tensor) -> Tensor:
    """The seed's forward pass, unchanged."""
    # Encoder with skip connections
    skip_connections = []
    for block in self.encoder:
        x = block(x)
        skip_connections.append(x)

    # Decoder with attention fusion
    for i, block in enumerate(self.decoder):
        skip = skip_connections[-(i + 2)]  # Reverse order
        x = block(x, skip)  # Attention-based fusion

    return self.output_head(x)


def test_forward_pass_as_in_the_seed() -> None:
    x = pattern(2, 2, 16, 24)
    lightweight = fill(LightweightTFSWA(2, 2, [1, 1], [4, 8], 4, 2, 2, patch=3))
    for network in (unet(), unet(skip_projection=False), lightweight):
        assert torch.equal(network(x), forward(network, x))


def compute_attention(self, q, k, v, mask=None):
    """The seed's attention, unchanged."""
    # Scaled dot-product attention
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(self.dim)
    if mask is not None:
        scores.masked_fill_(mask == 0, -1e9)
    weights = F.softmax(scores, dim=-1)
    output = torch.matmul(weights, v)
    return output, weights


def test_attention_as_in_the_seed() -> None:
    block, x = fill(TFSWABlock(8, 4, 2, 2)), pattern(1, 8, 6, 7)
    for layer in (block.time, block.freq, block.window):
        tokens, regions = layer.att_norm(layer.sequences(x)), layer.regions(x)
        query, key, value = layer.att._split(tokens)
        mask = None if regions is None else (regions == regions.mT)[:, None]
        this = type("This", (), {"dim": 4})  # features of one head
        output, weights = compute_attention(this, query, key, value, mask)
        torch.testing.assert_close(layer.att.weights(tokens, regions), weights)
        torch.testing.assert_close(layer.weights(x), weights)
        torch.testing.assert_close(attention_weights(query, key, mask), weights)
        mixed = layer.att.c_proj(output.transpose(1, 2).flatten(2))
        torch.testing.assert_close(layer.att(tokens, regions), mixed)


@pytest.mark.parametrize(("dim", "parameters"), [(32, 42_112), (256, 2_630_656)])
def test_parameters_of_a_block(dim: int, parameters: int) -> None:
    """Entry and norm; three times two norms, attention and MLP; fusion of three, and norm."""
    entry, fusion = dim**2 + dim + 2 * dim, 3 * dim**2 + dim + 2 * dim
    attention = 4 * dim + (4 * dim**2 + dim) + (8 * dim**2 + 5 * dim)
    block = TFSWABlock(dim, 8, 4, 8)
    assert sum(p.numel() for p in block.parameters()) == entry + 3 * attention + fusion
    assert entry + 3 * attention + fusion == parameters


def test_skip_projections_add_their_parameters() -> None:
    with torch.device("meta"):
        both = [TFSWAUNetSeparator(skip_projection=has).parameter_count() for has in (True, False)]
    assert both[0] - both[1] == sum(d * d + d + 2 * d for d in (32, 64, 128))


def test_the_lightweight_network_has_few_parameters() -> None:
    with torch.device("meta"):
        assert registry.architecture("lightweight_tfswa")().parameter_count() < 5_000_000


def test_a_block_matches_its_definition() -> None:
    block, x = fill(TFSWABlock(8, 4, 2, 2)), pattern(2, 8, 9, 6)
    convolution, norm = block.entry
    entry_output = norm(
        torch.einsum("od,bdtf->botf", convolution.weight[..., 0, 0], x)
        + convolution.bias[:, None, None]
    )
    branches = torch.cat(
        [block.time(entry_output), block.freq(entry_output), block.window(entry_output)], 1
    )
    convolution, norm, _ = block.fusion
    mixed = torch.einsum("od,bdtf->botf", convolution.weight[..., 0, 0], branches)
    expected = x + F.gelu(norm(mixed + convolution.bias[:, None, None]))
    torch.testing.assert_close(block(x), expected)


def test_every_second_block_is_shifted() -> None:
    network = TFSWAUNet(depths=[3, 2], dims=[4, 4], window_size=8, shift_size=4, num_heads=2)
    shifts = [block.window.shift for stage in network.encoder for block in stage.blocks]
    assert shifts == [(0, 0), (4, 4), (0, 0), (0, 0), (4, 4)]


def test_skips_are_projected_and_added() -> None:
    for has in (True, False):
        network = unet(skip_projection=has)
        stage, deeper, skip = network.decoder[-1], pattern(1, 8, 4, 4), pattern(1, 4, 8, 8)
        projected = stage.bridge[1](stage.bridge[0](skip)) if has else skip
        x = stage.entry(deeper) + projected
        for block in stage.blocks:
            x = block(x)
        torch.testing.assert_close(stage(deeper, skip), x)


def test_planes_are_padded_with_zeros() -> None:
    network, x = unet(), pattern(1, 2, 13, 21)
    padded = torch.zeros(1, 2, 16, 24)
    padded[:, :, :13, :21] = x
    assert network.multiple == (8, 8)
    assert torch.equal(network(x), network(padded)[:, :, :13, :21])


def test_instance_normalization_by_hand() -> None:
    """Bins of 1, 3 have mean 2 and deviation 1; bins of -6, 0, 6, 0 have 0 and sqrt(18)."""
    x = torch.tensor([[[[1.0, -6.0], [3.0, 0.0], [1.0, 6.0], [3.0, 0.0]]]])
    root = 6 / math.sqrt(18)
    expected = torch.tensor([[[[-1.0, -root], [1.0, 0.0], [-1.0, root], [1.0, 0.0]]]])
    torch.testing.assert_close(instance_normalized(x), expected)
    assert torch.equal(instance_normalized(torch.zeros(1, 2, 3, 4)), torch.zeros(1, 2, 3, 4))


def test_features_do_not_depend_on_the_level() -> None:
    network, mixture = small("tfswa_unet"), pattern(1, 1, 3000)
    features = features_of(network, mixture)
    assert features.shape == (1, 2, 47, 128)
    torch.testing.assert_close(features.mean(2), torch.zeros(1, 2, 128), atol=1e-5, rtol=0)
    louder = features_of(network, 7 * mixture)
    torch.testing.assert_close(louder, features, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(network(7 * mixture), 7 * network(mixture), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", MASKING)
def test_masks_lie_between_0_and_1(name: str) -> None:
    network = small(name)
    masks = network.core(100 * features_of(network, pattern(1, 1, 3000)))
    assert masks.shape[1] == 2
    assert 0 <= masks.min() < masks.max() <= 1


def with_masks(network: nn.Module, logit: float) -> nn.Module:
    """Set a constant mask in the network, given before the sigmoid."""
    heads = [
        m
        for m in network.modules()
        if isinstance(m, nn.Sequential) and len(m) and isinstance(m[-1], nn.Sigmoid)
    ]
    with torch.no_grad():
        for head in heads:
            head[-2].weight.zero_()
            head[-2].bias.fill_(logit)
    return network


@pytest.mark.parametrize("name", MASKING)
@pytest.mark.parametrize("logit", [40.0, 0.0, math.log(3)])
def test_constant_masks_scale_the_mixture(name: str, logit: float) -> None:
    """With several resolutions, their shares add up to 1. Nyquist is not part of it."""
    network = with_masks(small(name), logit)
    time = torch.arange(3000.0)
    mixture = (0.4 * torch.sin(0.3 * time) + 0.2 * torch.sin(1.1 * time))[None, None]
    level = 1 / (1 + math.exp(-logit))
    stems = network(mixture)[0, :, 0, 256:-256]
    expected = level * mixture[0, :, 256:-256].expand(2, -1)
    torch.testing.assert_close(stems, expected, atol=1e-4, rtol=1e-3)


def test_shares_of_resolutions() -> None:
    """Logits of 0 and ln 3 give 1/4 and 3/4."""
    balance = Balance(2, 1)
    with torch.no_grad():
        balance.logits.copy_(torch.tensor([[0.0], [math.log(3)]]))
    balanced = balance([torch.ones(1, 1, 2, 3), torch.full((1, 1, 2, 2), 0.5)])
    expected = torch.tensor([0.25, 0.25, 0.25, 0.375, 0.375]).expand(1, 1, 2, 5)
    torch.testing.assert_close(balanced, expected)


def test_a_resolution_with_all_of_the_share() -> None:
    """The masks of the others have no effect; their spectra still do, through attention."""
    network: MultiScaleTFSWASeparator = small("multi_scale_tfswa")
    mixture = pattern(1, 1, 2000)
    with torch.no_grad():
        network.network.balance.logits[0] += 200
        spectrum = network.fourier.analyze(mixture)
        masks = network.core(network.fourier.features(spectrum))
        masked = spectrum[:, 0, :128, :] * masks[:, 0, :, :128].mT
        masked_and_nyquist = torch.cat([masked, torch.zeros(1, 1, masked.shape[-1])], 1)
        window = torch.hann_window(256)
        expected = torch.istft(masked_and_nyquist, 256, 64, window=window, length=2000)
    torch.testing.assert_close(network(mixture)[:, 0, 0], expected, atol=1e-5, rtol=1e-4)


def test_resolutions_interact_only_through_attention() -> None:
    network = small("multi_scale_tfswa").network
    x = pattern(1, 2, 16, 192)
    other = torch.cat([x[..., :128], -x[..., 128:]], -1)
    first = [network(one)[..., :128] for one in (x, other)]
    assert (first[0] - first[1]).abs().max() > 1e-5
    with torch.no_grad():
        for layer in (network.exchange.att.c_proj, network.exchange.mlp[-1]):
            layer.weight.zero_()
            layer.bias.zero_()
    torch.testing.assert_close(*[network(one)[..., :128] for one in (x, other)])


def resunet(bottleneck: int = 2) -> TFSWAResUNet:
    return fill(TFSWAResUNet(4, 4, (8, 12), 2, bottleneck, (2, 2), 2))


def residual_u_net(network: TFSWAResUNet, x: Tensor) -> Tensor:
    """The network without its bottleneck: two levels of modules, pooling and upsampling."""
    outer = network.encoder[0](x)
    inner = network.encoder[1](F.avg_pool2d(outer, 2))
    up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    x = network.decoder[0](torch.cat([up(F.avg_pool2d(inner, 2)), inner], 1))
    return network.decoder[1](torch.cat([up(x), outer], 1))


def test_without_its_bottleneck_it_is_a_residual_u_net() -> None:
    network, x = resunet(), pattern(2, 4, 8, 12)
    assert (network(x) - residual_u_net(network, x)).abs().max() > 1e-3
    with torch.no_grad():
        for layer in (m for m in network.modules() if isinstance(m, PlaneAttention)):
            for last in (layer.att.c_proj, layer.mlp[-1]):
                last.weight.zero_()
                last.bias.zero_()
    torch.testing.assert_close(network(x), residual_u_net(network, x))
    torch.testing.assert_close(resunet(bottleneck=0)(x).shape, x.shape)


def test_a_residual_module_matches_its_definition() -> None:
    module, x = fill(RCM(3, 5)), pattern(2, 3, 6, 4)
    first, _, one, second, _, two = module.convolutions
    h = F.conv2d(F.gelu(first(x)), one.weight, one.bias, padding=1)
    h = F.conv2d(F.gelu(second(h)), two.weight, two.bias, padding=1)
    torch.testing.assert_close(
        module(x), h + F.conv2d(x, module.shortcut.weight, module.shortcut.bias)
    )


def test_the_serial_block_shifts_its_last_windows_by_half() -> None:
    grids = [getattr(layer, "shift", None) for layer in SerialTFSWABlock(8, 2, (5, 4), 2)]
    assert grids == [None, None, (0, 0), (2, 2)]


def test_parameters_of_the_paper() -> None:
    """Four modules per level with the paper's widths, and MLPs twice as wide."""

    def module(i: int, o: int) -> int:
        return 2 * i + (9 * i * o + o) + 2 * o + (9 * o * o + o) + (i * o + o)

    down = [*pairwise((8, 32, 64, 128, 256, 384))]
    up = [(2 * inner, outer) for outer, inner in down]
    convolutions = sum(module(i, o) + 3 * module(o, o) for i, o in down + up)
    attention = 4 * 384 + (4 * 384**2 + 384) + (4 * 384**2 + 3 * 384)
    with torch.device("meta"):
        count = TFSWAResUNetSeparator().parameter_count()
    assert count == convolutions + 16 * attention == 44_435_744


def test_subbands_of_the_paper() -> None:
    """3 s are 301 frames, padded to 320 in the network; 8 x 256 bins; subband 1 starts at 256."""
    with torch.device("meta"):
        network = TFSWAResUNetSeparator()
    spectrum = torch.zeros(1, 2, 1025, 301, dtype=torch.complex64)
    spectrum[:, 1, 256 + 3, 7] = 3 + 4j
    features = network.fourier.features(spectrum)
    assert features.shape == (1, 8, 301, 256)
    assert features.nonzero().tolist() == [[0, 2 * 1 + 1, 7, 3]]  # subband 1, channel 1
    assert features.max().item() == pytest.approx(5 / math.sqrt(3 / 8 * 2048))


def test_the_residual_u_net_gives_magnitudes_with_the_phase_of_the_mixture() -> None:
    frontend = small("tfswa_resunet", stems=("a", "b")).fourier
    spectrum = frontend.analyze(pattern(1, 2, 1500))
    features = frontend.features(spectrum)
    both = torch.cat([features, -0.5 * features], 1)
    without_nyquist = spectrum.clone()
    without_nyquist[:, :, -1] = 0  # Nyquist
    stems_ = frontend.apply_output(spectrum, both)
    torch.testing.assert_close(stems_[:, 0], without_nyquist, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(stems_[:, 1], 0.5 * without_nyquist, atol=1e-5, rtol=1e-4)
    silence = torch.zeros_like(spectrum)
    assert torch.equal(frontend.apply_output(silence, both), torch.zeros_like(stems_))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tfswa_unet", {"depths": [1]}, "depths must be as many as dims: 1 instead of 2"),
        ("tfswa_unet", {"dims": [8], "depths": [1]}, "at least two levels"),
        ("tfswa_unet", {"num_heads": 3}, "dims must be multiples of num_heads=3"),
        ("tfswa_unet", {"depths": [0, 1]}, "dims and depths must be 1 or more"),
        ("tfswa_unet", {"shift_size": 4}, "shift_size must be below attention_window=4"),
        ("multi_scale_tfswa", {"hop_size": 128}, "half of the shortest window, 128 samples"),
        ("multi_scale_tfswa", {"window_size": 250}, "multiple of 4"),
        ("lightweight_tfswa", {"patch": 0}, "patch must be at least 1, found 0"),
        ("tfswa_resunet", {"num_heads": 5}, "the last of dims must be a multiple of num_heads=5"),
        ("tfswa_resunet", {"window_size": 252}, "window_size must be a multiple of 8"),
        ("tfswa_resunet", {"attention_window": [3]}, "attention_window must be frames and bins"),
        ("tfswa_resunet", {"audio_channels": 3}, "audio_channels must be 1 or 2"),
    ],
)
def test_invalid_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(name, **options)
