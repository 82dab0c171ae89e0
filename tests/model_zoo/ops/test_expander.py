"""Downward expansion, against values worked by hand and properties of the gain."""

from __future__ import annotations

import math

import pytest
import torch

from model_zoo.architectures.melroformer import MelRoFormer
from model_zoo.errors import ConfigError
from model_zoo.ops.spectra import expand
from model_zoo.registry import build

MIXTURE = torch.ones(1, 2, 100)


@pytest.mark.parametrize(
    ("stem_db", "gain"),
    [
        (-20.0, 1 / 2),  # at the threshold
        (-10.0, 100 / 101),  # ten times the threshold's energy: r^2 / t^2 = 100
        (-30.0, 1 / 101),
    ],
)
def test_the_gain_compares_the_energy_with_the_threshold(stem_db: float, gain: float) -> None:
    stem = 10 ** (stem_db / 20) * MIXTURE[:, None]
    torch.testing.assert_close(expand(stem, MIXTURE, -20.0), gain * stem)


def test_the_gain_is_per_stem_and_item_for_all_channels() -> None:
    stems = torch.randn(3, 2, 2, 50, generator=torch.Generator().manual_seed(0))
    stems[0, 1] *= 0.01
    gains = expand(stems, stems.sum(1), -10.0) / stems
    torch.testing.assert_close(gains, gains[..., :1, :1].expand_as(gains))
    assert gains[0, 1].max() < 0.01
    assert gains[0, 0].min() > 0.9


@pytest.mark.parametrize("level", [1e-6, 1e3])
def test_only_the_ratio_of_levels_matters(level: float) -> None:
    stem = 0.1 * MIXTURE[:, None]
    expected = level * expand(stem, MIXTURE, -20.0)
    torch.testing.assert_close(expand(level * stem, level * MIXTURE, -20.0), expected)


@pytest.mark.parametrize("stem", [0.0, 1e-15, 1.0, 1e15])
@pytest.mark.parametrize("mixture", [0.0, 1e-15, 1.0])
def test_the_output_is_finite_at_any_level(stem: float, mixture: float) -> None:
    out = expand(stem * MIXTURE[:, None], mixture * MIXTURE, -99.0)
    assert out.isfinite().all()


def test_silence_stays_silent() -> None:
    silence = torch.zeros(1, 2, 100)
    assert not expand(silence[:, None], silence, -20.0).any()


def test_networks_expand_only_in_evaluation() -> None:
    options = {
        "hidden_channels": 16,
        "num_layers": 1,
        "num_heads": 2,
        "segment": 8192,
        "mask_mult": "gain",
        "mask_activation": "sigmoid",
    }
    torch.manual_seed(0)
    plain = MelRoFormer(**options)
    expanding = MelRoFormer(**options, expander_db=-1.0)
    expanding.load_state_dict(plain.state_dict())
    mixture = torch.randn(1, 1, 8192)
    with torch.no_grad():
        unexpanded = plain(mixture)
        torch.testing.assert_close(expanding.train()(mixture), unexpanded)
        torch.testing.assert_close(expanding.eval()(mixture), expand(unexpanded, mixture, -1.0))


@pytest.mark.parametrize("threshold", [3.0, 0.0, -100.0, math.nan, -math.inf])
@pytest.mark.parametrize("architecture", ["melroformer", "melrnn", "melunet"])
def test_invalid_thresholds_are_refused(architecture: str, threshold: float) -> None:
    with pytest.raises(ConfigError, match="expander_db must lie between -100 and 0"):
        build(architecture, {"expander_db": threshold})
