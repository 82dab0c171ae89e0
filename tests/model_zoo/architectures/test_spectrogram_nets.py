"""The U-Nets over magnitudes. Reference: their specification, step by step in plain torch.

Properties: items of a batch are independent, and time and frequency can be swapped. Other values
are worked by hand.
"""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.architectures.spectrogram_nets import (
    SpectrogramNetLSTM,
    SpectrogramNetSimple,
    SpectrogramNetVAE,
)
from model_zoo.blocks.unet import (
    ConvBlock,
    Latent,
    LayerOptions,
    RecurrentBottom,
    UNetLevel,
    kl_divergence,
)
from model_zoo.errors import ConfigError, DeviceError
from tests.model_zoo.blocks.weights import fill, pattern

HABITS = LayerOptions(leak_factor=0.0, dropout_p=0.5)
SIZE = (20, 13, 2, 3)
"""Sizes after halving twice: 20 x 13, 10 x 6, 5 x 3."""

every_net = pytest.mark.parametrize(
    "kind", [SpectrogramNetSimple, SpectrogramNetLSTM, SpectrogramNetVAE]
)


def magnitudes(*shape: int) -> Tensor:
    return pattern(*shape).abs()


def three_convolutions(parts: nn.Module, x: Tensor) -> Tensor:
    """Convolution and SELU, three times, then batch normalization."""
    for block in parts:
        x = F.selu(F.conv2d(x, block[0].weight, block[0].bias, padding=1))
    assert [len(block) for block in parts] == [2, 2, 3]
    return normed(parts[2][2], x)


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def test_simple_step_by_step() -> None:
    """Two levels; in the decoder 6 doubles to 13, which needs an output padding of 1 and not 2."""
    net = fill(SpectrogramNetSimple(*SIZE, num_levels=2, normalize_input=True), size=0.2)
    data = magnitudes(2, 2, 20, 13)
    x = F.layer_norm(data, (2, 20, 13), net.input_norm.weight, net.input_norm.bias)
    outer = three_convolutions(net.down[0].convolutions, x)
    inner = three_convolutions(net.down[1].convolutions, F.max_pool2d(outer, 2))
    x = three_convolutions(net.bottom.convolutions, F.max_pool2d(inner, 2))
    for up, skip, padding, more in (
        (net.up[0], inner, (2, 2), (1, 1)),
        (net.up[1], outer, (2, 1), (1, 0)),
    ):
        upsampled = F.conv_transpose2d(x, up.grow.weight, up.grow.bias, 2, padding, more)
        x = three_convolutions(
            up.convolutions, torch.cat([normed(up.norm, upsampled), skip], dim=1)
        )
    x = F.conv2d(x, net.soft_conv.weight, net.soft_conv.bias)
    x = (x - net.output_norm.center[:, None]) * net.output_norm.scale[:, None]
    torch.testing.assert_close(net(data), x.sigmoid(), atol=1e-6, rtol=1e-5)


def test_dropout_of_the_upper_levels_is_at_most_two_fifths() -> None:
    net = SpectrogramNetSimple(64, 128, 1, 1)
    assert [up.dropout.p for up in net.up] == [0.5, 0.5, 0.5, 0.4, 0.4, 0.4]
    with_small_dropout = SpectrogramNetSimple(64, 128, 1, 1, dropout_p=0.1)
    assert [up.dropout.p for up in with_small_dropout.up] == 6 * [0.1]


@pytest.mark.parametrize("leak_factor", [0.0, 0.2])
def test_weights_are_initialized_for_the_activation(leak_factor: float) -> None:
    """He: variance 2 / ((1 + slope²) * inputs); SELU: 1 / inputs."""
    torch.manual_seed(0)
    inputs = 32 * 9
    gain = 2 / (1 + leak_factor**2) if leak_factor else 1.0
    std = ConvBlock(32, 64, leak_factor)[0].weight.std().item()
    assert std == pytest.approx(math.sqrt(gain / inputs), rel=0.03)


@pytest.mark.parametrize("input_axis", [0, 1])
def test_lstm_bottom_step_by_step(input_axis: int) -> None:
    """One item and one position of the sequence at a time."""
    bins, frames = 4, 3
    bottom = fill(RecurrentBottom(UNetLevel(6, bins, frames), HABITS, 2, 5, input_axis))
    x = pattern(2, 3, bins, frames)
    expected = torch.zeros(2, 6, bins, frames)
    for item in range(2):
        columns = [x[item, :, :, t] for t in range(frames)]
        rows = [x[item, :, f] for f in range(bins)]
        tokens = torch.stack([position.flatten() for position in (columns, rows)[input_axis]])
        hidden = bottom.lstm(tokens)[0]
        out = F.selu(bottom.linear[2](F.selu(bottom.linear[0](hidden))))
        for position, features in enumerate(out):
            if input_axis == 0:
                expected[item, :, :, position] = features.view(6, bins)
            else:
                expected[item, :, position] = features.view(6, frames)
    torch.testing.assert_close(bottom(x), expected, atol=1e-6, rtol=1e-5)


def test_swapping_the_lstm_axis_transposes_the_output() -> None:
    """Property: an LSTM along time equals one along frequency on the transposed plane."""
    along_time, along_frequency = (
        fill(RecurrentBottom(UNetLevel(6, 4, 4), HABITS, 1, 5, axis)) for axis in (0, 1)
    )
    x = pattern(2, 3, 4, 4)
    torch.testing.assert_close(along_time(x), along_frequency(x.mT).mT)


@pytest.mark.parametrize("input_axis", [0, 1])
def test_lstms_run_over_the_sequence_not_the_batch(input_axis: int) -> None:
    """Property: shuffled items give shuffled outputs; a shuffled sequence gives other outputs."""
    bottom = fill(RecurrentBottom(UNetLevel(6, 4, 4), HABITS, 2, 5, input_axis))
    x, order, axis = pattern(4, 3, 4, 4), torch.tensor([2, 0, 3, 1]), 3 - input_axis
    torch.testing.assert_close(bottom(x[order]), bottom(x)[order], atol=1e-6, rtol=1e-5)
    shuffled = bottom(x.index_select(axis, order))
    assert (shuffled - bottom(x).index_select(axis, order)).abs().max() > 1e-3


@every_net
def test_items_of_a_batch_are_independent(kind: type[SpectrogramNetSimple]) -> None:
    net = fill(kind(*SIZE, num_levels=2), size=0.8)
    pair = magnitudes(2, 2, 20, 13)
    louder = torch.stack([pair[0], 5 * pair[1]])
    assert torch.allclose(net(pair)[0], net(louder)[0], atol=1e-6)
    assert not torch.allclose(net(pair)[1], net(louder)[1], atol=1e-3)


@pytest.mark.parametrize(("hidden_size", "width"), [(1024, 12), (12, 12), (7, 7)])
def test_hidden_size_is_an_upper_bound(hidden_size: int, width: int) -> None:
    """The bottom of two levels has 4 * 3 features."""
    net = SpectrogramNetLSTM(*SIZE, num_levels=2, hidden_size=hidden_size)
    assert net.bottom.lstm.hidden_size == width


def test_divergence_by_hand() -> None:
    """KL of N(1, 1) from N(0, 1) is 1 / 2; of N(0, 2) it is (4 - ln 4 - 1) / 2."""
    divergence = kl_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, math.log(2)]))
    assert divergence.item() == pytest.approx((1 / 2 + (3 - math.log(4)) / 2) / 2)
    assert kl_divergence(torch.zeros(3), torch.zeros(3)).item() == 0


def test_latent_is_its_mean_in_evaluation_and_sampled_in_training() -> None:
    latent, tokens = fill(Latent(3)), pattern(2, 4, 3)
    mu, log_sigma = latent.mu(tokens), latent.log_sigma(tokens)
    assert torch.equal(latent(tokens), mu)
    assert latent.losses == {}
    latent.train()
    torch.manual_seed(1)
    sample = latent(tokens)
    torch.manual_seed(1)
    noise = torch.randn(2, 4, 3)
    torch.testing.assert_close(sample, mu + log_sigma.exp() * noise)
    torch.testing.assert_close(latent.losses["divergence"], kl_divergence(mu, log_sigma))


def test_latent_of_a_huge_deviation_is_finite() -> None:
    latent = fill(Latent(3)).train()
    with torch.no_grad():
        latent.log_sigma.bias.fill_(1e4)
    assert latent(pattern(2, 4, 3)).isfinite().all()
    assert latent.losses["divergence"].item() == pytest.approx(math.exp(20) / 2, rel=1e-3)


def test_a_trained_vae_can_be_copied() -> None:
    net = SpectrogramNetVAE(*SIZE, num_levels=2).train()
    net(magnitudes(2, 2, 20, 13))
    assert net.get_kl_div().item() > 0
    copied = copy.deepcopy(net)
    assert copied.get_kl_div().item() == 0
    assert torch.equal(copied.soft_conv.weight, net.soft_conv.weight)


@pytest.mark.parametrize("name", ["hardtanh", "prelu", "relu", "selu", "tanh"])
@pytest.mark.parametrize(("level", "expected"), [(-4.0, 0.0), (0.5, None), (40.0, 1.0)])
def test_masks_are_clipped_to_0_and_1(name: str, level: float, expected: float | None) -> None:
    net = fill(SpectrogramNetSimple(*SIZE, mask_act_fn=name, num_levels=2))
    with torch.no_grad():
        net.soft_conv.weight.zero_()
        net.soft_conv.bias.fill_(level)
        net.output_norm.center.zero_()
        net.output_norm.scale.fill_(1)
    masks = net(magnitudes(1, 2, 20, 13))
    known = {"tanh": math.tanh(0.5), "selu": 0.5 * 1.0507009873554805}
    target = known.get(name, 0.5) if expected is None else expected
    torch.testing.assert_close(masks, torch.full_like(masks, target), atol=1e-6, rtol=1e-5)


def test_softmax_masks_add_up_to_1() -> None:
    net = fill(SpectrogramNetSimple(*SIZE, mask_act_fn="softmax", num_levels=2, num_masks=3))
    stems = net(magnitudes(2, 2, 20, 13)).unflatten(1, (3, 2))
    torch.testing.assert_close(stems.sum(1), torch.ones(2, 2, 20, 13))
    assert stems.std(dim=1).min() > 0


@pytest.mark.parametrize("shape", [(16, 16), (17, 19), (23, 8), (31, 12)])
@every_net
def test_planes_keep_their_size(kind: type[SpectrogramNetSimple], shape: tuple[int, int]) -> None:
    net = fill(kind(*shape, 1, 2, num_levels=3), size=0.2)
    assert net(magnitudes(1, 1, *shape)).shape == (1, 1, *shape)


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"num_levels": 6},
        "num_fft_bins=20 x num_frames=13 cannot be halved 6 times: take num_levels",
    ),
    ({"num_frames": 0}, "sizes and counts must be 1 or more"),
    ({"num_frames": 1}, "cannot be halved 2 times: take more bins and frames"),
    ({"mask_act_fn": "sigmod"}, "mask_act_fn must be one of hardtanh, prelu, .* found 'sigmod'"),
    ({"mask_act_fn": "softmax"}, "shares the mixture among stems, give it two at least"),
    ({"dropout_p": 1.0}, "dropout_p must be 0 or more and below 1"),
    ({"leak_factor": -0.1}, "leak_factor must be 0 or more"),
    ({"input_axis": 2}, "input_axis must be 0 or 1, found 2"),
    ({"recurrent_depth": 0}, "recurrent_depth and hidden_size must be 1 or more"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_invalid_sizes_are_refused(options: dict[str, Any], sentence: str) -> None:
    size = {"num_fft_bins": 20, "num_frames": 13, "num_levels": 2}
    with pytest.raises(ConfigError, match=sentence):
        SpectrogramNetLSTM(**{**size, **options})


def test_the_suggested_number_of_levels_works() -> None:
    with pytest.raises(ConfigError) as caught:
        SpectrogramNetSimple(20, 13)
    suggestion = re.search(r"num_levels=(\d)", str(caught.value))
    assert suggestion is not None
    assert suggestion[1] == "3"
    net = SpectrogramNetSimple(20, 13, num_levels=3).train()
    assert net(magnitudes(1, 1, 20, 13)).shape == (1, 1, 20, 13)


def test_planes_of_another_size_are_refused() -> None:
    net = SpectrogramNetSimple(20, 13, num_levels=2)
    with pytest.raises(ConfigError, match=r"found \(1, 1, 20, 12\), give \(batch, 1, 20, 13\)"):
        net(magnitudes(1, 1, 20, 12))


def test_missing_devices_are_refused() -> None:
    with pytest.raises(DeviceError, match="no device 'cuda:99'"):
        SpectrogramNetSimple(20, 13, num_levels=2, device="cuda:99")


U_NET = {
    **{"num_fft_bins": 32, "num_frames": 8, "hidden_channels": 2, "num_levels": 2},
    **{"hop_size": 16, "sample_rate": 8000},
}


@pytest.mark.parametrize(("bins", "window"), [(32, 64), (33, 64), (1024, 2048), (513, 1024)])
def test_window_by_the_number_of_bins(bins: int, window: int) -> None:
    options = {**U_NET, "num_fft_bins": bins, "num_frames": 9, "hop_size": window // 8}
    network = registry.build("spectrogram_net_simple", options)
    assert network.segment == network.config.to_dict()["segment"] == window
    assert network.fourier.window.numel() == window


def test_long_mixtures_are_processed_in_blocks() -> None:
    """2.5 blocks of 8 frames: each is processed alone, and the last is padded with silence."""
    network = fill(registry.build("spectrogram_net_lstm", U_NET), size=0.2)
    spectrum = network.fourier.analyze(pattern(2, 1, 19 * 16 + 5))
    assert spectrum.shape[-1] == 20
    padded = F.pad(spectrum.abs()[:, :, :32], (0, 4))
    expected_masks = [network.network(padded[..., at : at + 8]) for at in (0, 8, 16)]
    expected = torch.cat(expected_masks, dim=-1)[..., :20]
    features = network.fourier.features(spectrum)
    assert features.shape == (6, 1, 32, 8)
    masks = network.fourier.masks(spectrum, network.core(features))
    torch.testing.assert_close(masks[:, 0, :, :32], expected, atol=1e-6, rtol=1e-5)
    assert not masks[:, 0, :, 32:].any()


@pytest.mark.parametrize("bins", [32, 33])
def test_masks_of_one_return_the_mixture(bins: int) -> None:
    """Completely for an odd number of bins, without the highest frequency for an even number."""
    options = {**U_NET, "num_fft_bins": bins, "mask_act_fn": "hardtanh"}
    network = registry.build("spectrogram_net_simple", options).eval()
    with torch.no_grad():
        network.network.soft_conv.weight.zero_()
        network.network.soft_conv.bias.fill_(2.0)
    mixture = pattern(2, 1, 500)
    spectrum = torch.stft(mixture[:, 0], 64, 16, window=torch.hann_window(64), return_complex=True)
    spectrum[:, bins:] = 0
    expected = torch.istft(spectrum, 64, 16, window=torch.hann_window(64), length=500)
    torch.testing.assert_close(network(mixture)[:, 0, 0], expected, atol=1e-5, rtol=1e-4)
    assert (bins == 33) == torch.allclose(expected, mixture[:, 0], atol=1e-5)


def test_two_channels_are_processed_together() -> None:
    wide = fill(registry.build("spectrogram_net_simple", {**U_NET, "num_channels": 2}), size=0.8)
    pair = pattern(1, 2, 400)
    other = torch.cat([pair[:, :1], 3 * pair[:, 1:]], dim=1)
    assert not torch.allclose(wide(pair)[:, :, 0], wide(other)[:, :, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_channels": 3}, "num_channels must be 1 or 2, found 3"),
        ({"num_levels": 6}, "cannot be halved 6 times: take num_levels=3"),
        ({"mask_act_fn": "softmax"}, "give it two at least"),
        ({"input_axis": 2}, "input_axis must be one of 0, 1, found 2"),
        ({"hop_size": 64}, "hop_size must be below window_size=64"),
        ({"hidden_chanels": 2}, "did you mean 'hidden_channels'"),
        ({"num_frames": "many"}, "num_frames must be a whole number"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        registry.build("spectrogram_net_vae", {**U_NET, **options})
