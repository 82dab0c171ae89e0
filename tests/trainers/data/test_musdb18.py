"""MUSDB18 in both forms. Reference: musdb's own reading of the same files (with -m musdb).

In the synthetic files each stream has its own tone, so that streams cannot be confused.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DataError, FfmpegMissingError, MissingExtraError
from stemcli.audio.ffmpeg_binary import find_ffmpeg
from tests.audio_files import ffmpeg
from tests.trainers.data.songs_on_disk import FOUR, recipe, survey, write
from trainers.data.layouts import listing
from trainers.data.layouts.listing import sound_streams
from trainers.data.tracks import Source, Track

VALIDATION = "ANiMAL - Rockshow"  # one of the 14 that musdb names
NAMES = ("A - First", VALIDATION, "Z - Last")
RATE = 44_100
STREAMS = 5


def write_stem_mp4(path: Path, streams: int = STREAMS) -> None:
    """Write half a second of one tone per stream: 300, 600, 900, 1200 and 1500 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [
        word
        for number in range(streams)
        for word in ("-f", "lavfi", "-i", f"sine={300 * (number + 1)}:sample_rate={RATE}:d=0.5")
    ]
    maps = [word for number in range(streams) for word in ("-map", f"{number}:a")]
    ffmpeg(*inputs, *maps, "-c:a", "aac", "-ac", 2, "-f", "mp4", path)


@pytest.fixture(scope="module")
def musdb18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("musdb18")
    for name in NAMES:
        write_stem_mp4(root / "train" / f"{name}.stem.mp4")
    (root / "train" / "._A - First.stem.mp4").write_bytes(b"what another system leaves behind")
    write_stem_mp4(root / "test" / "T - Never.stem.mp4")
    return root


@pytest.fixture(scope="module")
def musdb18_hq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("musdb18hq")
    five = f"{{mixture,{','.join(FOUR)}}}.wav"
    return write(root, *(f"train/{name}/{five}" for name in NAMES), f"test/T - Never/{five}")


def frequency(wave: np.ndarray) -> int:
    """Frequency of the loudest tone to 10 Hz, of the middle 0.1 s, where encoders have settled."""
    middle = wave.mean(1)[RATE // 5 : RATE // 5 + RATE // 10]
    return int(np.abs(np.fft.rfft(middle)).argmax()) * 10


def decode(source: Source) -> np.ndarray:
    words = ("-i", source.path, "-map", f"0:a:{source.stream}", "-f", "f32le", "-ac", 2, "-")
    return np.frombuffer(ffmpeg(*words), "<f4").reshape(-1, 2)


def listed_by_musdb(root: Path, split: str, *, is_wav: bool) -> dict[str, dict[str, Source]]:
    import musdb

    tracks = musdb.DB(str(root), subsets="train", split=split, is_wav=is_wav).tracks
    return {
        track.name: {
            "mixture": Source(Path(track.path), 0 if is_wav else track.stem_id),
            **{
                name: Source(Path(source.path), 0 if is_wav else source.stem_id)
                for name, source in track.sources.items()
            },
        }
        for track in tracks
    }


def sources_of(songs: tuple[Track, ...]) -> dict[str, dict[str, Source]]:
    return {
        song.name: {**song.stems, **({"mixture": song.mixture} if song.mixture else {})}
        for song in songs
    }


@pytest.mark.musdb
def test_wav_files_as_musdb_lists_them(musdb18_hq: Path) -> None:
    found = survey(recipe(validation_fraction=0.5), musdb18_hq, FOUR)
    assert found.layout == "musdb18_hq"
    assert sources_of(found.training) == listed_by_musdb(musdb18_hq, "train", is_wav=True)
    assert sources_of(found.validation) == listed_by_musdb(musdb18_hq, "valid", is_wav=True)
    assert [song.name for song in found.validation] == [VALIDATION]


@pytest.mark.musdb
def test_stem_files_as_musdb_lists_them(musdb18: Path, tmp_path: Path) -> None:
    """musdb itself fails on hidden files, so it gets a folder without them."""
    for path in musdb18.glob("train/[!.]*"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / path.name).symlink_to(path)
    found = survey(recipe(), tmp_path, FOUR)
    assert found.layout == "musdb18"
    assert sources_of(found.training) == listed_by_musdb(tmp_path, "train", is_wav=False)
    assert sources_of(found.validation) == listed_by_musdb(tmp_path, "valid", is_wav=False)


@pytest.mark.musdb
def test_streams_are_decoded_as_by_musdb(musdb18: Path) -> None:
    import musdb

    song = survey(recipe(), musdb18, FOUR).validation[0]
    track = musdb.DB(str(musdb18), subsets="test").tracks[0]  # with the same tones
    frequencies = {name: frequency(decode(source)) for name, source in song.stems.items()}
    assert frequencies == {name: frequency(source.audio) for name, source in track.sources.items()}
    assert frequencies == {"drums": 600, "bass": 900, "other": 1200, "vocals": 1500}
    assert song.mixture
    assert frequency(decode(song.mixture)) == frequency(track.audio) == 300


@pytest.mark.musdb
def test_the_summary_has_lengths_and_rates_of_streams(musdb18: Path) -> None:
    found = survey(recipe(), musdb18, ("vocals",))
    assert found.summary[0] == "2 songs for training, 1 for validation, 2 s, 44100 Hz"
    assert found.summary[1] == "Stems: bass, drums, other, vocals"


@pytest.mark.musdb
def test_all_invalid_stem_files_are_named(tmp_path: Path) -> None:
    write_stem_mp4(tmp_path / "train" / "a.stem.mp4", streams=3)
    (tmp_path / "train" / "b.stem.mp4").write_bytes(b"cut short")
    with pytest.raises(DataError) as caught:
        survey(recipe(), tmp_path, FOUR)
    assert caught.value.problems == [
        f"{tmp_path}/train/a.stem.mp4 has 3 audio streams, MUSDB18 has 5:"
        " mixture, drums, bass, other, vocals. Download it again",
        f"No sound can be read from {tmp_path}/train/b.stem.mp4: download it again",
    ]


@pytest.mark.musdb
def test_a_missing_stem_of_wav_files(tmp_path: Path) -> None:
    write(
        tmp_path, "train/a/{mixture,bass,drums,other,vocals}.wav", "train/b/{bass,drums,other}.wav"
    )
    write(tmp_path, "test/c/vocals.wav")
    with pytest.raises(DataError, match="b has no vocals: add it"):
        survey(recipe(), tmp_path, FOUR)


@pytest.mark.musdb
def test_stem_files_must_be_in_train(tmp_path: Path) -> None:
    write_stem_mp4(tmp_path / "a.stem.mp4")
    with pytest.raises(DataError, match=r"\*\.stem\.mp4 files, which MUSDB18 keeps in train/"):
        survey(recipe(), tmp_path, FOUR)


@pytest.mark.parametrize("layout", ["musdb18", "musdb18_hq"])
def test_programs_that_musdb_needs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        FfmpegMissingError, match=r"needs ffmpeg and ffprobe on PATH\. Install ffmpeg"
    ):
        survey(recipe(layout=layout), tmp_path, FOUR)
    (tmp_path / "ffmpeg").symlink_to(find_ffmpeg())
    with pytest.raises(
        FfmpegMissingError, match=r"needs ffprobe on PATH\. Install ffmpeg with the system's"
    ):
        survey(recipe(layout=layout), tmp_path, FOUR)


def test_no_program_is_started_by_its_bare_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows would take one in the current folder."""
    monkeypatch.setattr(listing, "find_program", lambda name: None)
    monkeypatch.setattr(listing, "FfmpegProcess", lambda command: pytest.fail(command[0]))
    with pytest.raises(FfmpegMissingError, match=r"^ffprobe is not on PATH\. Install ffmpeg"):
        sound_streams(Path("a.stem.mp4"))


def test_without_musdb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "musdb", None)
    with pytest.raises(MissingExtraError, match=r"musdb is not .*pip install 'stemcli\[train\]'"):
        survey(recipe(layout="musdb18"), tmp_path, FOUR)
