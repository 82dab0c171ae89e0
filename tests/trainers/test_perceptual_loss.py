"""The perceptual loss, a distance of discriminator features, against layers worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_zoo.discriminators.base import Discriminator, DiscriminatorOutput
from model_zoo.errors import CheckpointError, ConfigError
from tests.model_zoo.discriminator_files import DISCRIMINATOR_RATE, spec, write_discriminator
from trainers.losses import make_loss
from trainers.losses.adversarial import LEVEL
from trainers.losses.perceptual import FAINTEST, FeatureDistance


class TwoLayers(Discriminator):
    """Its features are the wave itself, and a hundred times its square."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(100.0))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput([wave.mean()], [[wave], [self.gain * wave.square()]])


def noise(seed: int, stems: int = 1, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, stems, channels, 1001, generator=generator)


def test_layers_have_equal_weight_whatever_their_scale() -> None:
    """At half the level the first layer differs by 1/2 of the reference, its square by 3/4."""
    reference = noise(0)
    value = FeatureDistance(TwoLayers(), 1)(0.5 * reference, reference).item()
    assert value == pytest.approx((1 / 2 + 3 / 4) / 2)


def test_silent_layers_are_not_amplified() -> None:
    """Compared with silence, the first layer differs by 1e-4 and the second by 100 x 1e-8."""
    estimate = torch.full((1, 1, 1, 100), 1e-4 / LEVEL)
    value = FeatureDistance(TwoLayers(), 1)(estimate, torch.zeros_like(estimate)).item()
    assert value == pytest.approx((1e-4 / FAINTEST + 1e-6 / FAINTEST) / 2)


def test_the_loss_is_the_mean_over_all_layers_of_an_ensemble(
    tmp_path: Path,
) -> None:
    """Reference: the formula, written out over the features of the ensemble in the file."""
    from model_zoo.weights import load_discriminator

    path = write_discriminator(tmp_path)
    estimate, reference = noise(0, channels=1), noise(1, channels=1)
    ensemble, _ = load_discriminator(path)
    with torch.no_grad():
        found, target = (ensemble(LEVEL * wave[:, 0]).features for wave in (estimate, reference))
    expected = [
        ((f - w).abs().sum() / w.abs().sum()).item()
        for layers in zip(found, target, strict=True)
        for f, w in zip(*layers, strict=True)
    ]
    assert len(expected) == 6 + 6 + 25
    loss = make_loss("perceptual", DISCRIMINATOR_RATE, {"discriminator": str(path)})
    value = loss(estimate, reference).item()
    assert value == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_mono_discriminators_receive_stems_and_channels_separately(tmp_path: Path) -> None:
    loss = make_loss(
        "perceptual", DISCRIMINATOR_RATE, {"discriminator": str(write_discriminator(tmp_path))}
    )
    estimate, reference = noise(0, stems=3), noise(1, stems=3)
    folded = [wave.reshape(-1, 1, 1, wave.shape[-1]) for wave in (estimate, reference)]
    assert loss(estimate, reference).item() == pytest.approx(loss(*folded).item(), rel=1e-5)


def test_stereo_discriminators_receive_both_channels(tmp_path: Path) -> None:
    """Swapping left and right matters to stereo discriminators, not to mono ones."""
    estimate, reference = noise(0), noise(1)
    for channels, is_equal in ((1, True), (2, False)):
        path = write_discriminator(tmp_path, channels)
        loss = make_loss("perceptual", DISCRIMINATOR_RATE, {"discriminator": str(path)})
        value, swapped = loss(estimate, reference), loss(estimate.flip(2), reference.flip(2))
        assert torch.isclose(value, swapped, rtol=1e-5).item() is is_equal
    with pytest.raises(ConfigError, match="have 2 channels, but the clips have 1"):
        loss(estimate[:, :, :1], reference[:, :, :1])


def test_the_discriminators_are_frozen(tmp_path: Path) -> None:
    """Neither they nor the reference get a gradient, and their spectral norms do not step."""
    from model_zoo.weights import load_discriminator

    ensemble, _ = load_discriminator(write_discriminator(tmp_path))
    before = {name: value.clone() for name, value in ensemble.state_dict().items()}
    distance = FeatureDistance(ensemble.train(), 1)
    estimate, reference = (noise(seed).requires_grad_() for seed in range(2))
    distance(estimate, reference).backward()
    assert reference.grad is None
    assert estimate.grad.abs().sum().item() > 0
    assert [name for name, value in ensemble.named_parameters() if value.grad is not None] == []
    assert all(torch.equal(value, before[key]) for key, value in ensemble.state_dict().items())


def test_another_sample_rate_is_refused(tmp_path: Path) -> None:
    path = write_discriminator(tmp_path)
    with pytest.raises(ConfigError, match=r"loss_options\.perceptual: .* 8000 Hz, .* 44100 Hz"):
        make_loss("perceptual", 44_100, {"discriminator": str(path)})


def test_a_missing_discriminator_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors does not exist\. Use the"):
        make_loss(
            "perceptual",
            DISCRIMINATOR_RATE,
            {"discriminator": str(tmp_path / "nothing.safetensors")},
        )


def test_the_path_may_start_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_discriminator(tmp_path)
    loss = make_loss(
        "perceptual", spec().sample_rate, {"discriminator": "~/discriminator.safetensors"}
    )
    assert loss(noise(0), noise(0)).item() == 0
