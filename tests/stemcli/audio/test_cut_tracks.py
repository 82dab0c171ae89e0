"""Films and files of several tracks in Ogg that end too early.

Truth: a whole file, cut at a known place. Property: what was decoded is how the whole track begins, and
a track counts as cut off only when pages of its own are missing (RFC 3533, section 6).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from tests.audio_files import ffmpeg
from tests.stemcli.audio.hearing import hear

RATE = 48_000
PICTURE = ("-f", "lavfi", "-i", "color=size=32x32:d=4:rate=10", "-c:v", "libtheora")


def tone(pitch: int, seconds: float = 4) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"sine={pitch}:sample_rate={RATE}:d={seconds}")


def two_tracks(path: Path, codec: str) -> bytes:
    ffmpeg(*tone(300), *tone(600), "-map", 0, "-map", 1, "-c:a", codec, path)
    return path.read_bytes()


def verdict(path: Path, track: int | None = None) -> str:
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
    whole = two_tracks(path, codec)
    assert verdict(path, track) == ""
    with open_audio(path, stream=track) as reader:
        right = np.concatenate(list(reader))
    path.write_bytes(whole[: len(whole) // 2])
    sentence = r"ends at [12]\.\d\d s: the file seems to be cut off \(its last page is incomplete\)"
    assert re.search(sentence, verdict(path, track))
    with open_audio(path, stream=track) as reader:
        half = np.concatenate(list(reader))
    assert np.array_equal(half, right[: len(half)])


@pytest.mark.parametrize("codec", ["libvorbis", "libopus", "flac"])
def test_only_the_track_that_lacks_a_page_is_cut_off(codec: str, tmp_path: Path) -> None:
    """The last page of the file belongs to the second track."""
    path = tmp_path / "song.ogg"
    whole = two_tracks(path, codec)
    path.write_bytes(whole[: whole.rfind(b"OggS")])
    assert verdict(path, 0) == ""
    assert "cut off (the mark of its end is missing)" in verdict(path, 1)


def test_half_a_film_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "film.ogv"
    ffmpeg(*PICTURE[:4], *tone(300), "-c:v", "libtheora", "-c:a", "flac", path)
    whole = path.read_bytes()
    assert verdict(path) == ""
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert re.search(r"ends at [123]\.\d\d s: the file seems to be cut off", verdict(path))


def test_missing_pictures_behind_the_sound_are_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "film.ogv"
    ffmpeg(*PICTURE[:4], *tone(300, 1), "-c:v", "libtheora", "-c:a", "flac", path)
    path.write_bytes(path.read_bytes()[:-20])
    assert verdict(path) == ""
    assert len(hear(path)) == RATE


@pytest.mark.parametrize("left", [2, 20, 26, 60])
def test_the_beginning_of_a_page_at_the_end_is_a_cut(left: int, tmp_path: Path) -> None:
    """A page whose header alone has 27 bytes (RFC 3533, section 6)."""
    path = tmp_path / "song.ogg"
    ffmpeg(*tone(300), "-c:a", "libvorbis", path)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rfind(b"OggS") + left])
    assert re.search(r"ends at 3\.\d\d s: .* cut off \(its last page is incomplete", verdict(path))


def test_two_files_of_two_tracks_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "song.ogg"
    whole = two_tracks(path, "flac")
    right = hear(path)
    path.write_bytes(2 * whole)
    assert np.array_equal(hear(path), np.concatenate([right, right]))


def test_a_film_that_breaks_off_before_its_sound(tmp_path: Path) -> None:
    """Its pages of comments are whole, and no page of sound is."""
    path = tmp_path / "film.ogv"
    ffmpeg(*PICTURE[:4], *tone(300), "-c:v", "libtheora", "-c:a", "libvorbis", path)
    whole = path.read_bytes()
    pages = [page.start() for page in re.finditer(b"OggS", whole)]
    path.write_bytes(whole[: pages[5]])
    sentence = r"No sound can be .* its sound ends at 0\.00 s: the file seems to be cut off .* copy"
    with pytest.raises(DecodeError, match=sentence):
        hear(path)
