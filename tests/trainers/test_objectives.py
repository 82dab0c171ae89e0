"""What objectives put to networks and how they judge them. Truth: by hand, and laws of spectra."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo import registry
from model_zoo.errors import ConfigError, UnknownNameError
from tests.trainers.frames import learning
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
    """A song of which nothing but the mixture is known."""
    return ValidationAudio("song", mixture, mixture.new_zeros(0, *mixture.shape))


def features_of(separator: Any, mixture: Tensor) -> Tensor:
    """What the core receives."""
    return separator.fourier.features(separator.fourier.analyze(mixture))


def angles(*shares: float) -> Tensor:
    """Angles over pi of one clip, one bin each."""
    return torch.tensor(shares).reshape(1, 1, -1, 1)


def spectrum(*bins: tuple[float, float]) -> Tensor:
    """Magnitudes and angles over pi."""
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
def test_angles_by_hand(found: float, true: float, cosine: float, absolute: float) -> None:
    """1 - cos of 0, a quarter and half a turn; just below and above half a turn are neighbours."""
    reference = spectrum((2.0, true))
    assert phase_cosine(angles(found), reference).item() == pytest.approx(cosine, abs=1e-5)
    assert phase_l1(angles(found), reference).item() == pytest.approx(absolute, abs=1e-5)


def test_loud_bins_count_more_unless_all_count_alike() -> None:
    """Magnitudes 3 and 1, right and opposite: (3 * 0 + 1 * 2) / 4, or (0 + 2) / 2."""
    found, reference = angles(0.25, 1.0), spectrum((3.0, 0.25), (1.0, 0.0))
    assert phase_cosine(found, reference).item() == pytest.approx(0.5, abs=1e-6)
    assert phase_cosine(found, reference, "none").item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", PHASE_LOSSES)
def test_a_quiet_clip_has_as_much_phase_as_a_loud_one(name: str) -> None:
    """Law: weights are shares of a clip's own magnitudes; silence has none, and a gradient of 0."""
    loss = make_loss(name, RATE, None, PHASE_LOSSES)
    found = torch.linspace(-1, 1, 24).reshape(2, 1, 4, 3).requires_grad_()
    reference = torch.polar(torch.rand(2, 1, 4, 3), torch.rand(2, 1, 4, 3))
    gains = torch.tensor([1e-3, 1.0]).reshape(2, 1, 1, 1)
    torch.testing.assert_close(loss(found, reference * gains), loss(found, reference))
    silent = loss(found, torch.zeros_like(reference))
    (gradient,) = torch.autograd.grad(silent, found)
    assert silent.item() == 0
    assert not gradient.any()


def test_noise_is_laid_over_what_the_network_sees(recordings: Path, recipe: Recipe) -> None:
    """By the formula of the paper, with the normal numbers that torch draws next."""
    state, task = fresh(learning(recipe, "denoising"))
    two = batch(recordings, recipe, range(2))
    torch.manual_seed(7)
    exercise = task.objective.make_example(state.separator, two)
    torch.manual_seed(7)
    seen = features_of(state.separator, two.mixture)
    noise = 0.4 * torch.randn_like(seen)
    torch.testing.assert_close(exercise.target, noise)
    torch.testing.assert_close(exercise.inputs, math.sqrt(0.95) * seen + math.sqrt(0.05) * noise)


@pytest.mark.parametrize(("share", "decibels"), [(0.0, 0.0), (0.9, 20.0), (0.99, 40.0)])
def test_the_score_of_noise_is_its_signal_to_noise_ratio(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, share: float, decibels: float
) -> None:
    """With next to no features, what is given is the noise; a core that keeps 0.9 of it is 20 dB
    away from it, whatever song, and the same noise is judged by every time.
    """
    denoising = learning(recipe, "denoising").to_dict()
    denoising["objective"]["gamma"] = 1e-12
    state, task = fresh(Recipe.from_dict(denoising))
    model = state.ema.model
    monkeypatch.setattr(model, "forward_core", lambda given: share * given)
    track = song(tone(3 * model.segment + 99))
    before = torch.get_rng_state()
    scores = [task.objective.score(model, track, FULL) for _ in range(2)]
    assert scores[0] == scores[1]
    assert scores[0] == {"noise": pytest.approx(decibels, abs=1e-3)}
    assert torch.get_rng_state().equal(before)


def test_silent_songs_have_no_score(recipe: Recipe) -> None:
    track = song(torch.zeros(2, 2 * RATE))
    for name in ("denoising", "phase", "codes"):
        state, task = fresh(learning(recipe, name))
        assert task.objective.score(state.ema.model, track, FULL) == {}


def test_the_true_angles_have_no_loss(recordings: Path, recipe: Recipe) -> None:
    """Law: the angles of the spectrum itself are what is wanted."""
    state, task = fresh(learning(recipe, "phase"))
    two = batch(recordings, recipe, range(2))
    exercise = task.objective.make_example(state.separator, two)
    bins = exercise.inputs.shape[2]
    assert bins == 64  # of a window of 128 samples, without the highest
    true = state.separator.fourier.analyze(two.mixture)[:, :, :bins].angle() / math.pi
    losses = task.objective(exercise.pair(true))
    assert losses == {"phase_cosine": pytest.approx(0, abs=1e-6), "phase_l1": pytest.approx(0)}


@pytest.mark.parametrize("name", ["phase", "codes"])
def test_the_same_sound_is_wanted_again(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A network that gives nine tenths of what it hears is 20 dB away from it; people hear both."""
    state, task = fresh(learning(recipe, name))
    model = state.ema.model
    monkeypatch.setattr(model, "forward", lambda mixture: 0.9 * mixture.unsqueeze(1))
    track = song(tone(RATE + 99))
    assert task.objective.scored(model) == ("sound",)
    assert task.objective.score(model, track, FULL) == {"sound": pytest.approx(20, abs=1e-3)}
    heard = task.objective.reference_audio(track)
    assert heard
    assert heard.stems.equal(track.mixture[None])


def test_codes_compare_waves_and_listen_to_the_code_book(recordings: Path, recipe: Recipe) -> None:
    state, task = fresh(learning(recipe, "codes"))
    two = batch(recordings, recipe, range(2))
    made, true = task.forward(state.optimizer, two)
    scale = two.mixture.square().mean((1, 2), keepdim=True).sqrt()
    torch.testing.assert_close(true[:, 0], two.mixture / scale)
    named = task.objective((made, true)) | task.auxiliary_losses(state.optimizer)
    assert named.keys() == {"waveform_l1", "codebook", "commitment"}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", ["denoising", "phase"])
def test_every_weight_learns_through_the_core(
    recordings: Path, recipe: Recipe, name: str, channels: int
) -> None:
    """What is wrapped is a view: the same tensors, every one with a gradient, under no new name."""
    state, task = fresh(learning(recipe, name, in_channels=channels))
    names = {*state.separator.state_dict()}
    wrapped = state.optimizer.module
    assert isinstance(wrapped, CoreView)
    shared = {id(weight) for weight in wrapped.parameters()}
    assert shared == {id(weight) for weight in state.separator.parameters()}
    assert {*state.separator.state_dict()} == names
    pair = task.forward(state.optimizer, batch(recordings, recipe, range(2)))
    loss = task.weighted_sum(task.objective(pair))
    gradients = torch.autograd.grad(loss, [*state.separator.parameters()])
    assert all(gradient.any() for gradient in gradients)


def test_lengths_are_tried_without_the_random_numbers_of_the_run(recipe: Recipe) -> None:
    noisy = learning(recipe, "denoising")
    state = TrainState.fresh(noisy, CPU)
    before = torch.get_rng_state()
    require_long_clips(state, TrainingTask.of(noisy, state.separator, FULL))
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("name", registry.ARCHITECTURES)
def test_cores_that_say_so_keep_shapes(name: str) -> None:
    """Law of ``SpectralSeparator.keeps_shape``, for every architecture that says it holds."""
    network = registry.build(name, registry.architecture(name).small_options).eval()
    if not getattr(network, "keeps_shape", False):
        return
    seen = features_of(network, torch.rand(2, network.channels, 3000))
    assert network.forward_core(seen).shape == seen.shape


@pytest.mark.parametrize(
    ("objective", "changes", "sentence"),
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
        ("phase", {"name": "what"}, "objective: name must be one of 'separation', 'denoising'"),
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
    recipe: Recipe, objective: str, changes: dict[str, object], sentence: str
) -> None:
    values = learning(recipe, objective).to_dict()
    values["objective"] |= changes
    with pytest.raises(ConfigError, match=sentence):
        check_recipe(values, "recipe")


@pytest.mark.parametrize(
    ("objective", "loss", "sentence"),
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
def test_losses_that_mean_nothing(recipe: Recipe, objective: str, loss: str, sentence: str) -> None:
    values = learning(recipe, objective).to_dict()
    values["losses"] |= {loss: 1.0}
    with pytest.raises(ConfigError, match=sentence):
        check_recipe(values, "recipe")


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        ({"codebook": 0.0}, "above 0 for losses.codebook, .* Try: --set losses.codebook=1$"),
        (
            {"codebook": 0.0, "commitment": 0.0},
            "losses.codebook and losses.commitment.*codebook=1 --set losses.commitment=1",
        ),
    ],
)
def test_code_books_learn_from_losses_of_their_own(
    recipe: Recipe, losses: dict[str, float], sentence: str
) -> None:
    """As values, and where a recipe was never read from a file."""
    values = learning(recipe, "codes").to_dict()
    values["losses"] |= losses
    with pytest.raises(ConfigError, match=sentence):
        check_recipe(values, "recipe")
    with pytest.raises(ConfigError, match=sentence):
        fresh(Recipe.from_dict(values))


def test_options_of_phase_losses_are_strict(recipe: Recipe) -> None:
    values = learning(recipe, "phase").to_dict()
    values["loss_options"] = {"phase_cosine": {"weighting": "none"}}
    assert check_recipe(values, "recipe").loss_options == values["loss_options"]
    values["loss_options"] = {"phase_cosine": {"weighting": "loud"}}
    with pytest.raises(ConfigError, match="weighting must be one of 'magnitude', 'none'"):
        check_recipe(values, "recipe")


@pytest.mark.parametrize("objective", ["denoising", "phase"])
def test_nobody_judges_what_is_no_wave(adversarial: Recipe, recipe: Recipe, objective: str) -> None:
    values = learning(recipe, objective).to_dict()
    values["losses"] |= {"generator": 1.0}
    values["adversary"] = adversarial.to_dict()["adversary"]
    with pytest.raises(ConfigError, match=f"{objective} has no waveforms for discriminators"):
        Recipe.from_dict(values)


def test_several_stems_have_no_place_for_a_noise(recipe: Recipe) -> None:
    """Also where a recipe was never read from a file."""
    two = learning(recipe, "denoising", stems=["vocals", "instrumental"])
    with pytest.raises(ConfigError, match="which frame_transformer with 2 stems is not"):
        fresh(two)


def test_unknown_losses_of_an_objective(recipe: Recipe) -> None:
    values = learning(recipe, "denoising").to_dict() | {"losses": {"noise_l2": 1.0}}
    with pytest.raises(UnknownNameError, match="noise_l1"):
        fresh(Recipe.from_dict(values))


def test_what_learns_from_mixtures_alone() -> None:
    named = {name: ObjectiveRecipe(name) for name in ("separation", "denoising", "phase", "codes")}
    assert [name for name, one in named.items() if one.needs_stems] == ["separation"]
    assert [name for name, one in named.items() if one.gives_waves] == ["separation", "codes"]
