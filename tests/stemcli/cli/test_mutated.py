"""Damaged files of every format: an error or stems, never a traceback, hang or silent loss.

Properties: a failure is one error message, and a success gives stems of equal length. Reference:
ffmpeg, which continues after errors; if it decodes more than the stems hold, there is a notice.

Each seed is printed; ``STEM_TEST_SEED=NUMBER`` repeats it.
"""

from __future__ import annotations

import faulthandler
import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.audio.ffmpeg_binary import find_ffmpeg
from tests.audio_files import ffmpeg, noisy_tones, write_audio
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import errors

FORMATS = {
    **dict.fromkeys(("wav", "flac", "aiff", "ogg", "mp3", "m4a", "opus", "wma", "mkv", "webm"), ""),
    **dict.fromkeys(("w64", "caf", "aac", "ac3", "mp2", "wv", "tta", "ts", "avi"), ""),
    "au": "pcm_s16be",
    "oga": "flac",
    "spx": "libspeex",
    "mov": "pcm_s16le",
    "flv": "pcm_s16le",
}
"""File extensions, with a codec where the extension does not imply one."""

FILES = 15
"""Damaged files per format, 360 in all."""

PADDING = 0.15
"""Tolerance for the padding of lossy formats at both ends, in seconds at 16 kHz."""

EXACT = ("wav", "flac", "aiff", "w64", "caf", "wv", "tta", "au", "oga", "mov")
"""Lossless formats, compared to the sample."""

RATE = 16_000
SECONDS = 3

QUICK = ("--precision", "fp32", "--segment", "1")
"""Options with which a song takes 0.2 s; with the network's defaults it takes 9 s."""

AU_HEADER, AU_ANNOTATION = 24, 8
"""Bytes of an AU header and of the annotation that ffmpeg writes behind it."""

HEADER = 200
"""Length of the header in bytes, which gets half of all damage."""

TIMEOUT = 60
"""Timeout per song in seconds, which ends the process; a song takes 0.2 s."""


def flip(data: bytearray, at: int, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 4, 16])):
        data[min(at + rng.randrange(16), len(data) - 1)] = rng.randrange(256)


def cut(data: bytearray, at: int, rng: random.Random) -> None:
    del data[at:]


def lose(data: bytearray, at: int, rng: random.Random) -> None:
    del data[at : at + rng.choice([1, 100, 4000])]


def blank(data: bytearray, at: int, rng: random.Random) -> None:
    size = min(rng.choice([4, 100, 4000]), len(data) - at)
    data[at : at + size] = bytes(size)


def insert(data: bytearray, at: int, rng: random.Random) -> None:
    data[at:at] = rng.randbytes(rng.choice([1, 100, 4000]))


Damage = Callable[[bytearray, int, random.Random], None]
DAMAGES: tuple[Damage, ...] = (flip, cut, lose, blank, insert)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Apply one to three kinds of damage, half of them in the header."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if damaged:
            end = min(HEADER, len(damaged)) if rng.random() < 0.5 else len(damaged)
            rng.choice(DAMAGES)(damaged, rng.randrange(end), rng)
    return bytes(damaged)


def decoded_by_ffmpeg(song: Path) -> float:
    """Seconds that ffmpeg decodes; 0 if none."""
    command = [find_ffmpeg(), "-v", "quiet", "-i", song, "-map", "0:a:0", "-f", "au", "-"]
    decoded = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout
    if len(decoded) < 24:
        return 0.0
    _, offset, _, _, rate, channels = struct.unpack_from(">6I", decoded)
    return (len(decoded) - offset) / (2 * channels * rate)  # au is written in 16 bits by default


def tolerance(extension: str, song: Path) -> float:
    """Seconds that ffmpeg may decode beyond the stems.

    In an AU file the sound starts at the offset that the header gives. If that lies within the
    header, the annotation is sound to ffmpeg, which reads on, but not to libsndfile.
    """
    if extension not in EXACT:
        return PADDING
    half_a_frame = 0.5 / RATE
    if extension == "au":
        _, offset, _, _, rate, channels = struct.unpack_from(">6I", song.read_bytes())
        if offset < AU_HEADER:
            return AU_ANNOTATION / (2 * channels * rate) + half_a_frame
    return half_a_frame


def encoded(path: Path, sound: NDArray[np.float32], codec: str) -> bytes:
    """The bytes of an undamaged file."""
    if not codec:
        return write_audio(path, sound, RATE).read_bytes()
    ffmpeg("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", codec, path, sound=sound)
    return path.read_bytes()


@pytest.fixture
def terminal(capfd: pytest.CaptureFixture[str]) -> Iterator[TextIO]:
    """The terminal of pytest; output there appears even if the process is killed."""
    with capfd.disabled():
        descriptor = os.dup(2)
    with os.fdopen(descriptor, "w") as file:
        yield file


@pytest.mark.slow
@pytest.mark.parametrize("extension", FORMATS)
def test_damaged_files(extension: str, run_stem: RunStem, tmp_path: Path, terminal: TextIO) -> None:
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    sound = noisy_tones(SECONDS * RATE, RATE)
    intact = encoded(tmp_path / f"whole.{extension}", sound, FORMATS[extension])
    seed = int(os.environ.get("STEM_TEST_SEED", random.randrange(2**32)))
    print(f"{extension}: seed {seed}", file=terminal, flush=True)
    rng, outcomes = random.Random(seed), {0: 0, 1: 0}
    for number in range(FILES):
        song = tmp_path / f"song.{extension}"
        song.write_bytes(damage(intact, rng))
        output = tmp_path / f"out{number}"
        faulthandler.dump_traceback_later(TIMEOUT, exit=True, file=terminal)
        result = run_stem("separate", song, "-m", "tiny", "-o", output, *QUICK)
        faulthandler.cancel_dump_traceback_later()
        context = f"seed {seed}, file {number}: {result.output}"
        assert result.exit_code in outcomes, context
        outcomes[result.exit_code] += 1
        if result.exit_code == 1:
            (line,) = errors(result.stderr)
            assert line.startswith("Error: "), context
            assert "bug in stem" not in line, context
            assert not output.exists(), context
        else:
            lengths = {soundfile.info(path).duration for path in output.rglob("*.wav")}
            assert len(lengths) == 1, context
            has_notice = "Note: " in result.output
            missing = decoded_by_ffmpeg(song) - lengths.pop()
            assert has_notice or missing <= tolerance(extension, song), context
    print(f"{extension}: {outcomes[0]} separated, {outcomes[1]} refused", file=terminal)
