"""Ogg films and files with several tracks that are cut off.

Reference: the complete file. Properties: the cut file decodes to the beginning of the track, and a
track counts as cut off only if its own pages are missing (RFC 3533, section 6).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from tests.audio_files import ffmpeg
from tests.stemcli.audio.decoding import decode

RATE = 48_000
PICTURE = ("-f", "lavfi", "-i", "color=size=32x32:d=4:rate=10", "-c:v", "libtheora")


def tone(pitch: int, seconds: float = 4) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine={pitch}:sample_rate={RATE}:d={seconds}")


def two_tracks(path: Path, codec: str) -> bytes:
    ffmpeg(*tone(300), *tone(600), "-map", 0, "-map", 1, "-c:a", codec, path)
    return path.read_bytes()


def doubt_of(path: Path, track: int | None = None) -> str:
    with open_audio(path, stream=track) as reader:
        for _ in reader:
            pass
        return reader.doubt


@pytest.mark.parametrize("codec", ["libvorbis", "libopus", "flac"])
@pytest.mark.parametrize("track", [None, 0, 1])
def test_half_a_file_of_two_tracks_is_reported(
    codec: str, track: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "song.ogg"
    intact = two_tracks(path, codec)
    assert doubt_of(path, track) == ""
    with open_audio(path, stream=track) as reader:
        expected = np.concatenate(list(reader))
    path.write_bytes(intact[: len(intact) // 2])
    sentence = r"ends at [12]\.\d\d s: the file seems to be cut off \(its last page is incomplete\)"
    assert re.search(sentence, doubt_of(path, track))
    with open_audio(path, stream=track) as reader:
        half = np.concatenate(list(reader))
    assert np.array_equal(half, expected[: len(half)])


@pytest.mark.parametrize("codec", ["libvorbis", "libopus", "flac"])
def test_only_the_track_without_its_last_page_is_cut_off(codec: str, tmp_path: Path) -> None:
    """The last page of the file belongs to the second track."""
    path = tmp_path / "song.ogg"
    intact = two_tracks(path, codec)
    path.write_bytes(intact[: intact.rfind(b"OggS")])
    assert doubt_of(path, 0) == ""
    assert "cut off (the mark of its end is missing)" in doubt_of(path, 1)


def test_half_a_film_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "film.ogv"
    ffmpeg(*PICTURE[:4], *tone(300), "-c:v", "libtheora", "-c:a", "flac", path)
    intact = path.read_bytes()
    assert doubt_of(path) == ""
    path.write_bytes(intact[: len(intact) * 3 // 4])
    assert re.search(r"ends at [123]\.\d\d s: the file seems to be cut off", doubt_of(path))


def test_missing_video_after_the_audio_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / "film.ogv"
    ffmpeg(*PICTURE[:4], *tone(300, 1), "-c:v", "libtheora", "-c:a", "flac", path)
    path.write_bytes(path.read_bytes()[:-20])
    assert doubt_of(path) == ""
    assert len(decode(path)) == RATE


@pytest.mark.parametrize("size", [2, 20, 26, 60])
def test_an_incomplete_page_at_the_end_is_reported(size: int, tmp_path: Path) -> None:
    """The header of a page has 27 bytes (RFC 3533, section 6)."""
    path = tmp_path / "song.ogg"
    ffmpeg(*tone(300), "-c:a", "libvorbis", path)
    intact = path.read_bytes()
    path.write_bytes(intact[: intact.rfind(b"OggS") + size])
    assert re.search(r"ends at 3\.\d\d s: .* cut off \(its last page is incomplete", doubt_of(path))


def test_chained_files_of_two_tracks_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "song.ogg"
    intact = two_tracks(path, "flac")
    expected = decode(path)
    path.write_bytes(2 * intact)
    assert np.array_equal(decode(path), np.concatenate([expected, expected]))


def test_a_film_cut_before_its_audio(tmp_path: Path) -> None:
    """Its comment pages are complete, but no page of audio is."""
    path = tmp_path / "film.ogv"
    ffmpeg(*PICTURE[:4], *tone(300), "-c:v", "libtheora", "-c:a", "libvorbis", path)
    intact = path.read_bytes()
    pages = [page.start() for page in re.finditer(b"OggS", intact)]
    path.write_bytes(intact[: pages[5]])
    sentence = r"No sound can be .* its sound ends at 0\.00 s: the file seems to be cut off .* copy"
    with pytest.raises(DecodeError, match=sentence):
        decode(path)
