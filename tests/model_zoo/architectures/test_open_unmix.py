"""Open-Unmix: layout of the published networks, masks worked by hand, laws of stems.

The authors' package is run beside it in test_open_unmix_peer.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo.architectures.open_unmix import OpenUnmix, OpenUnmixConfig
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern

LAYOUTS = json.loads((Path(__file__).parents[2] / "golden/open_unmix/layouts.json").read_text())
SPEECH = {
    **{"stems": ("speech", "noise"), "hidden_size": 256, "num_bins": 513, "audio_channels": 1},
    **{"window_size": 1024, "hop_size": 512, "sample_rate": 16_000},
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "umxhq": {},
    "umxl": {"hidden_size": 1024},
    "umxse": SPEECH,
}
SMALL = OpenUnmix.small_options


def network(**options: object) -> OpenUnmix:
    return fill(OpenUnmix(**{**SMALL, **options}), size=0.2)


def with_constant_masks(separator: OpenUnmix, *values: float) -> OpenUnmix:
    """Let each network's mask be a constant, by its last additive parameter."""
    with torch.no_grad():
        for target, value in zip(separator.targets, values, strict=True):
            target.output_scale.zero_()
            target.output_mean.fill_(value)
    return separator


@pytest.mark.parametrize("name", PUBLISHED)
def test_tensors_of_the_published_networks(name: str) -> None:
    """Golden file, made with the authors' package: names and shapes, in order."""
    with torch.device("meta"):
        separator = OpenUnmix(**PUBLISHED[name])
    found = {key: [*value.shape] for key, value in separator.state_dict().items()}
    assert found.pop("fourier.window") == [separator.config.window_size]
    expected = {
        f"targets.{number}.{key}": shape
        for number in range(len(separator.stems))
        for key, shape in LAYOUTS[name].items()
    }
    assert list(found.items()) == list(expected.items())


@pytest.mark.parametrize("niter", [0, 1])
@pytest.mark.parametrize("channels", [1, 2])
def test_constant_masks_scale_the_mixture(channels: int, niter: int) -> None:
    """By hand: without the filter the masks themselves. The filter, whose stems add up to the
    mixture, shares it by the squares of the masks, because all powers are in that ratio."""
    masks = (0.2, 0.4, 0.0, 0.8)
    mixture = pattern(2, channels, 3001)
    separator = with_constant_masks(network(audio_channels=channels, niter=niter), *masks)
    power = sum(mask**2 for mask in masks)
    shares = [mask**2 / power for mask in masks] if niter else masks
    for stem, share in zip(separator(mixture).unbind(1), shares, strict=True):
        torch.testing.assert_close(stem, share * mixture, atol=2e-3, rtol=1e-3)


def test_negative_masks_are_zero() -> None:
    separator = with_constant_masks(network(niter=0), -1.0, -0.1, 0.0, 1.0)
    stems = separator(pattern(1, 2, 2000))
    assert not stems[:, :3].any()
    assert stems[:, 3].any()


@pytest.mark.parametrize("softmask", [False, True])
def test_a_residual_is_what_is_left_of_the_mixture(softmask: bool) -> None:
    separator = network(stems=("vocals", "rest"), residual=True, niter=0, softmask=softmask)
    mixture = pattern(1, 2, 3333)
    assert len(separator.targets) == 1
    torch.testing.assert_close(separator(mixture).sum(1), mixture, atol=1e-5, rtol=1e-4)


def test_soft_masks_add_up_to_one() -> None:
    mixture = pattern(1, 2, 3333)
    stems = network(softmask=True, niter=0)(mixture)
    torch.testing.assert_close(stems.sum(1), mixture, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("first", "is_seen"), [(32, False), (31, True)])
def test_networks_see_the_lower_bins_and_mask_all(first: int, is_seen: bool) -> None:
    separator = network(num_bins=32)
    spectrum = separator.fourier.analyze(pattern(1, 2, 4000))
    louder = spectrum.clone()
    louder[..., first:, :] *= 5
    masks, others = (
        separator.core(separator.fourier.features(each)) for each in (spectrum, louder)
    )
    assert masks.shape == (1, 4, 2, 129, 63)
    assert torch.equal(masks, others) is not is_seen


def test_networks_are_trained_without_the_filter() -> None:
    filtered, masked = network(niter=2), network(niter=0)
    mixture = pattern(1, 2, 3000)
    assert not torch.allclose(filtered(mixture), masked(mixture), atol=1e-3)
    filtered.fourier.train()
    assert torch.equal(filtered(mixture), masked(mixture))


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"audio_channels": 3}, "audio_channels must be 1 or 2"),
        ({"num_bins": 2050}, "num_bins must be at most the 2049 of window_size=4096, found 2050"),
        ({"hidden_size": 15}, "hidden_size must be even for LSTMs in both directions, found 15"),
        ({"niter": -1}, "niter must be from 0 to 100, found -1"),
        ({"niter": 101}, "niter must be from 0 to 100, found 101"),
        ({"wiener_win_len": 0}, "wiener_win_len must be at least 1, found 0"),
        ({"stems": ("vocals",), "niter": 0, "residual": True}, "residual needs another stem"),
        ({"stems": ("vocals",)}, "niter must be 0 for a single stem"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), found 1.0"),
        ({"hop_size": 0}, "hop_size must be at least 1, found 0"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        OpenUnmixConfig(**options)  # type: ignore[arg-type]


def test_odd_widths_are_for_one_direction() -> None:
    separator = network(hidden_size=15, unidirectional=True)
    assert separator.targets[0].lstm.hidden_size == 15
    assert separator(pattern(1, 2, 500)).isfinite().all()
