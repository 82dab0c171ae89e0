"""Oracles by laws, and models through the engine."""

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


def test_masks_part_what_does_not_share_a_bin() -> None:
    """Tones far from each other: masks of 0 and 1, but for the skirts of windows."""
    low, high = tones(500, 3000)
    made = RatioMaskMethod().estimate(TRACK, TrackAudio(low + high, {"a": low, "b": high}, 8000))
    assert global_sdr(made["a"], low) > 40
    assert global_sdr(made["b"], high) > 40


def test_masks_share_what_all_stems_have() -> None:
    """Equal stems get half of the mixture each, which is what each is."""
    wave = noise(1, channels=2)
    made = RatioMaskMethod().estimate(TRACK, TrackAudio(2 * wave, {"a": wave, "b": wave}, 8000))
    torch.testing.assert_close(made["a"], wave, atol=1e-5, rtol=0)


def test_masks_by_hand() -> None:
    """One stem twice as loud as the other at the same place: 4 / 5 of the mixture, 3 w: 2.4 w."""
    wave = noise(2)
    made = RatioMaskMethod().estimate(TRACK, TrackAudio(3 * wave, {"a": 2 * wave, "b": wave}, 8000))
    torch.testing.assert_close(made["a"], 2.4 * wave, atol=1e-5, rtol=0)


def test_masked_stems_add_up_and_accompaniment_is_their_sum() -> None:
    stems = {name: noise(seed) for seed, name in enumerate(("vocals", "drums", "bass"))}
    mixture = sum(stems.values(), torch.zeros(1, 16_000))
    references = {**stems, "accompaniment": stems["drums"] + stems["bass"]}
    made = RatioMaskMethod().estimate(TRACK, TrackAudio(mixture, references, 8000))
    assert {*made} == {*references}
    whole = made["vocals"] + made["accompaniment"]
    torch.testing.assert_close(whole, mixture, atol=1e-5, rtol=0)
    torch.testing.assert_close(made["accompaniment"], made["drums"] + made["bass"])


@pytest.mark.parametrize("samples", [700, 9 * 1024 + 1016, 9 * 1024 + 1])
def test_masks_serve_the_ends_as_well(samples: int) -> None:
    """Noise is the same everywhere; so must be what masks leave of it."""
    voice, band = (noise(seed)[:, :samples] for seed in (1, 2))
    made = RatioMaskMethod().estimate(
        TRACK, TrackAudio(voice + band, {"a": voice, "b": band}, 8000)
    )
    for end in (slice(None, 100), slice(-100, None)):
        assert global_sdr(made["a"][:, end], voice[:, end]) > 1


def test_silence_is_masked_to_silence() -> None:
    silence = torch.zeros(1, 9000)
    made = RatioMaskMethod().estimate(
        TRACK, TrackAudio(silence, {"a": silence, "b": silence}, 8000)
    )
    assert not made["a"].any()


def test_the_mixture_stands_for_every_stem() -> None:
    sound = TRACK.load()
    made = MixtureMethod().estimate(TRACK, sound)
    assert {*made} == {"vocals", "accompaniment"}
    assert all(wave.equal(sound.mixture) for wave in made.values())


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_HOME", str(tmp_path))
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="instrumental"))


@pytest.mark.usefixtures("zoo")
def test_a_model_gives_what_its_user_gets() -> None:
    """Stems of a full set add up to the mixture, and the rest has MUSDB18's name."""
    (method,) = model_methods(["tiny"], {"device": "cpu"})
    wave = noise(3, channels=2)
    sound = TrackAudio(wave, {"vocals": wave}, 8000)
    made = method.estimate(TRACK, sound)
    assert (method.name, {*made}) == ("tiny", {"vocals", "accompaniment"})
    whole = made["vocals"] + made["accompaniment"]
    torch.testing.assert_close(whole, sound.mixture, atol=1e-5, rtol=0)
    assert method.settings(TRACK)["model"][0][0] == "tiny"


@pytest.mark.usefixtures("zoo")
def test_models_that_cannot_be_scored() -> None:
    with pytest.raises(UsageError, match=r"Two models are called tiny\. List each model once"):
        model_methods(["tiny", "tiny"], {"device": "cpu"})
    with pytest.raises(UnknownNameError, match="Unknown model 'tinny': did you mean 'tiny'"):
        model_methods(["tinny"], {"device": "cpu"})


def test_oracles_have_names_of_their_own() -> None:
    assert [method.name for method in oracle_methods()] == ["mixture", "ideal ratio mask"]
