"""The discriminators. Reference: the documented counts, layouts and shapes of MSRKit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model_zoo.discriminators.base import SLOPE, Discriminator
from model_zoo.discriminators.ensemble import PRESETS, EnsembleSpec
from model_zoo.discriminators.spectral import (
    MultiFrequencyDiscriminator,
    MultiResolutionDiscriminator,
)
from model_zoo.discriminators.waveform import MultiPeriodDiscriminator, MultiScaleDiscriminator
from model_zoo.errors import ConfigError

LENGTH = 24_000

KINDS = {
    "period": MultiPeriodDiscriminator,
    "scale": lambda: MultiScaleDiscriminator(48_000),
    "resolution": MultiResolutionDiscriminator,
    "frequency": lambda: MultiFrequencyDiscriminator(1, [2048, 1024, 512]),
}
PARAMETERS = {
    "period": 41_092_165,
    "scale": 11_275_906,
    "resolution": 1_411_587,
    "frequency": 1_333_371,
}
FIRST_SCORE = {
    "period": (1, 1, 50, 2),
    "scale": (1, 1, 47),
    "resolution": (1, 1, 47, 130),
    "frequency": (1, 1, 24, 129),
}
FEATURES = {"period": [5] * 5, "scale": [6] * 2, "resolution": [25] * 3, "frequency": [6] * 3}

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def wave() -> Tensor:
    return torch.randn(1, 1, LENGTH, generator=torch.Generator().manual_seed(0))


def make(kind: str) -> Discriminator:
    torch.manual_seed(0)
    return KINDS[kind]()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@every_kind
def test_parameter_counts_are_as_documented(kind: str) -> None:
    with torch.device("meta"):
        assert count(KINDS[kind]()) == PARAMETERS[kind]


@every_kind
def test_scores_and_features_have_the_documented_shapes(kind: str, wave: Tensor) -> None:
    discriminator = make(kind)
    with torch.no_grad():
        scores, features = discriminator(wave)
    assert scores[0].shape == FIRST_SCORE[kind]
    assert [len(each) for each in features] == FEATURES[kind]
    assert len(scores) == len(FEATURES[kind])
    # The score map is not among the features.
    assert all(score is not output for score in scores for each in features for output in each)


@every_kind
def test_features_are_rectified_and_scores_are_not(kind: str, wave: Tensor) -> None:
    """Every feature is the output of a leaky ReLU: ``max(x, SLOPE * x)``."""
    discriminator = make(kind)
    activations = {}
    for name, module in discriminator.named_modules():
        if isinstance(module, nn.LeakyReLU):
            module.register_forward_hook(
                lambda _, inputs, output, name=name: activations.update({name: (inputs[0], output)})
            )
    with torch.no_grad():
        discriminator(wave)
    assert len(activations) == sum(FEATURES[kind])
    for before, after in activations.values():
        torch.testing.assert_close(after, torch.maximum(before, SLOPE * before))


@every_kind
@pytest.mark.parametrize("channels", [1, 2])
def test_every_parameter_gets_a_gradient(kind: str, channels: int) -> None:
    small = {
        "period": lambda: MultiPeriodDiscriminator(channels, periods=[2, 3]),
        "scale": lambda: MultiScaleDiscriminator(48_000, nch=channels),
        "resolution": lambda: MultiResolutionDiscriminator(channels, window_lengths=[256]),
        "frequency": lambda: MultiFrequencyDiscriminator(channels, [256]),
    }[kind]()
    scores, _ = small(torch.randn(2, channels, 4001))
    torch.stack([score.square().mean() for score in scores]).sum().backward()
    without_gradient = [name for name, value in small.named_parameters() if value.grad is None]
    assert without_gradient == []


def test_the_layers_of_a_band_have_the_documented_names() -> None:
    with torch.device("meta"):
        names = MultiResolutionDiscriminator().state_dict().keys()
    for name in ("weight_orig", "weight_u", "weight_v", "bias"):
        assert f"discriminators.2.band_discriminators.4.0.conv.{name}" in names
        assert f"discriminators.0.output_conv.conv.{name}" in names
    assert not any("window" in name for name in names)


def test_spectral_norm_brings_the_largest_singular_value_to_one() -> None:
    """Property of spectral norm; each call does one step of the power iteration."""
    discriminator = MultiResolutionDiscriminator(window_lengths=[256])
    with torch.no_grad():
        for _ in range(100):
            discriminator(torch.randn(1, 1, 2000))
    weight = discriminator.discriminators[0].band_discriminators[0][0].conv.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("period", [2, 3, 7])
def test_a_period_sees_only_its_columns(period: int) -> None:
    """Changing one sample changes the scores of its column only."""
    discriminator = MultiPeriodDiscriminator(periods=[period], norm=False).eval()
    wave = torch.randn(1, 1, period * 400)
    other = wave.clone()
    other[..., period * 200 + 1] += 1
    with torch.no_grad():
        changed = (discriminator(wave).scores[0] - discriminator(other).scores[0]).abs()
    columns = changed.amax(dim=(0, 1, 2)) > 0
    assert columns.tolist() == [column == 1 for column in range(period)]


def test_lengths_are_padded_by_reflection_to_the_period() -> None:
    discriminator = MultiPeriodDiscriminator(periods=[7], norm=False).eval()
    wave = torch.randn(1, 1, 701)
    padded = torch.cat([wave, wave[..., -7:-1].flip(-1)], dim=-1)
    with torch.no_grad():
        torch.testing.assert_close(discriminator(wave).scores, discriminator(padded).scores)


def test_frequency_scores_do_not_depend_on_the_level() -> None:
    discriminator = make("frequency").eval()
    wave = torch.randn(1, 1, 8000)
    with torch.no_grad():
        loud, quiet = discriminator(wave).scores, discriminator(0.01 * wave).scores
    for one, other in zip(loud, quiet, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3 * float(one.abs().max()), rtol=0)


def test_a_lower_sample_rate_has_fewer_bins() -> None:
    half = MultiFrequencyDiscriminator(1, [512], sample_rate=24_000)
    assert half.discriminators[0].bins == 128  # half of 257


def test_an_ensemble_gives_the_outputs_of_its_members_in_order(wave: Tensor) -> None:
    ensemble = EnsembleSpec(("ensemble",)).build().eval()
    with torch.no_grad():
        scores, features = ensemble(wave)
        expected = [member(wave) for member in ensemble.members]
    assert count(ensemble) == sum(PARAMETERS.values())
    assert len(scores) == len(features) == 5 + 2 + 3 + 3
    expected_scores = [score for output in expected for score in output.scores]
    for one, other in zip(scores, expected_scores, strict=True):
        torch.testing.assert_close(one, other)


def test_the_preset_of_msrkit_is_the_frequency_discriminator() -> None:
    (member,) = EnsembleSpec(("msrkit",), nch=2).build().members
    assert isinstance(member, MultiFrequencyDiscriminator)
    assert sorted(PRESETS) == ["ensemble", "msrkit"]


def test_names_and_presets_are_merged_without_repeats() -> None:
    spec = EnsembleSpec(("multi_scale", "ensemble", "msrkit"))
    assert spec.members == ("multi_scale", "multi_period", "multi_resolution", "multi_frequency")


def test_options_reach_the_member() -> None:
    options = {"multi_frequency": {"window_sizes": [256], "hidden_channels": 2}}
    (member,) = EnsembleSpec(("msrkit",), options).build().members
    (only,) = member.discriminators
    assert only.layers[0].conv.out_channels == 2
    assert len(only.spectrum.window) == 256


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (("ensembel",), {}, "did you mean 'ensemble'"),
        (("msrkit",), {"multi_scale": {}}, "multi_scale is not used"),
        (("multi_period",), {"multi_period": {"widths": 3}}, "has no 'widths': periods, norm"),
    ],
)
def test_invalid_ensembles_are_refused(
    names: tuple[str, ...], options: dict[str, dict[str, int]], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        EnsembleSpec(names, options)
