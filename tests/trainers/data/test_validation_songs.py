"""Validation songs, from synthetic songs whose samples encode where they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from model_zoo.errors import ConfigError, DataError, DecodeError
from tests.trainers.commands import RATE
from tests.trainers.data.amplitude import amplitude
from tests.trainers.data.songs import STEMS, decode_position, with_data, write_songs
from trainers.config import Recipe
from trainers.data import training_data
from trainers.data.layouts.survey import Findings
from trainers.data.mixing import FreeMixes, PairClips, SongMixes
from trainers.data.multitrack import ValidationTrack
from trainers.data.tracks import Source, Track
from trainers.data.training_data import open_data, spread


def test_the_middle_of_a_song_is_read(recordings: Path) -> None:
    """The middle 0.5 s of 3.1 s starts at 1.3 s; a song of 0.7 s is used in full."""
    songs = write_songs(recordings / "songs")
    track = ValidationTrack("name", songs[1], STEMS, RATE, seconds=0.5).read()
    assert track.name == "name"
    assert track.mixture.shape == (2, RATE // 2)
    assert decode_position(track.stems[2]) == (round(1.3 * RATE), 1, 2)
    assert track.mixture.equal(track.stems.sum(0))
    for seconds in (0.0, 5.0):
        track = ValidationTrack("name", songs[2], STEMS, RATE, seconds=seconds).read()
        assert track.mixture.shape[1] == round(0.7 * RATE)
        assert decode_position(track.stems[0])[0] == 0


def test_stems_can_be_sums_or_missing(recordings: Path) -> None:
    (song,) = write_songs(recordings / "songs", [1.0])
    names, groups = ("band", "flute", "drums"), {"band": ("bass", "drums", "flute")}
    track = ValidationTrack("name", song, names, RATE, groups).read()
    band, flute, drums = track.stems
    plain = ValidationTrack("name", song, STEMS, RATE).read()
    assert band.equal(plain.stems[0] + plain.stems[1])
    assert drums.equal(plain.stems[1])
    assert not flute.any()
    assert track.mixture.equal(plain.mixture)


def test_a_sum_replaces_its_parts(recordings: Path) -> None:
    """A folder with ``band`` instead of its parts, as is common for validation."""
    (song,) = write_songs(recordings / "songs", [1.0], ("band", "vocals"))
    groups = {"band": ("bass", "drums")}
    track = ValidationTrack("name", song, ("vocals", "band"), RATE, groups).read()
    assert [decode_position(stem)[2] for stem in track.stems] == [1, 0]
    assert track.mixture.equal(track.stems.sum(0))


def test_a_mixture_file_is_kept(recordings: Path) -> None:
    """For mastered songs the mixture is the file, not the sum of the stems."""
    (song,) = write_songs(recordings / "songs", [1.0])
    soundfile.write(recordings / "mixture.wav", np.full((RATE, 1), 0.25), RATE)
    mastered = replace(song, mixture=Source(recordings / "mixture.wav"))
    track = ValidationTrack("name", mastered, STEMS, RATE).read()
    assert track.mixture.equal(torch.full((2, RATE), 0.25))


def test_other_rates_are_resampled(recordings: Path) -> None:
    time = np.arange(44_100) / 44_100
    soundfile.write(recordings / "vocals.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44_100)
    song = Track("song", {"vocals": Source(recordings / "vocals.wav")})
    track = ValidationTrack("song", song, ("vocals",), RATE).read()
    assert track.stems.shape == (1, 2, RATE)
    assert amplitude(track.mixture[1].numpy(), 440) == pytest.approx(0.5, abs=0.01)


def test_files_that_differ_in_length(recordings: Path) -> None:
    for name, frames in (("mixture", 3000), ("vocals", 999)):
        soundfile.write(recordings / f"{name}.wav", np.ones((frames, 2)), RATE)
    vocals, mixture = (Source(recordings / f"{name}.wav") for name in ("vocals", "mixture"))
    with pytest.raises(DecodeError, match=r"vocals\.wav and .*mixture\.wav differ in length"):
        ValidationTrack(
            "song", Track("song", {"vocals": vocals}, mixture), ("vocals",), RATE
        ).read()


def test_songs_are_chosen_evenly_by_name() -> None:
    """3 of 10 names: the middle of each third, at 1.67, 5 and 8.33."""
    songs = tuple(Track(name, {}) for name in "jabcdefghi")
    assert [song.name for song in spread(songs, 3)] == ["b", "f", "i"]
    assert [song.name for song in spread(songs, 0)] == list("abcdefghij")
    assert [song.name for song in spread(songs, 99)] == list("abcdefghij")
    assert spread((), 3) == ()


def test_a_folder_of_songs_is_opened(recordings: Path, recipe: Recipe) -> None:
    songs = write_songs(recordings / "songs", [1.0, 2.0])
    write_songs(recordings / "held", [1.0], ("mixture", *STEMS))
    recipe = with_data(recipe)
    recipe = replace(recipe, validation=replace(recipe.validation, songs=2, seconds=0.25))
    validation_folders = (recordings / "held" / "song0",)
    data = open_data(recipe, recordings / "songs", validation_folders, STEMS, RATE)
    assert type(data.clips) is SongMixes
    assert data.clips.epoch == 6
    assert len(data.clips.songs) == len(songs)
    (song,) = data.validation
    assert decode_position(song.read().stems[0]) == (round(0.375 * RATE), 0, 1)
    assert data.songs == 2
    assert data.summary[0] == "2 songs for training, 1 for validation, 4 s, 8000 Hz"


def test_unused_validation_songs_are_reported(recordings: Path, recipe: Recipe) -> None:
    write_songs(recordings / "songs" / "train", [1.0])
    write_songs(recordings / "songs" / "valid", [1.0, 2.0, 3.0])
    two_songs = replace(recipe, validation=replace(recipe.validation, songs=2))
    data = open_data(with_data(two_songs), recordings / "songs", (), STEMS, RATE)
    assert len(data.validation) == 2
    assert data.summary[-1] == "2 of 3 validation songs are used: validation.songs=2"


@pytest.mark.parametrize(
    ("layout", "kind"), [("stems", FreeMixes), ("pairs", PairClips), ("musdb18", SongMixes)]
)
def test_each_layout_has_its_kind_of_clips(
    recordings: Path,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    kind: type[SongMixes],
) -> None:
    songs = write_songs(recordings / "songs", [1.0])
    monkeypatch.setattr(training_data, "check_data", lambda *_, **__: Findings(layout, songs))
    data = open_data(with_data(recipe), recordings, (), STEMS, RATE, world_size=2)
    assert type(data.clips) is kind
    assert data.clips.plan.clips_per_step == 4


def test_mistakes_in_validation_songs_are_found_at_the_start(
    recordings: Path, recipe: Recipe
) -> None:
    """This includes mistakes that headers do not show: NaN in the first sample."""
    (song,) = write_songs(recordings / "held", [1.0], ("mixture", "vocals"))
    wave = np.full((RATE, 2), np.nan)
    soundfile.write(song.stems["vocals"].path, wave, RATE, "FLOAT")
    with pytest.raises(DataError, match=r"vocals\.wav holds NaN or infinity at 0\.00 s"):
        open_data(recipe, recordings, (recordings / "held" / "song0",), ("vocals",), RATE)


def test_voices_have_one_stem(recordings: Path, recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match=r"has the stem vocals, found vocals, drums"):
        open_data(recipe, recordings, (), ("vocals", "drums"), RATE)
