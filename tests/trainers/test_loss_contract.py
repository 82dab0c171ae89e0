"""Properties of every loss: those of a distance, and messages for wrong options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo.errors import ConfigError
from tests.model_zoo.discriminator_files import DISCRIMINATOR_RATE, write_discriminator
from trainers.config.recipe import ADVERSARIAL
from trainers.losses import LOSSES, NOISE_LOSSES, PHASE_LOSSES, Loss, make_loss

SILENCE = torch.zeros(2, 2, 2, 5001)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in LOSSES},
    "convergence": ("multi_resolution_magnitude", {"convergence": True}),
}
ASYMMETRIC = ("convergence", "noise_to_signal", "perceptual")
NOT_MEANS_OVER_ITEMS = ("convergence", "masked", "perceptual")
SPECTRAL = (
    *("magnitude_l1", "magnitude_mse"),
    *("multi_mel", "multi_resolution_magnitude", "multi_resolution_stft"),
)

every_loss = pytest.mark.parametrize("name", VARIANTS)


@pytest.fixture(scope="module")
def discriminator_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discriminator(tmp_path_factory.mktemp("run"))


@pytest.fixture
def loss(name: str, discriminator_file: Path) -> Loss:
    kind, options = VARIANTS[name]
    required = {"discriminator": str(discriminator_file)} if kind == "perceptual" else {}
    return make_loss(kind, DISCRIMINATOR_RATE, {**options, **required})


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape or SILENCE.shape, generator=torch.Generator().manual_seed(seed))


def gradient(loss: Loss, estimate: Tensor, reference: Tensor) -> Tensor:
    leaf = estimate.clone().requires_grad_()
    value = loss(leaf, reference)
    assert value.shape == ()
    assert value.isfinite()
    return torch.autograd.grad(value, leaf)[0]


@every_loss
@pytest.mark.parametrize(
    ("estimate", "reference"),
    [
        (SILENCE, SILENCE),
        (SILENCE, noise(0)),
        (noise(0), SILENCE),
        (noise(0), noise(0)),
        (noise(0), noise(1)),
        (noise(0, 1, 1, 1, 4999), noise(1, 1, 1, 1, 4999)),
        (torch.cat([noise(0), SILENCE]), torch.cat([SILENCE, SILENCE])),
    ],
    ids=["silence", "silent estimate", "silent reference", "equal", "noise", "one wave", "mixed"],
)
def test_loss_and_gradient_are_finite(loss: Loss, estimate: Tensor, reference: Tensor) -> None:
    assert gradient(loss, estimate, reference).isfinite().all()


@every_loss
def test_equal_waves_have_no_loss(name: str, loss: Loss) -> None:
    value = loss(noise(0), noise(0)).item()
    if name == "noise_to_signal":
        assert value == pytest.approx(-50, abs=0.1)  # noise of level 1 over its floor of -50 dB
    else:
        assert value == 0


@every_loss
def test_smaller_errors_have_smaller_losses(loss: Loss) -> None:
    reference, error = noise(0), noise(1)
    costs = [loss(reference + size * error, reference).item() for size in (0.01, 0.1, 1.0)]
    assert costs == sorted(costs)
    assert costs[0] < 0.8 * costs[1] or costs[0] < costs[1] - 5  # decibels can be below zero


@every_loss
def test_only_some_losses_are_asymmetric(name: str, loss: Loss) -> None:
    estimate, reference = noise(0), 0.3 * noise(1)
    forward, backward = loss(estimate, reference).item(), loss(reference, estimate).item()
    if name in ASYMMETRIC:
        assert abs(forward - backward) > 0.1 * abs(backward)
    else:
        assert forward == pytest.approx(backward, rel=1e-5)


@every_loss
def test_the_gradient_is_the_derivative(loss: Loss) -> None:
    """Scaling the estimate changes the loss by its gradient: nothing is wrongly detached."""
    estimate, reference = 2 * noise(0), noise(1)
    slope = (gradient(loss, estimate, reference) * estimate).sum().item()
    difference = loss(1.001 * estimate, reference) - loss(0.999 * estimate, reference)
    assert difference.item() == pytest.approx(0.002 * slope, rel=0.01)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in NOT_MEANS_OVER_ITEMS])
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(loss: Loss) -> None:
    """``loop.accumulation_steps`` relies on this; docs/losses.md names the exceptions."""
    estimate, reference = noise(0), noise(1)
    parts = [loss(*pair) for pair in zip(estimate.split(1), reference.split(1), strict=True)]
    assert loss(estimate, reference).item() == pytest.approx(sum(parts).item() / 2, rel=1e-5)


@every_loss
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_losses_are_computed_in_float32(loss: Loss, kind: torch.dtype) -> None:
    """Exactly the loss of the same numbers after conversion to float32."""
    estimate, reference = noise(0).to(kind), noise(1).to(kind)
    value = loss(estimate, reference)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(estimate.float(), reference.float()))


@every_loss
def test_autocast_changes_nothing(loss: Loss) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(noise(0), noise(1))
    assert torch.equal(inside, loss(noise(0), noise(1)))


@pytest.mark.parametrize("name", [*SPECTRAL, "perceptual"])
def test_waves_shorter_than_half_a_window_are_refused(name: str, loss: Loss) -> None:
    """The message says how long clips must be, and clips of that length work."""
    with pytest.raises(ConfigError, match=rf"data\.clip_seconds: clips.* losses\.{name}") as caught:
        loss(SILENCE[..., :32], SILENCE[..., :32])
    seconds = re.search(r"data\.clip_seconds=([\d.]+)", str(caught.value))
    assert seconds is not None
    samples = round(float(seconds[1]) * DISCRIMINATOR_RATE)
    assert loss(noise(0, 1, 1, 2, samples), noise(1, 1, 1, 2, samples)).item() > 0


@pytest.mark.parametrize(
    ("name", "options", "messages"),
    [
        ("magnitude_l1", {"n_fft": 0}, ["n_fft must be 4 or more"]),
        ("magnitude_l1", {"hop": -1}, ["hop must be 1 or more"]),
        ("magnitude_l1", {"n_fft": 512}, ["hop must not be longer than its window"]),
        ("magnitude_l1", {"n_fft": "long"}, ["n_fft must be a whole number, found 'long'"]),
        ("magnitude_l1", {"nfft": 2, "hop": 0}, ["did you mean 'n_fft'", "hop must be 1"]),
        ("multi_resolution_magnitude", {"n_fft": []}, ["at least one", "found 3 and 0"]),
        ("multi_resolution_magnitude", {"hop": [256]}, ["hop must have as many.*1 and 3"]),
        ("multi_resolution_magnitude", {"n_fft": [2, 64], "hop": [0, 8]}, ["n_fft", "hop"]),
        (
            "multi_mel",
            {"n_mels": [8, 8]},
            ["n_mels must have as many values as n_fft, found 2 and 3"],
        ),
        ("multi_mel", {"n_mels": [8, 8, 0]}, ["n_mels must be 1 or more"]),
        ("multi_mel", {"clip": 0, "hop": [1]}, ["hop must have as many", "clip must be above 0"]),
        ("multi_mel", {"mel_scale": "bark"}, ["mel_scale must be one of 'htk', 'slaney'"]),
        ("masked", {"quantile": 0}, ["quantile must be above 0 and at most 1"]),
        ("masked", {"quantile": 1.1}, ["quantile must be above 0 and at most 1"]),
        ("masked", {"quantile": float("nan")}, ["quantile must be above 0 and at most 1"]),
        ("perceptual", {}, ["discriminator must name the discriminator.safetensors"]),
        ("waveform_l1", {"weight": 2}, ["unknown key 'weight', known: none"]),
    ],
)
def test_invalid_options_are_refused(
    name: str, options: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"^loss_options\.{name}: ") as caught:
        make_loss(name, DISCRIMINATOR_RATE, options)
    assert len(caught.value.mistakes) == len(messages)
    for mistake, message in zip(caught.value.mistakes, messages, strict=True):
        assert re.search(message, mistake)


def test_the_documentation_names_every_loss_and_option() -> None:
    text = (Path(__file__).parents[2] / "docs/losses.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    known = {**LOSSES, **NOISE_LOSSES, **PHASE_LOSSES}
    assert rows.keys() == {*known, *ADVERSARIAL}
    for name, maker in known.items():
        assert [option for option in maker.known if f"`{option}:" not in rows[name]] == []
