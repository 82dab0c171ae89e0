"""Untrusted songs in the layout of MUSDB18: musdb and ffprobe open no other file.

Checked by the opened files that the kernel reports (inotify).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import DataError, DecodeError
from tests.audio_files import stems_in_one_file, tones, write_audio
from tests.hostile.opened_files import Opened
from tests.hostile.playlists import END, HLS, PART
from tests.trainers.data.songs_on_disk import FOUR, recipe, survey, write
from trainers.evaluation.musdb import musdb_tracks

PLAYLISTS = {
    "hls": HLS + PART + "private.mp4\n" + END,
    "hls without end": HLS + PART + "private.mp4\n",
    "ffconcat": "ffconcat version 1.0\nfile private.mp4\n",
}


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Five tracks, a valid song of MUSDB18."""
    (tmp_path / "private").mkdir()
    return stems_in_one_file(tmp_path / "private/private.mp4", 5 * [tones(44100)], "aac")


def put(song: Path, playlist: str, private: Path) -> Path:
    """Write the playlist beside the file it names."""
    song.parent.mkdir(parents=True)
    song.write_text(PLAYLISTS[playlist])
    (song.parent / private.name).write_bytes(private.read_bytes())
    return song


@pytest.mark.musdb
@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_a_playlist_is_refused_in_training(playlist: str, private: Path, tmp_path: Path) -> None:
    song = put(tmp_path / "root/train/A - Song.stem.mp4", playlist, private)
    with Opened(song.parent) as opened:
        with pytest.raises(DataError, match=r"No sound can be read from .*A - Song\.stem\.mp4"):
            survey(recipe(layout="musdb18"), tmp_path / "root", FOUR)
        assert private.name not in opened.names()


@pytest.mark.musdb
@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_a_playlist_is_refused_in_evaluation(playlist: str, private: Path, tmp_path: Path) -> None:
    song = put(tmp_path / "root/test/A - Song.stem.mp4", playlist, private)
    (track,) = musdb_tracks(tmp_path / "root")
    with Opened(song.parent) as opened:
        with pytest.raises(DecodeError, match=r"musdb cannot read .*A - Song\.stem\.mp4 \("):
            track.load()
        assert private.name not in opened.names()


@pytest.mark.musdb
@pytest.mark.parametrize("name", ["mixture.wav", "bass.wav"])
def test_a_playlist_among_wav_files_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / "root", "test/A - Song/{mixture,bass,drums,other,vocals}.wav")
    folder = tmp_path / "root/test/A - Song"
    write_audio(folder / "private.wav", tones(44100))
    (folder / name).write_text("ffconcat version 1.0\nfile private.wav\n")
    (track,) = musdb_tracks(tmp_path / "root")
    with Opened(folder) as opened:
        with pytest.raises(DecodeError, match=rf"musdb cannot read .*{name} \("):
            track.load()
        assert "private.wav" not in opened.names()


@pytest.mark.musdb
def test_a_folder_can_be_named_like_a_protocol(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a relative path, ffmpeg would take the part before a colon for a protocol."""
    monkeypatch.chdir(tmp_path)
    song = tmp_path / "concat:root/test/A - Song.stem.mp4"
    song.parent.mkdir(parents=True)
    song.write_bytes(private.read_bytes())
    (track,) = musdb_tracks(Path("concat:root"))
    assert track.load().mixture.shape[1] >= 44100  # longer by the padding of AAC
