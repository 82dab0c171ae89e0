"""The plain mistakes of a first hour: one clear sentence and an exit code, or the right output.

The engine is the real one, with a small untrained network; what it must give for one sample, for
silence and for six channels are laws: same length, rate and channels, and stems that add up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from model_zoo.card import Card
from model_zoo.install import install
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import Typed

RATE = 16_000
STEMS = ("vocals", "band")
TRUNCATED = 1000  # bytes

Sound = NDArray[np.float32]


def noise(frames: int, channels: int) -> Sound:
    dice = np.random.default_rng(0)
    return dice.uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def write(name: str, wave: Sound) -> None:
    soundfile.write(name, wave, RATE, subtype="FLOAT")


@pytest.fixture
def first_hour(typed: Typed, tmp_path: Path) -> Typed:
    """A folder with a song, and a zoo with one small model."""
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    write("song.wav", noise(RATE // 4, 2))
    return typed


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:TRUNCATED])


def nothing(folder: Path) -> None:
    """The mistake is in the words, not in the folder."""


Mistake = tuple[Callable[[Path], object], tuple[str, ...], int, str]

MISTAKES: dict[str, Mistake] = {
    "missing file": (nothing, ("missing.wav",), 1, r"no file missing\.wav"),
    "empty file": (lambda at: (at / "e.wav").touch(), ("e.wav",), 1, r"e\.wav is empty"),
    "text named mp3": (
        lambda at: (at / "text.mp3").write_text("This is no music. " * 99),
        ("text.mp3",),
        1,
        r"No sound .* text\.mp3",
    ),
    "folder": (lambda at: (at / "x").mkdir(), ("x",), 2, "x is a folder. Type: stem batch x"),
    "unknown model": (nothing, ("song.wav", "-m", "tinny"), 2, "did you mean 'tiny'"),
    "unknown stem": (nothing, ("song.wav", "--stems", "vocal"), 2, "did you mean 'vocals'"),
    "unknown two stems": (nothing, ("song.wav", "--two-stems", "drums"), 2, "known: band, vocals"),
    "output below a file": (nothing, ("song.wav", "-o", "song.wav/x"), 1, r"song\.wav is a file"),
    "no cuda": (nothing, ("song.wav", "--device", "cuda"), 2, "No CUDA GPU .* --device cpu"),
    "truncated weights of the zoo": (
        lambda at: truncate(at / ".zoo/tiny.safetensors"),
        ("song.wav",),
        1,
        r"tiny\.safetensors has 1000 bytes instead of \d+",
    ),
    "truncated weights by path": (
        lambda at: truncate(at / ".zoo/tiny.safetensors"),
        ("song.wav", "-m", ".zoo/tiny.safetensors"),
        1,
        r"tiny\.safetensors is damaged",
    ),
    "address": (
        nothing,
        ("https://example.org/song.mp3",),
        1,
        r"is an address, which stem does not read: download it",
    ),
    "no end": (nothing, ("song.wav", "--end", "0"), 2, r"--end must come after --start"),
    "clipping refused to mp3": (
        nothing,
        ("song.wav", "-f", "mp3", "--clip-mode", "none"),
        2,
        "--clip-mode none needs floating point, which mp3 does not hold: type --format wav",
    ),
    "768 kHz in flac": (
        lambda at: soundfile.write("high.wav", noise(RATE, 2), 768_000),
        ("high.wav", "-f", "flac"),
        1,
        r"^Error: (high\.wav: )?flac goes up to 655350 Hz, .* 768000: type --format wav",
    ),
    "768 kHz in ogg": (
        lambda at: soundfile.write("high.wav", noise(RATE, 2), 768_000),
        ("high.wav", "-f", "ogg"),
        1,
        "ogg goes up to 200000 Hz",
    ),
    "start behind the end": (
        nothing,
        ("song.wav", "--start", "10"),
        1,
        "song.wav ends before 10.00 s",
    ),
    "six channels in mp3": (
        lambda at: write("six.wav", noise(RATE // 4, 6)),
        ("six.wav", "-f", "mp3"),
        1,
        "channels",
    ),
    "depth of a lossy format": (
        nothing,
        ("song.wav", "-f", "mp3", "--bit-depth", "24"),
        2,
        "--bit-depth",
    ),
    "song as output": (
        nothing,
        ("song.wav", "-o", ".", "--filename", "{track}.{ext}", "--stems", "vocals"),
        1,
        "would replace the song",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_one_sentence_and_nothing_half_written(
    mistake: Mistake, first_hour: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, words, code, sentence = mistake
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    model = () if "-m" in words else ("-m", "tiny")
    result = first_hour("separate", *words, *model)
    assert result.exit_code == code, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert re.search(sentence, line), line
    assert sorted(tmp_path.rglob("*")) == before


SOUNDS = {
    "one sample": noise(1, 2),
    "silence": np.zeros((RATE // 2, 2), np.float32),
    "six channels": noise(RATE // 4, 6),
    "mono": noise(RATE // 4, 1),
}


@pytest.mark.parametrize("wave", SOUNDS.values(), ids=SOUNDS.keys())
def test_the_right_output(wave: Sound, first_hour: Typed, tmp_path: Path) -> None:
    write("odd.wav", wave)
    result = first_hour("separate", "odd.wav", "-m", "tiny")
    assert (result.exit_code, result.stderr) == (0, "")
    stems = [
        soundfile.read(tmp_path / f"separated/odd/{stem}.wav", always_2d=True) for stem in STEMS
    ]
    assert {rate for _, rate in stems} == {RATE}
    assert {stem.shape for stem, _ in stems} == {wave.shape}
    np.testing.assert_allclose(sum(stem for stem, _ in stems), wave, atol=1e-6)
    if not wave.any():
        assert not any(stem.any() for stem, _ in stems)


def test_a_bad_file_among_good_ones(first_hour: Typed, tmp_path: Path) -> None:
    (tmp_path / "bad.mp3").touch()
    result = first_hour("separate", "bad.mp3", "song.wav", "-m", "tiny")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "separated").iterdir()) == ["song"]
    assert result.stdout.splitlines()[-1].split()[:3] == ["1", "0", "1"]


def test_a_song_that_may_not_be_read_among_good_ones(
    first_hour: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Click's own check, which would refuse all songs, asks ``os.access``."""
    monkeypatch.setattr("os.access", lambda path, mode, **choices: str(path) != "song.wav")
    assert first_hour("separate", "song.wav", "-m", "tiny").exit_code == 0


def test_half_a_song_is_separated_and_told(first_hour: Typed, tmp_path: Path) -> None:
    whole = tmp_path / "song.wav"
    write("song.wav", noise(2 * RATE, 2))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    result = first_hour("separate", "song.wav", "-m", "tiny")
    assert result.exit_code == 0
    assert "Note: song.wav: its sound ends at" in result.stdout


def test_high_rates_are_kept_by_wav_alone(first_hour: Typed, tmp_path: Path) -> None:
    soundfile.write("high.wav", noise(RATE, 2), 768_000)
    result = first_hour("separate", "high.wav", "-m", "tiny", "-f", "mp3")
    assert "written at 48000 Hz (--format wav keeps it)" in result.stdout


def test_a_batch_with_two_workers(first_hour: Typed, tmp_path: Path) -> None:
    for folder in ("one", "two [x]"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        write(f"in/{folder}/song.wav", noise(RATE // 2, 2))
    (tmp_path / "in/two [x]/bad.ogg").write_text("no")
    result = first_hour("batch", "in", "-m", "tiny", "-j", "2", "--report", "r.json", "-f", "flac")
    assert result.exit_code == 1
    assert (tmp_path / "separated/two [x]/song/band.flac").is_file()
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["done"], report["failed"], report["audio_seconds"]) == (2, 1, 1.0)
