"""Unusual but valid songs and folders get the right output.

Properties: stems have the length, rate and channels of the song, are written under its name and
add up to it; silence gives silence.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from tests.stemcli.cli.bad_songs import (
    LONG,
    RATE,
    STEMS,
    Make,
    Sound,
    noise,
    patched_header,
    write,
    write_song,
    write_song_in_16_bits,
)
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import errors


class Odd(NamedTuple):
    """An unusual but valid song."""

    wave: Sound
    rate: int = RATE
    name: str = "odd.wav"


ODD = {
    "one sample": Odd(noise(1)),
    "silence": Odd(np.zeros((RATE // 2, 2), np.float32)),
    "mono": Odd(noise(channels=1)),
    "six channels": Odd(noise(channels=6)),
    "eight channels": Odd(noise(channels=8)),
    "1 kHz": Odd(noise(1000), rate=1000),
    "768 kHz": Odd(noise(RATE), rate=768_000),
    "emoji": Odd(noise(), name="niño 🎸.wav"),
    "brackets": Odd(noise(), name="[live] {track} %s (*).wav"),
    "line break": Odd(noise(), name="two\nlines.wav"),
    "255 bytes": Odd(noise(), name=LONG),
    "255 bytes of emoji": Odd(noise(), name="🎸" * 62 + "xyz.wav"),
    "no text": Odd(noise(), name=os.fsdecode(b"caf\xe9.wav")),
}

odd_songs = pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())


def check_stems(folder: Path, wave: Sound, rate: int) -> None:
    read = [
        soundfile.read(os.fsencode(folder / f"{stem}.wav"), always_2d=True, dtype="float32")
        for stem in STEMS
    ]
    assert [(stem.shape, stem_rate) for stem, stem_rate in read] == [(wave.shape, rate)] * 2
    np.testing.assert_allclose(sum(stem for stem, _ in read), wave, atol=1e-6)
    if not wave.any():
        assert not any(stem.any() for stem, _ in read)


@odd_songs
def test_an_odd_song_alone(odd: Odd, run_tiny: RunStem, tmp_path: Path) -> None:
    write(tmp_path / odd.name, odd.wave, odd.rate)
    result = run_tiny("separate", odd.name)
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    check_stems(tmp_path / "separated" / Path(odd.name).stem, odd.wave, odd.rate)


@odd_songs
def test_an_odd_song_in_a_library(odd: Odd, run_tiny: RunStem, tmp_path: Path) -> None:
    (tmp_path / "in/x").mkdir(parents=True)
    write(tmp_path / "in/x" / odd.name, odd.wave, odd.rate)
    result = run_tiny("batch", "in")
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    check_stems(tmp_path / "separated/x" / Path(odd.name).stem, odd.wave, odd.rate)


def test_a_line_break_in_a_name_adds_no_line(run_tiny: RunStem, tmp_path: Path) -> None:
    """Property: the output has as many lines as for any other name."""
    outputs = []
    for name in ("two\nlines.wav", "one line.wav"):
        write_song(tmp_path / name)
        outputs.append(run_tiny("separate", name).stderr.splitlines())
    assert len(outputs[0]) == len(outputs[1])
    assert outputs[0][1].startswith("two\ufffdlines.wav: ")


@pytest.mark.parametrize("size", [0xFFFFFFF0, 0xFFFFFFFF, 3_000_000_000])
def test_a_header_with_a_placeholder_size(size: int, run_tiny: RunStem, tmp_path: Path) -> None:
    """Programs that write into a pipe leave such sizes in complete files."""
    (tmp_path / "in").mkdir()
    write_song_in_16_bits(tmp_path / "honest.wav")
    wave, _ = soundfile.read(tmp_path / "honest.wav", dtype="float32")
    patched_header(40, "<I", size)(tmp_path / "in/song.wav")
    for number, command in enumerate([("separate", "in/song.wav"), ("batch", "in")]):
        result = run_tiny(*command, "--bit-depth", "32f", "-o", number)
        assert (result.exit_code, errors(result.stderr)) == (0, [])
        check_stems(tmp_path / f"{number}/song", wave, RATE)


@pytest.mark.parametrize(
    ("rate", "format", "written"),
    [
        (1000, "mp3", "8000 Hz (--format flac"),
        (768_000, "mp3", "48000 Hz (--format wav"),
        (768_000, "m4a", "96000 Hz (--format wav"),
    ],
)
def test_another_sample_rate_is_reported(
    rate: int, format: str, written: str, run_tiny: RunStem, tmp_path: Path
) -> None:
    write(tmp_path / "song.wav", noise(min(rate, RATE)), rate)
    result = run_tiny("separate", "song.wav", "-f", format)
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    assert f"{format} does not support {rate} Hz: written at {written} keeps it)" in result.stderr


def folder_named_like_a_song(songs: Path) -> None:
    (songs / "x.wav").mkdir()


def circular_links(songs: Path) -> None:
    (songs / "x").mkdir()
    (songs / "x/up").symlink_to("..")
    (songs / "x/self").symlink_to("self")


def hidden_mac_file(songs: Path) -> None:
    (songs / "._song.wav").touch()


@pytest.mark.parametrize("make", [folder_named_like_a_song, circular_links, hidden_mac_file])
def test_odd_folders_are_valid(make: Make, run_tiny: RunStem, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_song(tmp_path / "in/song.wav")
    make(tmp_path / "in")
    result = run_tiny("batch", "in")
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    assert sorted(path.name for path in (tmp_path / "separated").rglob("*.wav")) == [
        "band.wav",
        "vocals.wav",
    ]
