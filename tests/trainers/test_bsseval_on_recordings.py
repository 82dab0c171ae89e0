"""BSSEval of a real song, compared with museval frame by frame, with the settings of MUSDB18."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from stemcli.engine.options import Options
from stemcli.engine.session import Session
from tests.trainers.bsseval_reference import museval_scores
from tests.trainers.evaluation.songs import NoiseTrack
from trainers.data.recording import read_wave
from trainers.evaluation.methods import RatioMaskMethod
from trainers.evaluation.tracks import TrackAudio
from trainers.metrics.bsseval import bss_eval

pytestmark = pytest.mark.audio

RATE = 44100
BEGIN = 10 * RATE
"""A sample where the voice sings."""

PAIR = ("vocals", "accompaniment")
FOUR = ("vocals", "drums", "bass", "other")

Stems = Float[Tensor, "stem channel time"]


def read_audio(folder: Path, name: str, seconds: int) -> Float[Tensor, "channel time"]:
    wave, rate = read_wave(folder / "multitrack" / f"{name}.flac")
    assert rate == RATE
    return torch.from_numpy(wave)[:, BEGIN : BEGIN + seconds * RATE]


def read_stems(folder: Path, names: tuple[str, ...], seconds: int) -> Stems:
    return torch.stack([read_audio(folder, name, seconds) for name in names])


def separated(folder: Path, seconds: int) -> Stems:
    """Stems estimated by the bundled model."""
    mixture = read_audio(folder, "mixture", seconds)
    vocals = Session(Options(device="cpu")).separate_array(mixture.T.numpy(), RATE)["vocals"]
    voice = torch.from_numpy(vocals.T.copy())
    return torch.stack([voice, mixture - voice])


def masked(folder: Path, names: tuple[str, ...], seconds: int) -> Stems:
    """Stems estimated by the ideal ratio mask."""
    references = dict(zip(names, read_stems(folder, names, seconds), strict=True))
    track = TrackAudio(read_audio(folder, "mixture", seconds), references, RATE)
    estimates = RatioMaskMethod().estimate(NoiseTrack("Sodium"), track)
    return torch.stack([estimates[name] for name in names])


def assert_museval_agrees(estimate: Stems, reference: Stems, window: int) -> Tensor:
    """Scores equal museval's to a thousandth of a decibel in every window."""
    scores = bss_eval(estimate, reference, window, window)
    found = torch.stack([scores.sdr, scores.isr, scores.sir, scores.sar])
    expected = museval_scores(estimate, reference, window, window)
    assert expected.isfinite().any()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0, equal_nan=True)
    return expected


@pytest.mark.parametrize("channels", [1, 2])
def test_the_bundled_model(real_audio: Path, channels: int) -> None:
    reference, estimate = read_stems(real_audio, PAIR, 8), separated(real_audio, 8)
    mono_or_stereo = ((waves[:, :1] if channels == 1 else waves) for waves in (estimate, reference))
    assert assert_museval_agrees(*mono_or_stereo, window=RATE).isfinite().all()


def test_windows_without_vocals(real_audio: Path) -> None:
    """Three seconds of digital silence in the vocals."""
    reference, estimate = read_stems(real_audio, PAIR, 6), separated(real_audio, 6)
    reference[0, :, RATE : 4 * RATE] = 0
    expected = assert_museval_agrees(estimate, reference, RATE)
    assert expected.isnan().any(0).any(0).tolist() == [False, True, True, True, False, False]


def test_windows_of_two_seconds_and_a_half(real_audio: Path) -> None:
    assert_museval_agrees(separated(real_audio, 5), read_stems(real_audio, PAIR, 5), RATE * 5 // 2)


def test_a_song_shorter_than_a_window(real_audio: Path) -> None:
    reference, estimate = (
        waves[..., : RATE // 3]
        for waves in (read_stems(real_audio, PAIR, 1), separated(real_audio, 1))
    )
    assert_museval_agrees(estimate, reference, RATE)


@pytest.mark.parametrize("channels", [1, 2])
def test_four_stems(real_audio: Path, channels: int) -> None:
    reference, estimate = read_stems(real_audio, FOUR, 4), masked(real_audio, FOUR, 4)
    cut = (waves[:, :channels] for waves in (estimate, reference))
    assert_museval_agrees(*cut, window=RATE)
