"""BSSEval of a real song beside museval, frame by frame, as MUSDB18 is measured."""

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
"""Where the voice sings."""

PAIR = ("vocals", "accompaniment")
FOUR = ("vocals", "drums", "bass", "other")

Stems = Float[Tensor, "stem channel time"]


def real(audio: Path, name: str, seconds: int) -> Float[Tensor, "channel time"]:
    wave, rate = read_wave(audio / "multitrack" / f"{name}.flac")
    assert rate == RATE
    return torch.from_numpy(wave)[:, BEGIN : BEGIN + seconds * RATE]


def truth(audio: Path, names: tuple[str, ...], seconds: int) -> Stems:
    return torch.stack([real(audio, name, seconds) for name in names])


def separated(audio: Path, seconds: int) -> Stems:
    """By the bundled model."""
    mixture = real(audio, "mixture", seconds)
    vocals = Session(Options(device="cpu")).separate_array(mixture.T.numpy(), RATE)["vocals"]
    voice = torch.from_numpy(vocals.T.copy())
    return torch.stack([voice, mixture - voice])


def masked(audio: Path, names: tuple[str, ...], seconds: int) -> Stems:
    """By the ideal ratio mask."""
    references = dict(zip(names, truth(audio, names, seconds), strict=True))
    sound = TrackAudio(real(audio, "mixture", seconds), references, RATE)
    estimates = RatioMaskMethod().estimate(NoiseTrack("Sodium"), sound)
    return torch.stack([estimates[name] for name in names])


def assert_museval_agrees(estimate: Stems, reference: Stems, window: int) -> Tensor:
    """To a thousandth of a decibel in every window."""
    scores = bss_eval(estimate, reference, window, window)
    found = torch.stack([scores.sdr, scores.isr, scores.sir, scores.sar])
    expected = museval_scores(estimate, reference, window, window)
    assert expected.isfinite().any()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0, equal_nan=True)
    return expected


@pytest.mark.parametrize("channels", [1, 2])
def test_the_bundled_model(real_audio: Path, channels: int) -> None:
    reference, estimate = truth(real_audio, PAIR, 8), separated(real_audio, 8)
    mixed = ((side[:, :1] if channels == 1 else side) for side in (estimate, reference))
    assert assert_museval_agrees(*mixed, window=RATE).isfinite().all()


def test_a_voice_that_rests(real_audio: Path) -> None:
    """Three whole seconds of digital silence."""
    reference, estimate = truth(real_audio, PAIR, 6), separated(real_audio, 6)
    reference[0, :, RATE : 4 * RATE] = 0
    expected = assert_museval_agrees(estimate, reference, RATE)
    assert expected.isnan().any(0).any(0).tolist() == [False, True, True, True, False, False]


def test_windows_of_two_seconds_and_a_half(real_audio: Path) -> None:
    assert_museval_agrees(separated(real_audio, 5), truth(real_audio, PAIR, 5), RATE * 5 // 2)


def test_less_than_a_window(real_audio: Path) -> None:
    reference, estimate = (
        side[..., : RATE // 3] for side in (truth(real_audio, PAIR, 1), separated(real_audio, 1))
    )
    assert_museval_agrees(estimate, reference, RATE)


@pytest.mark.parametrize("channels", [1, 2])
def test_four_stems(real_audio: Path, channels: int) -> None:
    reference, estimate = truth(real_audio, FOUR, 4), masked(real_audio, FOUR, 4)
    cut = (side[:, :channels] for side in (estimate, reference))
    assert_museval_agrees(*cut, window=RATE)
