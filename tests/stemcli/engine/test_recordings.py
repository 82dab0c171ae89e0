"""Separation of whole files: synthetic songs, and the recordings in STEM_TEST_AUDIO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemcli.audio.reader import open_audio
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from tests.stemcli.engine.stubs import MidSide, Positional, noise

SONGS = [
    ("stereo.flac", 44100, 2, "PCM_24"),
    ("mono.wav", 10512, 1, "PCM_16"),
    ("odd rate.wav", 32768, 2, "PCM_16"),
    ("six (5.1).wav", 48000, 6, "FLOAT"),
    ("ni\N{LATIN SMALL LETTER N WITH TILDE}o.ogg", 24000, 2, "VORBIS"),
    ("layer three.mp3", 44100, 2, "MPEG_LAYER_III"),
]


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    for name, rate, channels, subtype in SONGS:
        soundfile.write(folder / name, noise(3 * rate + 1, channels), rate, subtype)
    return [folder / name for name, *_ in SONGS]


def decoded(path: Path) -> Block:
    with open_audio(path) as reader:
        return np.concatenate(list(reader))


def level(error: Block, mixture: Block) -> float:
    """Energy of the error relative to the mixture, in dB."""
    energies = [np.square(wave, dtype=np.float64).sum() for wave in (error, mixture)]
    return float(10 * np.log10(energies[0] / energies[1]))


MODELS = pytest.mark.parametrize(
    "model",
    [
        LoadedModel("own rate", Positional(stems=("a", "b"), sample_rate=44100, segment=150000)),
        LoadedModel(
            "pairs", MidSide(stems=("m", "s"), channels=2, sample_rate=16000, segment=50000)
        ),
    ],
    ids=lambda model: model.name,
)


@MODELS
def test_float_stems_add_up_to_every_song(
    songs: list[Path], model: LoadedModel, tmp_path: Path
) -> None:
    check_that_stems_add_up(songs, model, tmp_path)


@pytest.mark.audio
@MODELS
def test_float_stems_add_up_to_real_songs(
    real_audio: Path, model: LoadedModel, tmp_path: Path
) -> None:
    check_that_stems_add_up(sorted((real_audio / "mixtures").iterdir()), model, tmp_path)


def check_that_stems_add_up(songs: list[Path], model: LoadedModel, tmp_path: Path) -> None:
    """Property: same rate, channels and length as decoded; the sum's error is below -80 dB."""
    options = Options(model=("net",), output=str(tmp_path), depth="32f", device="cpu")
    session = Session(options, load=lambda name: model)
    for song in songs:
        result = session.separate_file(song)
        mixture = decoded(song)
        stems = [decoded(path) for path in result.outputs.values()]
        assert {stem.shape for stem in stems} == {mixture.shape}, song.name
        assert {soundfile.info(path).samplerate for path in result.outputs.values()} == {
            result.sample_rate
        }
        assert level(sum(stems) - mixture, mixture) < -80, song.name
        for path in result.outputs.values():
            path.unlink()
