"""Excerpts and attention maps of networks whose output and attention are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo import registry
from model_zoo.blocks.attention import AttentionRegisterRoFormerBlock, RoFormerBlock
from model_zoo.blocks.plane_attention import ShiftedWindowAttention
from model_zoo.separator import Separator
from tests.model_zoo.small import small_network
from tests.stemcli.engine.stubs import Scaling
from trainers.config import Recipe
from trainers.data.multitrack import ValidationAudio, loudest
from trainers.loop.loggers.attention_maps import record_attention
from trainers.loop.validation import render_excerpt

WIDTH, HEADS = 8, 2


def network(recipe: Recipe, num_layers: int) -> Separator:
    options = {**recipe.model.options, "num_layers": num_layers}
    return registry.build("melroformer", options).eval()


def track(rate: int, seconds: float, stems: int = 1) -> ValidationAudio:
    """A tone that is louder in its second half; the second stem is a constant."""
    time = torch.arange(round(rate * seconds)) / rate
    loud = torch.where(time < seconds / 2, 0.1, 0.8) * torch.sin(2 * math.pi * 300 * time)
    waves = torch.stack([loud, torch.full_like(loud, 0.01)])[:stems, None].expand(-1, 2, -1)
    return ValidationAudio("song", waves.sum(0), waves)


@pytest.mark.parametrize(
    ("samples", "length", "expected"),
    [
        ([0, 1, 1, 0, 3, 0], 1, (4, 5)),
        ([0, 2, 2, 0, 0, 2], 2, (1, 3)),
        ([5, 0, 0, -4, -4], 2, (3, 5)),
        ([1, 2], 2, (0, 2)),
        ([1, 2], 9, (0, 2)),
    ],
)
def test_the_loudest_samples(samples: list[float], length: int, expected: tuple[int, int]) -> None:
    assert loudest([torch.tensor([samples]).float()], length) == range(*expected)


def test_an_excerpt_is_the_loudest_part_with_its_estimates() -> None:
    model = Scaling(stems=("vocals", "drums"), channels=2).train()
    model.register_parameter("somewhere", nn.Parameter(torch.zeros(1)))
    song = track(model.sample_rate, 2.0, stems=2)
    excerpt = render_excerpt(model, song, 30, 0.5, residual="rest")
    piece = loudest([song.mixture], model.sample_rate // 2)
    start, stop = piece.start, piece.stop
    mixture, stems = song.mixture[:, start:stop].numpy(), song.stems[..., start:stop].numpy()
    expected = {
        "mixture": mixture,
        "vocals/estimate": 0.1 * mixture,
        "vocals/true": stems[0],
        "drums/estimate": 0.2 * mixture,
        "drums/true": stems[1],
        "rest/estimate": 0.7 * mixture,
        "rest/true": np.zeros_like(mixture),
    }
    assert (excerpt.step, excerpt.song, excerpt.sample_rate) == (30, "song", 8000)
    assert excerpt.waves.keys() == expected.keys()
    for name, wave in expected.items():
        np.testing.assert_allclose(excerpt.waves[name], wave, atol=1e-6)
    assert start >= model.sample_rate
    assert excerpt.attention == {}


@pytest.mark.parametrize("training", [True, False])
def test_rendering_leaves_the_network_and_its_mode_unchanged(
    recipe: Recipe, training: bool
) -> None:
    model = network(recipe, 1).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    render_excerpt(model, track(model.sample_rate, 1.5), 1, 1.0)
    assert all(module.training is training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_short_song_is_rendered_in_full(recipe: Recipe) -> None:
    model = network(recipe, 1)
    excerpt = render_excerpt(model, track(model.sample_rate, 0.3), 1, 8.0)
    assert excerpt.waves["vocals/estimate"].shape == (2, 2400)


def test_attention_of_first_middle_and_last_layers_is_recorded(recipe: Recipe) -> None:
    model = network(recipe, 5)
    excerpt = render_excerpt(model, track(model.sample_rate, 1.0), 1, 1.0)
    bands, frames = model.config.num_bands, 1 + model.segment // model.config.hop_size
    shapes = {name: weights.shape for name, weights in excerpt.attention.items()}
    assert shapes == {
        **{f"freq_blocks.{layer}": (bands, bands) for layer in (0, 2, 4)},
        **{f"time_blocks.{layer}": (frames, frames) for layer in (0, 2, 4)},
    }


def test_every_kind_of_attention_of_a_unet_is_recorded() -> None:
    """Time, frequency and windows on both sides of the U-Net: encoder levels 0 and 1, decoder 0."""
    sizes = registry.architecture("tfswa_unet").small_options
    model = registry.build("tfswa_unet", sizes).eval()
    with torch.no_grad(), record_attention(model) as maps:
        model(torch.sin(torch.arange(2, 3002.0)).view(1, 1, -1))
    # 47 frames padded to 48 and 128 bins, halved at the second level; windows of 4 by 4 bins.
    sides = {"time": (48, 24), "freq": (128, 64), "window": (16, 16)}
    expected = {}
    for kind, (outer, inner) in sides.items():
        expected[f"network.encoder.0.blocks.0.{kind}"] = (outer, outer)
        expected[f"network.encoder.1.blocks.0.{kind}"] = (inner, inner)
        expected[f"network.decoder.0.blocks.0.{kind}"] = (outer, outer)
    assert {name: weights.shape for name, weights in maps.items()} == expected


def test_all_attention_kinds_of_one_block_are_recorded() -> None:
    """Each of three blocks in a row has time, frequency, window and shifted window attention."""
    kind = registry.architecture("tfswa_resunet")
    model = registry.build("tfswa_resunet", {**kind.small_options, "bottleneck": 3}).eval()
    with torch.no_grad(), record_attention(model) as maps:
        model(torch.sin(torch.arange(2.0, 2 + 2 * 3000)).view(1, 2, -1))
    parts = ("time", "freq", "window", "shifted")
    assert maps.keys() == {f"network.bottleneck.{i}.{part}" for i in range(3) for part in parts}


def test_window_maps_leave_out_padding() -> None:
    """3 frames in windows of 2: padding of the second window gets no attention."""
    layer = ShiftedWindowAttention(WIDTH, HEADS, (2, 1))
    nn.init.zeros_(layer.att.c_attn.weight)
    with torch.no_grad(), record_attention(nn.ModuleList([layer])) as maps:
        layer(torch.zeros(1, WIDTH, 3, 1))
    mean = np.array([[0.75, 0.25], [0.25, 0.75]])  # of half each and of all to itself
    np.testing.assert_allclose(maps["0"], (np.log10(2 * mean) + 1) / 2, atol=1e-5)


def test_networks_without_attention_have_no_maps() -> None:
    model = small_network()
    with record_attention(model) as maps:
        model(torch.zeros(1, 1, 2000))
    assert maps == {}


def test_only_the_first_pass_is_recorded(recipe: Recipe) -> None:
    model, wave = network(recipe, 1), track(8000, 0.5).mixture[None]
    with record_attention(model) as maps:
        model(wave)
        first = {name: weights.copy() for name, weights in maps.items()}
        model(wave.flip(-1) ** 2)
    assert all(np.array_equal(maps[name], weights) for name, weights in first.items())


def attention_map(block: nn.Module, tokens: int) -> np.ndarray:
    with torch.no_grad(), record_attention(nn.ModuleList([block])) as maps:
        block(torch.sin(torch.arange(3.0 * tokens * WIDTH)).reshape(3, tokens, WIDTH))
    return maps["0"]


@pytest.mark.parametrize("tokens", [4, 128, 300])
def test_even_attention_is_half_of_the_scale(tokens: int) -> None:
    """With queries of zero every token gets an equal share."""
    block = RoFormerBlock(WIDTH, HEADS, tokens)
    nn.init.zeros_(block.att.c_attn.weight)
    side = min(tokens, 128)
    np.testing.assert_allclose(attention_map(block, tokens), np.full((side, side), 0.5), atol=1e-5)


def test_attention_only_to_itself_is_a_diagonal() -> None:
    """A window of one token gives it all attention, 4 times the even share, and the others none."""
    block = AttentionRegisterRoFormerBlock(WIDTH, HEADS, 4, window_size=0)
    expected = np.eye(4) * (1 + math.log10(4)) / 2
    np.testing.assert_allclose(attention_map(block, 4), expected, atol=1e-6)


def test_a_map_is_the_mean_over_heads_and_sequences() -> None:
    block, x = RoFormerBlock(WIDTH, HEADS, 6), torch.randn(5, 6, WIDTH)
    with torch.no_grad(), record_attention(nn.ModuleList([block])) as maps:
        block(x)
        weights = block.att.weights(block.att_norm(x)).mean((0, 1))
    expected = ((6 * weights).log10() + 1) / 2
    np.testing.assert_allclose(maps["0"], expected.clamp(0, 1).numpy(), atol=1e-5)
