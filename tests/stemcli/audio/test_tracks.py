"""Files with several audio tracks, each with a different tone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio, probe
from stemcli.audio.tracks import NoTrackError, choice_notice, default_track, read_tracks
from tests.audio_files import ffmpeg, stems_in_one_file, tones, write_audio
from tests.stemcli.audio.decoding import decode

RATE = 44100


def film(path: Path, *options: object, count: int = 2) -> Path:
    """Write half a second of a tone per track: 300, 600 ... Hz."""
    inputs = [
        argument
        for number in range(1, count + 1)
        for argument in ("-f", "lavfi", "-i", f"sine={300 * number}:sample_rate={RATE}:d=0.5")
    ]
    maps = [argument for number in range(count) for argument in ("-map", number)]
    ffmpeg(*inputs, *maps, *options, path)
    return path


def pitch(path: Path, stream: int | None = None) -> int:
    """Frequency of the loudest tone in Hz, to 10 Hz."""
    with open_audio(path, stream=stream) as reader:
        wave = np.concatenate(list(reader))
        rate = reader.info.sample_rate
    middle = wave[rate // 5 : rate // 5 + rate // 10].mean(1)
    return int(np.abs(np.fft.rfft(middle)).argmax()) * 10


def default(number: int, count: int = 2) -> list[object]:
    flags = [("default" if each == number else 0) for each in range(count)]
    return [
        argument for each, flag in enumerate(flags) for argument in (f"-disposition:a:{each}", flag)
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.webm"])
def test_the_default_track_is_used(tmp_path: Path, name: str, number: int) -> None:
    path = film(tmp_path / name, *default(number, 3), count=3)
    assert pitch(path) == 300 * (number + 1)


@pytest.mark.parametrize("name", ["film.ts", "film.avi", "film.mpg", "film.wmv", "song.ogg"])
def test_the_first_track_is_used_without_a_default(tmp_path: Path, name: str) -> None:
    options = ("-c:a", "flac") if name.endswith("ogg") else ()
    path = film(tmp_path / name, *options)
    assert pitch(path) == 300
    assert "there are 2 audio tracks" in probe(path).notices[0]


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.ts", "film.avi", "song.ogg"])
@pytest.mark.parametrize("stream", [0, 1])
def test_each_track_can_be_chosen_without_a_notice(tmp_path: Path, name: str, stream: int) -> None:
    options = ("-c:a", "flac") if name.endswith("ogg") else ()
    path = film(tmp_path / name, *options, *default(1))
    assert pitch(path, stream) == 300 * (stream + 1)
    assert probe(path, stream).notices == ()


def test_the_notice_describes_the_tracks(tmp_path: Path) -> None:
    options = (
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"),
        *("-metadata:s:a:1", "title=Kommentar", "-ac:a:1", 2),
    )
    path = film(tmp_path / "film.mkv", *options, *default(1))
    assert probe(path).notices == (
        'there are 2 audio tracks (1: eng, mono; 2: deu, stereo, "Kommentar"): track 2, the default'
        " one, is used (track=N chooses another)",
    )


def test_a_title_is_not_mistaken_for_a_track(tmp_path: Path) -> None:
    """A title with line breaks can look like ffmpeg's description of a track."""
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
def test_a_missing_track_is_reported(tmp_path: Path, name: str, count: int, sentence: str) -> None:
    path = film(tmp_path / name, count=count)
    with pytest.raises(DecodeError, match=sentence):
        open_audio(path, stream=2)


@pytest.mark.parametrize("name", ["song.wav", "song.flac", "song.mp3", "song.ogg"])
def test_a_song_has_one_track(tmp_path: Path, name: str) -> None:
    path = write_audio(tmp_path / name, tones(9000))
    assert np.array_equal(decode(path), decode(path, stream=0))
    assert probe(path).notices == ()
    with pytest.raises(DecodeError, match=r"has 1 audio track \(1: stereo\) and no track 2"):
        open_audio(path, stream=1)


@pytest.mark.parametrize("name", ["song.wav", "song.flac", "song.mp3", "song.ogg", "song.aiff"])
def test_a_song_has_one_track_without_ffmpeg(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile reads the song, and its format has no second track."""
    path = write_audio(tmp_path / name, tones(9000))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(NoTrackError, match=r"1 audio track \(1: stereo\) and no track 2") as caught:
        open_audio(path, stream=1)
    assert caught.value.has_only_one


def test_padding_is_removed_from_each_track_of_a_stem_file(tmp_path: Path) -> None:
    path = stems_in_one_file(tmp_path / "song.stem.mp4", [tones(20000), tones(20000)], "aac")
    assert len(decode(path)) == 20000
    assert len(decode(path, stream=1)) == 20000


def test_video_streams_of_ogg_are_not_tracks(tmp_path: Path) -> None:
    """Theora also has a first page."""
    picture = ("-f", "lavfi", "-i", "color=size=32x32:duration=0.5:rate=10")
    sound = ("-f", "lavfi", "-i", "sine=300:d=0.5")
    path = tmp_path / "film.ogg"
    ffmpeg(*picture, *sound, "-c:v", "libtheora", "-c:a", "flac", path)
    assert probe(path).notices == ()
    assert "there are 2 audio" in probe(film(tmp_path / "two.ogg", "-c:a", "flac")).notices[0]


# ffmpeg 5.1's description of a transport stream with two programs: the programs are not in the
# order of the streams, and the output comes last.
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
