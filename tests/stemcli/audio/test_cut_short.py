"""Files whose end is missing. Truth: whole files that libsndfile wrote, cut in the middle."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemcli.audio.cut_short import cut_short
from stemcli.audio.reader import open_audio

RATE, SECONDS = 22_050, 4


def written(path: Path, subtype: str | None = None) -> Path:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE * SECONDS, 2))
    soundfile.write(path, wave, RATE, subtype=subtype)
    return path


def verdict(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return cut_short(reader.info, reader.position)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff"])
def test_a_whole_file_gives_no_reason_to_speak(tmp_path: Path, name: str) -> None:
    assert verdict(written(tmp_path / name)) == ""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.wav", r"ends at 2\.00 s of 4\.00 s: the file seems to be cut off"),
        ("a.mp3", r"ends at [12]\.\d\d s of 4\.\d\d s: the file seems to be cut off"),
        ("a.ogg", r"ends at [12]\.\d\d s without the mark of an end"),
    ],
)
def test_half_a_file_is_told(tmp_path: Path, name: str, sentence: str) -> None:
    path = written(tmp_path / name)
    whole = path.read_bytes()
    # An Ogg is cut between two pages: libsndfile itself refuses half a page.
    half = whole.rfind(b"OggS", 0, len(whole) // 2) if name == "a.ogg" else len(whole) // 2
    path.write_bytes(whole[:half])
    assert re.search(sentence, verdict(path))


def test_the_placeholder_of_a_program_that_wrote_into_a_pipe_is_no_promise(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    at = content.find(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert verdict(path) == ""
