"""Training examples, losses and scores of objectives, against numbers by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo import registry
from model_zoo.errors import ConfigError, UnknownNameError
from tests.trainers.frames import with_objective
from tests.trainers.runs import CPU, FULL, batch, fresh
from trainers.config import ObjectiveRecipe, Recipe
from trainers.data.multitrack import ValidationAudio
from trainers.loop.checks import require_long_clips
from trainers.loop.state import TrainState
from trainers.loop.step import TrainingTask
from trainers.losses import PHASE_LOSSES, make_loss
from trainers.losses.spectral import phase_cosine, phase_l1
from trainers.objectives.spectral import CoreView
from trainers.recipes.loading import check_recipe

RATE = 8000


def tone(samples: int, level: float = 0.5) -> Tensor:
    """A stereo chirp."""
    time = torch.arange(samples) / RATE
    return level * torch.sin(2 * math.pi * (200 * time + 300 * time**2)).expand(2, -1)


def song(mixture: Tensor) -> ValidationAudio:
    """A song with a mixture and no stems."""
    return ValidationAudio("song", mixture, mixture.new_zeros(0, *mixture.shape))


def features_of(separator: Any, mixture: Tensor) -> Tensor:
    """The features that the core receives."""
    return separator.fourier.features(separator.fourier.analyze(mixture))


def angles(*shares: float) -> Tensor:
    """Angles of one clip in units of pi, one bin each."""
    return torch.tensor(shares).reshape(1, 1, -1, 1)


def spectrum(*bins: tuple[float, float]) -> Tensor:
    """A spectrum of these magnitudes and angles in units of pi."""
    magnitudes, shares = zip(*bins, strict=True)
    turned = math.pi * torch.tensor(shares)
    return torch.polar(torch.tensor(magnitudes), turned).reshape(1, 1, -1, 1)


@pytest.mark.parametrize(
    ("found", "true", "cosine", "absolute"),
    [
        (0.3, 0.3, 0.0, 0.0),
        (0.5, 0.0, 1.0, 0.5),
        (1.0, 0.0, 2.0, 1.0),
        (0.99, -0.99, 0.00197, 1.98),
    ],
)
def test_phase_losses_by_hand(found: float, true: float, cosine: float, absolute: float) -> None:
    """1 - cos of 0, a quarter and half a turn; just below and just above half a turn are close."""
    reference = spectrum((2.0, true))
    assert phase_cosine(angles(found), reference).item() == pytest.approx(cosine, abs=1e-5)
    assert phase_l1(angles(found), reference).item() == pytest.approx(absolute, abs=1e-5)


def test_phase_losses_weight_bins_by_magnitude() -> None:
    """Magnitudes 3 and 1, right and opposite: (3 * 0 + 1 * 2) / 4, or (0 + 2) / 2."""
    found, reference = angles(0.25, 1.0), spectrum((3.0, 0.25), (1.0, 0.0))
    assert phase_cosine(found, reference).item() == pytest.approx(0.5, abs=1e-6)
    assert phase_cosine(found, reference, "none").item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", PHASE_LOSSES)
def test_phase_losses_do_not_depend_on_the_level(name: str) -> None:
    """Weights are shares of a clip's own magnitudes; silence has a loss and gradient of 0."""
    loss = make_loss(name, RATE, None, PHASE_LOSSES)
    found = torch.linspace(-1, 1, 24).reshape(2, 1, 4, 3).requires_grad_()
    reference = torch.polar(torch.rand(2, 1, 4, 3), torch.rand(2, 1, 4, 3))
    gains = torch.tensor([1e-3, 1.0]).reshape(2, 1, 1, 1)
    torch.testing.assert_close(loss(found, reference * gains), loss(found, reference))
    silent = loss(found, torch.zeros_like(reference))
    (gradient,) = torch.autograd.grad(silent, found)
    assert silent.item() == 0
    assert not gradient.any()


def test_denoising_adds_noise_to_the_features(recordings: Path, recipe: Recipe) -> None:
    """Reference: the formula of the paper, with the normal numbers that torch draws next."""
    state, task = fresh(with_objective(recipe, "denoising"))
    two = batch(recordings, recipe, range(2))
    torch.manual_seed(7)
    example = task.objective.make_example(state.separator, two)
    torch.manual_seed(7)
    features = features_of(state.separator, two.mixture)
    noise = 0.4 * torch.randn_like(features)
    torch.testing.assert_close(example.target, noise)
    torch.testing.assert_close(example.inputs, math.sqrt(0.95) * features + math.sqrt(0.05) * noise)


@pytest.mark.parametrize(("gain", "decibels"), [(0.0, 0.0), (0.9, 20.0), (0.99, 40.0)])
def test_denoising_score_is_the_signal_to_noise_ratio(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, gain: float, decibels: float
) -> None:
    """Without features the input is the noise; a core that returns 0.9 of it scores 20 dB.

    The noise is the same in every validation.
    """
    denoising = with_objective(recipe, "denoising").to_dict()
    denoising["objective"]["gamma"] = 1e-12
    state, task = fresh(Recipe.from_dict(denoising))
    model = state.ema.model
    monkeypatch.setattr(model, "forward_core", lambda features: gain * features)
    track = song(tone(3 * model.segment + 99))
    before = torch.get_rng_state()
    scores = [task.objective.score(model, track, FULL) for _ in range(2)]
    assert scores[0] == scores[1]
    assert scores[0] == {"noise": pytest.approx(decibels, abs=1e-3)}
    assert torch.get_rng_state().equal(before)


def test_silent_songs_have_no_score(recipe: Recipe) -> None:
    track = song(torch.zeros(2, 2 * RATE))
    for name in ("denoising", "phase", "codes"):
        state, task = fresh(with_objective(recipe, name))
        assert task.objective.score(state.ema.model, track, FULL) == {}


def test_the_true_phase_has_no_loss(recordings: Path, recipe: Recipe) -> None:
    """The target is the phase of the spectrum itself."""
    state, task = fresh(with_objective(recipe, "phase"))
    two = batch(recordings, recipe, range(2))
    example = task.objective.make_example(state.separator, two)
    bins = example.inputs.shape[2]
    assert bins == 64  # of a window of 128 samples, without the highest
    true = state.separator.fourier.analyze(two.mixture)[:, :, :bins].angle() / math.pi
    losses = task.objective(example.pair(true))
    assert losses == {"phase_cosine": pytest.approx(0, abs=1e-6), "phase_l1": pytest.approx(0)}


@pytest.mark.parametrize("name", ["phase", "codes"])
def test_phase_and_codes_reconstruct_the_mixture(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A network that returns nine tenths of its input scores 20 dB; the reference is the input."""
    state, task = fresh(with_objective(recipe, name))
    model = state.ema.model
    monkeypatch.setattr(model, "forward", lambda mixture: 0.9 * mixture.unsqueeze(1))
    track = song(tone(RATE + 99))
    assert task.objective.scored(model) == ("sound",)
    assert task.objective.score(model, track, FULL) == {"sound": pytest.approx(20, abs=1e-3)}
    reference = task.objective.reference_audio(track)
    assert reference
    assert reference.stems.equal(track.mixture[None])


def test_codes_have_wave_and_codebook_losses(recordings: Path, recipe: Recipe) -> None:
    state, task = fresh(with_objective(recipe, "codes"))
    two = batch(recordings, recipe, range(2))
    estimate, reference = task.forward(state.optimizer, two)
    scale = two.mixture.square().mean((1, 2), keepdim=True).sqrt()
    torch.testing.assert_close(reference[:, 0], two.mixture / scale)
    losses = task.objective((estimate, reference)) | task.auxiliary_losses(state.optimizer)
    assert losses.keys() == {"waveform_l1", "codebook", "commitment"}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", ["denoising", "phase"])
def test_every_weight_gets_a_gradient_through_the_core(
    recordings: Path, recipe: Recipe, name: str, channels: int
) -> None:
    """The wrapped module is a view: the same tensors and names, and every one gets a gradient."""
    state, task = fresh(with_objective(recipe, name, in_channels=channels))
    names = {*state.separator.state_dict()}
    view = state.optimizer.module
    assert isinstance(view, CoreView)
    shared = {id(weight) for weight in view.parameters()}
    assert shared == {id(weight) for weight in state.separator.parameters()}
    assert {*state.separator.state_dict()} == names
    pair = task.forward(state.optimizer, batch(recordings, recipe, range(2)))
    loss = task.weighted_sum(task.objective(pair))
    gradients = torch.autograd.grad(loss, [*state.separator.parameters()])
    assert all(gradient.any() for gradient in gradients)


def test_trying_clip_lengths_draws_no_random_numbers_of_the_run(recipe: Recipe) -> None:
    recipe_with_noise = with_objective(recipe, "denoising")
    state = TrainState.fresh(recipe_with_noise, CPU)
    before = torch.get_rng_state()
    require_long_clips(state, TrainingTask.of(recipe_with_noise, state.separator, FULL))
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("name", registry.ARCHITECTURES)
def test_cores_that_declare_it_keep_shapes(name: str) -> None:
    """``SpectralSeparator.keeps_shape`` is true only for cores that keep the shape."""
    network = registry.build(name, registry.architecture(name).small_options).eval()
    if not getattr(network, "keeps_shape", False):
        return
    features = features_of(network, torch.rand(2, network.channels, 3000))
    assert network.forward_core(features).shape == features.shape


@pytest.mark.parametrize(
    ("objective", "changes", "message"),
    [
        (
            "separation",
            {"name": "phase"},
            "phase is for networks of the role phase, but frame_transformer has the role"
            " stems. Try: --set objective.name=separation",
        ),
        (
            "phase",
            {"name": "separation"},
            "for networks of the role stems, but phase_predictor has the role"
            " phase. Try: --set objective.name=phase",
        ),
        (
            "phase",
            {"name": "codes"},
            "for networks of the role codes, but phase_predictor .*name=phase",
        ),
        (
            "codes",
            {"name": "separation"},
            "vq_frame_transformer has the role codes. Try: --set objective.name=codes",
        ),
        (
            "phase",
            {"name": "denoising"},
            "of the same shape as its input, which phase_predictor with 1 stem is not."
            " Networks that fit, with one stem: frame_transformer$",
        ),
        (
            "codes",
            {"name": "denoising"},
            "a network for stems .* which vq_frame_transformer with 1",
        ),
        ("phase", {"name": "what"}, "objective.name must be one of 'separation', 'denoising'"),
        ("denoising", {"sigma": 0.0}, "sigma must be above 0"),
        ("denoising", {"gamma": 1.0}, "gamma must be above 0 and below 1"),
        (
            "denoising",
            {"stems": {"vocals": 2.0}},
            "objective denoising has no stem weights; only separation has",
        ),
        ("denoising", {"sigmas": 0.3}, "unknown key 'sigmas', did you mean 'sigma'"),
        ("codes", {"sigma": 0.3}, "objective codes has no sigma and gamma; only denoising has"),
    ],
)
def test_objectives_that_a_network_cannot_learn(
    recipe: Recipe, objective: str, changes: dict[str, object], message: str
) -> None:
    values = with_objective(recipe, objective).to_dict()
    values["objective"] |= changes
    with pytest.raises(ConfigError, match=message):
        check_recipe(values, "recipe")


@pytest.mark.parametrize(
    ("objective", "loss", "message"),
    [
        (
            "denoising",
            "waveform_l1",
            "losses.waveform_l1 does not exist for objective denoising,"
            " which has noise_l1. Try: --set losses.waveform_l1=0",
        ),
        ("separation", "phase_l1", "losses.phase_l1 does not exist for objective separation"),
        (
            "phase",
            "noise_l1",
            "does not exist for objective phase, which has phase_cosine, phase_l1",
        ),
        ("phase", "phase_cosin", "Unknown loss 'phase_cosin': did you mean 'phase_cosine'"),
        (
            "separation",
            "codebook",
            "codebook is only provided by vq_frame_transformer. Leave it out",
        ),
    ],
)
def test_losses_of_other_objectives_are_refused(
    recipe: Recipe, objective: str, loss: str, message: str
) -> None:
    values = with_objective(recipe, objective).to_dict()
    values["losses"] |= {loss: 1.0}
    with pytest.raises(ConfigError, match=message):
        check_recipe(values, "recipe")


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"codebook": 0.0}, "above 0 for losses.codebook, .* Try: --set losses.codebook=1$"),
        (
            {"codebook": 0.0, "commitment": 0.0},
            "losses.codebook and losses.commitment.*codebook=1 --set losses.commitment=1",
        ),
    ],
)
def test_codebooks_need_their_own_losses(
    recipe: Recipe, losses: dict[str, float], message: str
) -> None:
    """The error comes for recipe values, and for a recipe that was never read from a file."""
    values = with_objective(recipe, "codes").to_dict()
    values["losses"] |= losses
    with pytest.raises(ConfigError, match=message):
        check_recipe(values, "recipe")
    with pytest.raises(ConfigError, match=message):
        fresh(Recipe.from_dict(values))


def test_options_of_phase_losses_are_strict(recipe: Recipe) -> None:
    values = with_objective(recipe, "phase").to_dict()
    values["loss_options"] = {"phase_cosine": {"weighting": "none"}}
    assert check_recipe(values, "recipe").loss_options == values["loss_options"]
    values["loss_options"] = {"phase_cosine": {"weighting": "loud"}}
    with pytest.raises(ConfigError, match="weighting must be one of 'magnitude', 'none'"):
        check_recipe(values, "recipe")


@pytest.mark.parametrize("objective", ["denoising", "phase"])
def test_discriminators_need_waveforms(adversarial: Recipe, recipe: Recipe, objective: str) -> None:
    values = with_objective(recipe, objective).to_dict()
    values["losses"] |= {"generator": 1.0}
    values["adversary"] = adversarial.to_dict()["adversary"]
    with pytest.raises(ConfigError, match=f"{objective} has no waveforms for discriminators"):
        Recipe.from_dict(values)


def test_denoising_needs_one_stem(recipe: Recipe) -> None:
    """The error also comes for a recipe that was never read from a file."""
    two = with_objective(recipe, "denoising", stems=["vocals", "instrumental"])
    with pytest.raises(ConfigError, match="which frame_transformer with 2 stems is not"):
        fresh(two)


def test_unknown_losses_suggest_those_of_the_objective(recipe: Recipe) -> None:
    values = with_objective(recipe, "denoising").to_dict() | {"losses": {"noise_l2": 1.0}}
    with pytest.raises(UnknownNameError, match="noise_l1"):
        fresh(Recipe.from_dict(values))


def test_properties_of_objectives() -> None:
    objectives = {
        name: ObjectiveRecipe(name) for name in ("separation", "denoising", "phase", "codes")
    }
    assert [name for name, objective in objectives.items() if objective.needs_stems] == [
        "separation"
    ]
    assert [name for name, objective in objectives.items() if objective.gives_waves] == [
        "separation",
        "codes",
    ]
