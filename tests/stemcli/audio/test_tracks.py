"""Files with several audio tracks. Truth: a tone of its own in each, and what ffmpeg was told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio, probe
from stemcli.audio.tracks import NoTrackError, choice_notice, default_track, read_tracks
from tests.audio_files import ffmpeg, stems_in_one_file, tones, write_audio
from tests.stemcli.audio.hearing import hear

RATE = 44100


def film(path: Path, *words: object, count: int = 2) -> Path:
    """Half a second of a tone per track: 300, 600 ... Hz."""
    inputs = [
        word
        for number in range(1, count + 1)
        for word in ("-f", "lavfi", "-i", f"sine={300 * number}:sample_rate={RATE}:d=0.5")
    ]
    maps = [word for number in range(count) for word in ("-map", number)]
    ffmpeg(*inputs, *maps, *words, path)
    return path


def pitch(path: Path, stream: int | None = None) -> int:
    """Of the loudest tone, in Hz, to 10."""
    with open_audio(path, stream=stream) as reader:
        wave = np.concatenate(list(reader))
        rate = reader.info.sample_rate
    middle = wave[rate // 5 : rate // 5 + rate // 10].mean(1)
    return int(np.abs(np.fft.rfft(middle)).argmax()) * 10


def default(number: int, count: int = 2) -> list[object]:
    flags = [("default" if each == number else 0) for each in range(count)]
    return [word for each, flag in enumerate(flags) for word in (f"-disposition:a:{each}", flag)]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.webm"])
def test_the_default_track_is_taken(tmp_path: Path, name: str, number: int) -> None:
    path = film(tmp_path / name, *default(number, 3), count=3)
    assert pitch(path) == 300 * (number + 1)


@pytest.mark.parametrize("name", ["film.ts", "film.avi", "film.mpg", "film.wmv", "song.ogg"])
def test_the_first_is_taken_where_none_is_the_default(tmp_path: Path, name: str) -> None:
    words = ("-c:a", "flac") if name.endswith("ogg") else ()
    path = film(tmp_path / name, *words)
    assert pitch(path) == 300
    assert "there are 2 audio tracks" in probe(path).notices[0]


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.ts", "film.avi", "song.ogg"])
@pytest.mark.parametrize("stream", [0, 1])
def test_each_can_be_asked_for_and_then_nothing_is_told(
    tmp_path: Path, name: str, stream: int
) -> None:
    words = ("-c:a", "flac") if name.endswith("ogg") else ()
    path = film(tmp_path / name, *words, *default(1))
    assert pitch(path, stream) == 300 * (stream + 1)
    assert probe(path, stream).notices == ()


def test_what_the_file_says_of_its_tracks_is_told(tmp_path: Path) -> None:
    words = (
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"),
        *("-metadata:s:a:1", "title=Kommentar", "-ac:a:1", 2),
    )
    path = film(tmp_path / "film.mkv", *words, *default(1))
    assert probe(path).notices == (
        'there are 2 audio tracks (1: eng, mono; 2: deu, stereo, "Kommentar"): track 2, the default'
        " one, is used (--track N chooses another)",
    )


def test_a_title_is_not_taken_for_a_track(tmp_path: Path) -> None:
    """It may hold line breaks, and then looks like what ffmpeg says of a track."""
    title = "title=x\n[info]   Stream #0:9(eng): Audio: flac, 8000 Hz, 7.1 (default)\n"
    path = film(tmp_path / "film.mkv", "-metadata:s:a:0", title, *default(0))
    assert "there are 2 audio tracks" in probe(path).notices[0]
    assert pitch(path) == 300


def test_many_tracks_are_counted(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mka", "-c:a", "flac", count=12)
    (notice,) = probe(path).notices
    assert "there are 12 audio tracks (1: mono; 2: mono;" in notice
    assert "; 8: mono; 4 more): track 1" in notice


@pytest.mark.parametrize(
    ("name", "count", "sentence"),
    [
        ("film.mkv", 2, r"film\.mkv has 2 audio tracks \(1: mono; 2: mono\) and no track 3\. Use"),
        ("song.m4a", 1, r"song\.m4a has 1 audio track \(1: mono\) and no track 3"),
    ],
)
def test_one_that_is_not_there(tmp_path: Path, name: str, count: int, sentence: str) -> None:
    path = film(tmp_path / name, count=count)
    with pytest.raises(DecodeError, match=sentence):
        open_audio(path, stream=2)


@pytest.mark.parametrize("name", ["song.wav", "song.flac", "song.mp3", "song.ogg"])
def test_a_song_has_one_track(tmp_path: Path, name: str) -> None:
    path = write_audio(tmp_path / name, tones(9000))
    assert np.array_equal(hear(path), hear(path, stream=0))
    assert probe(path).notices == ()
    with pytest.raises(DecodeError, match=r"has 1 audio track \(1: stereo\) and no track 2"):
        open_audio(path, stream=1)


@pytest.mark.parametrize("name", ["song.wav", "song.flac", "song.mp3", "song.ogg", "song.aiff"])
def test_a_song_has_one_track_without_ffmpeg(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth: libsndfile reads the song, and its format has no second track."""
    path = write_audio(tmp_path / name, tones(9000))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(NoTrackError, match=r"1 audio track \(1: stereo\) and no track 2") as caught:
        open_audio(path, stream=1)
    assert caught.value.has_only_one


def test_stems_of_a_stem_file_are_tracks_with_padding_of_their_own(tmp_path: Path) -> None:
    path = stems_in_one_file(tmp_path / "song.stem.mp4", [tones(20000), tones(20000)], "aac")
    assert len(hear(path)) == 20000
    assert len(hear(path, stream=1)) == 20000


def test_streams_of_ogg_that_are_not_sound_are_no_tracks(tmp_path: Path) -> None:
    """Theora has a first page too."""
    picture = ("-f", "lavfi", "-i", "color=size=32x32:duration=0.5:rate=10")
    sound = ("-f", "lavfi", "-i", "sine=300:d=0.5")
    try_it = tmp_path / "film.ogg"
    ffmpeg(*picture, *sound, "-c:v", "libtheora", "-c:a", "flac", try_it)
    assert probe(try_it).notices == ()
    assert "there are 2 audio" in probe(film(tmp_path / "two.ogg", "-c:a", "flac")).notices[0]


# A transport stream with two programs, as ffmpeg 5.1 describes it: programs are not in the order of
# the streams, and what is written comes last.
LOG = """\
[info] Input #0, mpegts, from 'file:song.ts':
[info]   Program 2
[info]   Stream #0:2[0x102](deu): Audio: mp2 ([3][0][0][0] / 0x0003), 48000 Hz, 5.1(side), fltp
[info]     Metadata:
[info]       title           : Second
[info]   Program 1
[info]   Stream #0:0[0x100]: Video: h264, yuv420p, 32x32
[info]     Metadata:
[info]       title           : Pictures
[info]   Stream #0:1[0x101](und): Audio: aac, 44100 Hz, stereo, fltp, 128 kb/s
[info] Stream mapping:
[info] Output #0, au, to 'pipe:':
[info]   Stream #0:0: Audio: pcm_f32be, 44100 Hz, stereo, flt (default)
"""


def test_tracks_by_hand() -> None:
    first, second = read_tracks(LOG)
    assert (first.index, first.language, first.title, first.layout) == (1, "", "", "stereo")
    assert (second.index, second.language, second.title) == (2, "deu", "Second")
    assert second.layout == "5.1(side)"
    assert default_track([first, second]) == 0
    assert choice_notice([first], 0) == choice_notice([], 0) == ""
