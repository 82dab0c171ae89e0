"""Edit lists of MP4: which part of the media is played (ISO/IEC 14496-12, section 8.6.6).

Expected: lengths worked by hand; values of ffmpeg's decode of the same file, which supports edit
lists. Property: an edit does not count as missing audio.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stemcli.audio.reader import open_audio, probe
from tests.audio_files import ffmpeg, noisy_tones, write_audio
from tests.stemcli.audio.decoding import decode

RATE = 44_100
PRIMING = 1024
"""Samples that the AAC encoder adds in front."""


def edited(path: Path, *edits: tuple[float, int]) -> Path:
    """Four seconds of AAC with another edit list, of played seconds and first media tick."""
    write_audio(path, noisy_tones(4 * RATE))
    data = bytearray(path.read_bytes())
    at = data.find(b"elst")
    (scale,) = struct.unpack_from(">I", data, data.find(b"mvhd") + 16)
    (old,) = struct.unpack_from(">I", data, at - 4)
    entries = b"".join(struct.pack(">IiI", round(s * scale), tick, 1 << 16) for s, tick in edits)
    box = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    data[at - 4 : at - 4 + old] = box
    for name in (b"edts", b"trak", b"moov"):
        position = data.find(name) - 4
        (size,) = struct.unpack_from(">I", data, position)
        struct.pack_into(">I", data, position, size + len(box) - old)
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[NDArray[np.float32], str]:
    with open_audio(path) as reader:
        return np.concatenate(list(reader)), reader.doubt


def decode_with_ffmpeg(path: Path) -> NDArray[np.float32]:
    return np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), "<f4").reshape(-1, 2)


@pytest.mark.parametrize(
    ("edits", "frames"),
    [
        ([(4.0, PRIMING)], 4 * RATE),
        ([(3.0, PRIMING)], 3 * RATE),
        ([(2.0, PRIMING + RATE)], 2 * RATE),
        ([(3.0, PRIMING + RATE)], 3 * RATE),
        ([(1.0, -1), (2.5, PRIMING)], round(2.5 * RATE)),
        ([(0.5, PRIMING + 3 * RATE)], RATE // 2),
    ],
)
def test_the_edit_list_sets_the_audio(
    edits: list[tuple[float, int]], frames: int, tmp_path: Path
) -> None:
    path = edited(tmp_path / "song.m4a", *edits)
    wave, doubt = read(path)
    assert (len(wave), doubt) == (frames, "")
    assert probe(path).frames == frames
    assert np.array_equal(wave, decode_with_ffmpeg(path)[:frames])


def test_several_edits_are_played_as_in_ffmpeg(tmp_path: Path) -> None:
    """Complete frames of each edit, because ffmpeg does not cut inside frames."""
    path = edited(tmp_path / "song.m4a", (1.0, PRIMING), (1.0, PRIMING + 2 * RATE))
    wave, doubt = read(path)
    assert doubt == ""
    assert np.array_equal(wave, decode_with_ffmpeg(path))
    assert 2 * RATE <= len(wave) <= 2 * RATE + 2 * 1024


def test_a_file_cut_by_copying_packets_is_complete(tmp_path: Path) -> None:
    """As phones do, and ``ffmpeg -ss ... -c copy``."""
    full, cut = write_audio(tmp_path / "full.m4a", noisy_tones(6 * RATE)), tmp_path / "cut.m4a"
    ffmpeg("-ss", 1, "-i", full, "-t", 2.5, "-c", "copy", cut)
    wave, doubt = read(cut)
    assert doubt == ""
    assert 2.4 * RATE < len(wave) < 2.6 * RATE
    assert np.array_equal(wave, decode_with_ffmpeg(cut)[: len(wave)])


def test_a_tag_in_front_does_not_move_samples(tmp_path: Path) -> None:
    """Offsets in a MOV are relative to the start of the file without the tag."""
    wave = noisy_tones(20_000)
    path = tmp_path / "song.mov"
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", "pcm_f32le")
    ffmpeg(*sound, path, sound=wave)
    path.write_bytes(b"ID3\3\0\0\0\0\0\x40" + bytes(64) + path.read_bytes())
    assert np.array_equal(decode(path), wave)


@pytest.mark.usefixtures("bundled_ffmpeg")
def test_a_newer_ffmpeg_may_end_a_movie_tick_earlier(tmp_path: Path) -> None:
    """An edit of 680 ms is 29988 samples, and the media has 30001: no frame is missing."""
    path = write_audio(tmp_path / "song.m4a", noisy_tones(30_001))
    wave, doubt = read(path)
    assert 30_001 - len(wave) < RATE / 1000
    assert doubt == ""


@pytest.mark.parametrize("movie", ["mkv", "avi", "mp4", "mov", "webm"])
def test_video_longer_than_the_audio_is_not_reported(movie: str, tmp_path: Path) -> None:
    path, wave = tmp_path / f"film.{movie}", noisy_tones(RATE)
    picture = ("-f", "lavfi", "-i", "color=c=red:s=64x64:r=10:d=3")
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    codecs = ("-c:v", "libvpx" if movie == "webm" else "mpeg4")
    ffmpeg(*picture, *sound, *codecs, path, sound=wave)
    decoded, doubt = read(path)
    assert doubt == ""
    assert abs(len(decoded) * RATE / probe(path).sample_rate - len(wave)) < 2100
