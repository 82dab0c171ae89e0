"""Damaged files of every format: a sentence or stems, never a traceback, a hang or a silent loss.

Truth: laws, and ffmpeg. A failure is one sentence; a success gives stems of one length; where
ffmpeg, which goes on after errors, hears more than they hold, somebody says so.

Every seed is shown; ``STEM_TEST_SEED=NUMBER`` repeats one.
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
from tests.stemcli.cli.conftest import Typed
from tests.stemcli.cli.watching import errors

FORMATS = {
    **dict.fromkeys(("wav", "flac", "aiff", "ogg", "mp3", "m4a", "opus", "wma", "mkv", "webm"), ""),
    **dict.fromkeys(("w64", "caf", "aac", "ac3", "mp2", "wv", "tta", "ts", "avi"), ""),
    "au": "pcm_s16be",
    "oga": "flac",
    "spx": "libspeex",
    "mov": "pcm_s16le",
    "flv": "pcm_s16le",
}
"""Endings, and the codecs of those that do not name one."""

FILES = 15
"""Per format: 360 in all."""

PADDING = 0.15
"""Seconds that decoders of lossy formats find more or less at both ends, at 16 kHz."""

EXACT = ("wav", "flac", "aiff", "w64", "caf", "wv", "tta", "au", "oga", "mov")
"""Lossless formats, whose samples are counted one by one."""

RATE = 16_000
SECONDS = 3

QUICKLY = ("--precision", "fp32", "--segment", "1")
"""A fifth of a second for a song, where the defaults of a network as small take nine."""

HEADER = 200
"""Bytes at the start, where half of all damage is done."""

HANGS = 60
"""Seconds after which a song hangs, and the process ends; one takes a fifth of a second."""


def flip(data: bytearray, at: int, dice: random.Random) -> None:
    for _ in range(dice.choice([1, 4, 16])):
        data[min(at + dice.randrange(16), len(data) - 1)] = dice.randrange(256)


def cut(data: bytearray, at: int, dice: random.Random) -> None:
    del data[at:]


def lose(data: bytearray, at: int, dice: random.Random) -> None:
    del data[at : at + dice.choice([1, 100, 4000])]


def blank(data: bytearray, at: int, dice: random.Random) -> None:
    size = min(dice.choice([4, 100, 4000]), len(data) - at)
    data[at : at + size] = bytes(size)


def insert(data: bytearray, at: int, dice: random.Random) -> None:
    data[at:at] = dice.randbytes(dice.choice([1, 100, 4000]))


Damage = Callable[[bytearray, int, random.Random], None]
DAMAGES: tuple[Damage, ...] = (flip, cut, lose, blank, insert)


def damage(data: bytes, dice: random.Random) -> bytes:
    """One to three wounds, half of them in the header."""
    hurt = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        if hurt:
            end = min(HEADER, len(hurt)) if dice.random() < 0.5 else len(hurt)
            dice.choice(DAMAGES)(hurt, dice.randrange(end), dice)
    return bytes(hurt)


def heard_by_ffmpeg(song: Path) -> float:
    """Seconds; 0 when it hears nothing."""
    command = [find_ffmpeg(), "-v", "quiet", "-i", song, "-map", "0:a:0", "-f", "au", "-"]
    decoded = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout
    if len(decoded) < 24:
        return 0.0
    _, offset, _, _, rate, channels = struct.unpack_from(">6I", decoded)
    return (len(decoded) - offset) / (2 * channels * rate)  # 16 bits unless told otherwise


def written(path: Path, sound: NDArray[np.float32], codec: str) -> bytes:
    """The bytes of a whole file."""
    if not codec:
        return write_audio(path, sound, RATE).read_bytes()
    ffmpeg("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", codec, path, sound=sound)
    return path.read_bytes()


@pytest.fixture
def terminal(capfd: pytest.CaptureFixture[str]) -> Iterator[TextIO]:
    """Where pytest was started; what is written there is seen even when the process ends."""
    with capfd.disabled():
        shown = os.dup(2)
    with os.fdopen(shown, "w") as file:
        yield file


@pytest.mark.slow
@pytest.mark.parametrize("extension", FORMATS)
def test_damaged_files(extension: str, typed: Typed, tmp_path: Path, terminal: TextIO) -> None:
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    sound = noisy_tones(SECONDS * RATE, RATE)
    whole = written(tmp_path / f"whole.{extension}", sound, FORMATS[extension])
    seed = int(os.environ.get("STEM_TEST_SEED", random.randrange(2**32)))
    print(f"{extension}: seed {seed}", file=terminal, flush=True)
    dice, outcomes = random.Random(seed), {0: 0, 1: 0}
    for number in range(FILES):
        song = tmp_path / f"song.{extension}"
        song.write_bytes(damage(whole, dice))
        output = tmp_path / f"out{number}"
        faulthandler.dump_traceback_later(HANGS, exit=True, file=terminal)
        result = typed("separate", song, "-m", "tiny", "-o", output, *QUICKLY)
        faulthandler.cancel_dump_traceback_later()
        context = f"seed {seed}, file {number}: {result.output}"
        assert result.exit_code in outcomes, context
        outcomes[result.exit_code] += 1
        if result.exit_code == 1:
            (line,) = errors(result.stderr)
            assert line.startswith("Error: "), context
            assert "defect" not in line, context
            assert not output.exists(), context
        else:
            lengths = {soundfile.info(path).duration for path in output.rglob("*.wav")}
            assert len(lengths) == 1, context
            told = "Note: " in result.output
            missing = heard_by_ffmpeg(song) - lengths.pop()
            assert told or missing <= (0.5 / RATE if extension in EXACT else PADDING), context
    print(f"{extension}: {outcomes[0]} separated, {outcomes[1]} refused", file=terminal)
