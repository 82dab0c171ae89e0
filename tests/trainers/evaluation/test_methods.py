"""Oracle methods, and models through the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.errors import UnknownNameError, UsageError
from tests.model_zoo.small import small_network
from tests.trainers.evaluation.songs import NoiseTrack, noise
from trainers.evaluation.methods import (
    MixtureMethod,
    RatioMaskMethod,
    model_methods,
    oracle_methods,
)
from trainers.evaluation.tracks import TrackAudio
from trainers.metrics.sdr import global_sdr

TRACK = NoiseTrack("song")


def tones(*hertz: int) -> torch.Tensor:
    seconds = torch.arange(16_000) / 8000
    return torch.stack([torch.sin(2 * torch.pi * tone * seconds) for tone in hertz])[:, None]


def test_masks_separate_stems_without_common_bins() -> None:
    """Tones far apart have masks of 0 and 1, apart from window sidelobes."""
    low, high = tones(500, 3000)
    estimates = RatioMaskMethod().estimate(
        TRACK, TrackAudio(low + high, {"a": low, "b": high}, 8000)
    )
    assert global_sdr(estimates["a"], low) > 40
    assert global_sdr(estimates["b"], high) > 40


def test_masks_divide_common_bins_equally() -> None:
    """Equal stems get half of the mixture each, which is correct."""
    wave = noise(1, channels=2)
    estimates = RatioMaskMethod().estimate(
        TRACK, TrackAudio(2 * wave, {"a": wave, "b": wave}, 8000)
    )
    torch.testing.assert_close(estimates["a"], wave, atol=1e-5, rtol=0)


def test_masks_by_hand() -> None:
    """A stem twice as loud as the other gets 4 / 5 of the mixture 3 w: 2.4 w."""
    wave = noise(2)
    estimates = RatioMaskMethod().estimate(
        TRACK, TrackAudio(3 * wave, {"a": 2 * wave, "b": wave}, 8000)
    )
    torch.testing.assert_close(estimates["a"], 2.4 * wave, atol=1e-5, rtol=0)


def test_masked_stems_sum_to_the_mixture_and_the_accompaniment() -> None:
    stems = {name: noise(seed) for seed, name in enumerate(("vocals", "drums", "bass"))}
    mixture = sum(stems.values(), torch.zeros(1, 16_000))
    references = {**stems, "accompaniment": stems["drums"] + stems["bass"]}
    estimates = RatioMaskMethod().estimate(TRACK, TrackAudio(mixture, references, 8000))
    assert {*estimates} == {*references}
    total = estimates["vocals"] + estimates["accompaniment"]
    torch.testing.assert_close(total, mixture, atol=1e-5, rtol=0)
    torch.testing.assert_close(estimates["accompaniment"], estimates["drums"] + estimates["bass"])


@pytest.mark.parametrize("samples", [700, 9 * 1024 + 1016, 9 * 1024 + 1])
def test_masks_also_work_at_both_ends(samples: int) -> None:
    """Noise is stationary, so estimates at the ends must be as good as elsewhere."""
    voice, band = (noise(seed)[:, :samples] for seed in (1, 2))
    estimates = RatioMaskMethod().estimate(
        TRACK, TrackAudio(voice + band, {"a": voice, "b": band}, 8000)
    )
    for end in (slice(None, 100), slice(-100, None)):
        assert global_sdr(estimates["a"][:, end], voice[:, end]) > 1


def test_silence_is_masked_to_silence() -> None:
    silence = torch.zeros(1, 9000)
    estimates = RatioMaskMethod().estimate(
        TRACK, TrackAudio(silence, {"a": silence, "b": silence}, 8000)
    )
    assert not estimates["a"].any()


def test_the_mixture_is_the_estimate_of_every_stem() -> None:
    audio = TRACK.load()
    estimates = MixtureMethod().estimate(TRACK, audio)
    assert {*estimates} == {"vocals", "accompaniment"}
    assert all(wave.equal(audio.mixture) for wave in estimates.values())


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_HOME", str(tmp_path))
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="instrumental"))


@pytest.mark.usefixtures("zoo")
def test_a_model_is_scored_with_the_stems_users_get() -> None:
    """The stems add up to the mixture, and the residual has MUSDB18's name."""
    (method,) = model_methods(["tiny"], {"device": "cpu"})
    wave = noise(3, channels=2)
    audio = TrackAudio(wave, {"vocals": wave}, 8000)
    estimates = method.estimate(TRACK, audio)
    assert (method.name, {*estimates}) == ("tiny", {"vocals", "accompaniment"})
    total = estimates["vocals"] + estimates["accompaniment"]
    torch.testing.assert_close(total, audio.mixture, atol=1e-5, rtol=0)
    assert method.settings(TRACK)["model"][0][0] == "tiny"


@pytest.mark.usefixtures("zoo")
def test_models_that_cannot_be_scored() -> None:
    with pytest.raises(UsageError, match=r"Two models are called tiny\. List each model once"):
        model_methods(["tiny", "tiny"], {"device": "cpu"})
    with pytest.raises(UnknownNameError, match="Unknown model 'tinny': did you mean 'tiny'"):
        model_methods(["tinny"], {"device": "cpu"})


def test_names_of_oracles() -> None:
    assert [method.name for method in oracle_methods()] == ["mixture", "ideal ratio mask"]
