"""The bundled model on real recordings, through the command line, in every output format.

Properties: stems have the rate, channels and length of the decoded song, and float stems add up
to it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stemcli.audio.reader import open_audio
from stemcli.cli.app import stem
from stemcli.engine.overlap_add import Block

pytestmark = [pytest.mark.audio, pytest.mark.slow]

RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (8000, 12000, 16000, 24000, 48000),
    "m4a": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
"""Sample rates of MPEG-1, 2 and 2.5 layer III, Opus (RFC 6716) and AAC, up to 48 kHz."""


def decoded(path: Path) -> tuple[Block, int]:
    with open_audio(path) as reader:
        return np.concatenate(list(reader)), reader.info.sample_rate


def batch(songs: Path, output: Path, *options: str) -> None:
    result = CliRunner().invoke(stem, ["batch", str(songs), "--output", str(output), *options])
    assert result.exit_code == 0, result.output


def stems_of(song: Path, output: Path) -> list[Path]:
    return sorted((output / song.stem).iterdir())


def test_float_stems_add_up_to_the_decoded_song(real_audio: Path, tmp_path: Path) -> None:
    songs = real_audio / "mixtures"
    batch(songs, tmp_path, "--bit-depth", "32f")
    for song in songs.iterdir():
        mixture, rate = decoded(song)
        stems = [decoded(path) for path in stems_of(song, tmp_path)]
        assert [(wave.shape, stem_rate) for wave, stem_rate in stems] == [(mixture.shape, rate)] * 2
        error = sum(wave.astype(np.float64) for wave, _ in stems) - mixture
        level = 10 * np.log10(np.square(error).sum() / np.square(mixture).sum())
        print(f"{song.name}: {len(mixture)} samples, sum differs by {level:.1f} dB")
        assert level < -80, song.name


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "opus", "m4a"])
def test_every_format_keeps_the_length(kind: str, real_audio: Path, tmp_path: Path) -> None:
    songs = real_audio / "mixtures"
    batch(songs, tmp_path, "--format", kind)
    for song in songs.iterdir():
        mixture, rate = decoded(song)
        for path in stems_of(song, tmp_path):
            wave, stem_rate = decoded(path)
            assert wave.shape[1] == mixture.shape[1], path
            assert stem_rate == min((r for r in RATES.get(kind, ()) if r >= rate), default=rate), (
                path
            )
            assert abs(len(wave) - len(mixture) * stem_rate / rate) < 1, path
