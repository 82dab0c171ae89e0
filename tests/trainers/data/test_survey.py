"""Splits and summaries of data folders, and properties of the draw by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import DataError
from tests.audio_files import ffmpeg
from tests.trainers.data.songs_on_disk import (
    FOUR,
    LENGTH,
    RATE,
    STEMS,
    paths,
    recipe,
    survey,
    write,
)
from trainers.data.layouts.splitting import draw, hold_out
from trainers.data.layouts.survey import words_of_time
from trainers.data.tracks import Track

NAMES = st.lists(st.text(max_size=8), unique=True, max_size=40)


def songs(names: list[str]) -> tuple[Track, ...]:
    return tuple(Track(name, {}) for name in names)


@given(names=NAMES, share=st.floats(0, 0.99))
def test_every_song_is_in_one_part(names: list[str], share: float) -> None:
    training, held = hold_out(songs(names), share)
    assert sorted(song.name for song in (*training, *held)) == sorted(names)
    assert bool(training) == bool(names)
    assert bool(held) == (share > 0 and len(names) >= 3)


@given(names=NAMES, more=NAMES)
def test_more_songs_do_not_change_those_held_out(names: list[str], more: list[str]) -> None:
    """Holds once a song is held out by its own draw, not because there must be at least one."""
    names = [*names, "s3", "b", "c"]  # s3 is drawn below a half
    assert draw("s3") < 0.5
    _, held = hold_out(songs([*dict.fromkeys(names)]), 0.5)
    _, held_of_more = hold_out(songs([*dict.fromkeys([*names, *more])]), 0.5)
    assert {song.name for song in held} <= {song.name for song in held_of_more}


def test_the_held_out_share_is_about_that_of_the_recipe() -> None:
    """A tenth of 1000 songs, within three standard deviations of a binomial draw (9.5)."""
    _, held = hold_out(songs([f"song {number}" for number in range(1000)]), 0.1)
    assert abs(len(held) - 100) < 3 * 9.5


def test_a_song_is_held_out_of_tracks_and_named(tmp_path: Path) -> None:
    write(tmp_path, "{a,b,c,d}/{vocals,drums}.wav")
    found = survey(recipe(validation_fraction=0.01), tmp_path, STEMS)
    held = min("abcd", key=draw)
    assert [song.name for song in found.validation] == [held]
    assert held not in [song.name for song in found.training]
    assert found.summary == (
        "3 songs for training, 1 for validation, 4 s, 8000 Hz",
        "Stems: drums, vocals",
        f"Held out for validation, by name: {held}",
    )


@pytest.mark.parametrize("layout", ["csv", "pairs"])
def test_a_song_is_held_out_of_other_layouts(tmp_path: Path, layout: str) -> None:
    write(tmp_path, "{mixture,vocals}/{a,b,c}.wav")
    rows = [f"{name},mixture/{name}.wav,vocals/{name}.wav\n" for name in "abc"]
    (tmp_path / "songs.csv").write_text("song,mixture,vocals\n" + "".join(rows))
    found = survey(recipe(layout=layout, validation_fraction=0.1), tmp_path, ("vocals",))
    assert (len(found.training), len(found.validation)) == (2, 1)
    found = survey(recipe(layout=layout), tmp_path, ("vocals",))
    assert (len(found.training), len(found.validation)) == (3, 0)


def test_songs_named_by_the_user_are_only_for_validation(tmp_path: Path) -> None:
    write(tmp_path, "data/train/{a,b}/{vocals,drums}.wav", "data/valid/c/{vocals,drums}.wav")
    write(tmp_path, "mine/{mixture,vocals,drums}.wav")
    validation_folders = (tmp_path / "mine", tmp_path / "data" / "train" / "b")
    found = survey(recipe(validation_fraction=0.9), tmp_path / "data", STEMS, validation_folders)
    assert [song.name for song in found.training] == ["a"]
    assert paths(found.validation, tmp_path) == {
        "mine": {
            "vocals": "mine/vocals.wav",
            "drums": "mine/drums.wav",
            "mixture": "mine/mixture.wav",
        },
        "b": {"vocals": "data/train/b/vocals.wav", "drums": "data/train/b/drums.wav"},
    }
    assert found.summary[-2:] == (
        "1 song of the data used by --validation, not for training",
        "1 song reserved for validation by the data not used, because of --validation",
    )


def test_validation_folders_are_checked_in_every_layout(tmp_path: Path) -> None:
    write(tmp_path, "data/vocals/a.wav", "data/drums/b.wav", "x/{mixture,vocals}.wav")
    write(tmp_path, "y/{vocals,drums}.wav")
    (tmp_path / "z").mkdir()
    validation_folders = (tmp_path / "x", tmp_path / "y", tmp_path / "z")
    with pytest.raises(DataError) as caught:
        survey(recipe(), tmp_path / "data", STEMS, validation_folders)
    assert caught.value.problems == [
        f"{tmp_path / 'z'} contains no audio: use a folder with stems",
        f"{tmp_path / 'x'} has no drums: add it, or use --set data.missing=silence",
    ]


def test_a_validation_folder_may_have_the_sum_of_a_group(tmp_path: Path) -> None:
    write(tmp_path, f"data/a/{{{','.join(FOUR)}}}.wav", "mine/{vocals,instrumental}.wav")
    data = recipe(groups={"instrumental": ["bass", "drums", "other"]})
    found = survey(data, tmp_path / "data", ("vocals", "instrumental"), (tmp_path / "mine",))
    assert [sorted(song.stems) for song in found.validation] == [["instrumental", "vocals"]]
    assert [sorted(song.stems) for song in found.training] == [sorted(FOUR)]


VALIDATION_FOLDERS = {
    "tracks": ["{a,b}/{vocals,drums}.wav"],
    "tracks with songs to validate": [
        "train/x/{vocals,drums}.wav",
        "valid/{a,b}/{vocals,drums}.wav",
    ],
    "pairs": ["{mixture,vocals,drums}/{a,b}.wav"],
}


@pytest.mark.parametrize("kind", VALIDATION_FOLDERS)
def test_a_validation_folder_may_have_any_layout(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "data", "x/{vocals,drums}.wav")
    write(tmp_path / "mine", *VALIDATION_FOLDERS[kind])
    found = survey(recipe(), tmp_path / "data", STEMS, (tmp_path / "mine",))
    assert [song.name for song in found.validation] == ["a", "b"]
    assert [song.name for song in found.training] == ["x"]


def test_a_csv_file_names_validation_songs(tmp_path: Path) -> None:
    write(tmp_path, "data/x/{vocals,drums}.wav", "{1,2}.wav")
    table = tmp_path / "mine.csv"
    table.write_text("song,vocals,drums\na,1.wav,2.wav\n")
    found = survey(recipe(), tmp_path / "data", STEMS, (table,))
    assert [song.name for song in found.validation] == ["a"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x/1.wav", "y/2.wav"], "matches no layout of songs: use folders with"),
        (
            ["{vocals,drums}/a.wav"],
            "contains single stems, which have no mixture: use folders with",
        ),
        (["{1,2}.wav"], "mine has 2 audio files but no stems. Training needs the stems of each"),
        (["{mixture,2}.wav"], "has no vocals or drums, found 2, mixture: add it, or choose other"),
        (["mixture/a.wav", "vocals/{a,b}.wav"], "mine/vocals/b.wav has no mixture of the same"),
    ],
)
def test_validation_folders_without_songs(tmp_path: Path, names: list[str], message: str) -> None:
    write(tmp_path / "data", "x/{vocals,drums}.wav")
    write(tmp_path / "mine", *names)
    with pytest.raises(DataError, match=message):
        survey(recipe(missing="silence"), tmp_path / "data", STEMS, (tmp_path / "mine",))


def test_the_option_offered_for_a_validation_song_works(tmp_path: Path) -> None:
    """The song gets a group of its stems; the data, which has the sum, is still accepted."""
    write(tmp_path, "data/x/{vocals,instrumental}.wav", f"mine/a/{{{','.join(FOUR)}}}.wav")
    arguments = (tmp_path / "data", ("instrumental",), (tmp_path / "mine",))
    with pytest.raises(DataError) as caught:
        survey(recipe(), *arguments)
    offered_parts = str(caught.value).split("--set data.groups.instrumental=[")[1].split("]")[0]
    assert offered_parts == "bass,drums,other"
    found = survey(recipe(groups={"instrumental": offered_parts.split(",")}), *arguments)
    assert [song.name for song in found.validation] == ["a"]


def test_sums_and_their_parts_are_not_used_twice(tmp_path: Path) -> None:
    """Songs a, c and d have a sum beside all of its parts, some of them, and none."""
    write(tmp_path, f"a/{{instrumental,{','.join(FOUR)}}}.wav", f"b/{{{','.join(FOUR)}}}.wav")
    write(tmp_path, "c/{vocals,instrumental,bass}.wav", "d/{vocals,instrumental}.wav")
    data = recipe(groups={"instrumental": ["bass", "drums", "other"]})
    found = survey(data, tmp_path, ("vocals", "instrumental"))
    sum_and_vocals = ["instrumental", "vocals"]
    assert [sorted(song.stems) for song in found.training] == [
        [*FOUR],
        [*FOUR],
        sum_and_vocals,
        sum_and_vocals,
    ]


def test_no_songs_left_for_training(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav")
    with pytest.raises(DataError, match="--validation uses all songs, and none is left"):
        survey(recipe(), tmp_path, STEMS, (tmp_path / "a",))


def test_a_song_name_in_both_parts_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "{train,valid}/a/{vocals,drums}.wav")
    found = survey(recipe(), tmp_path, STEMS)
    assert found.summary[-1] == "Songs with the same name in training and validation: a"


def test_files_of_validation_songs_are_not_trained_on(tmp_path: Path) -> None:
    """Two songs share a kit: the validation song keeps it, with and without a split column."""
    write(tmp_path, "{a,b,c,kit}.wav")
    rows = [f"{name},{name}.wav,{name if name == 'b' else 'kit'}.wav" for name in "abc"]
    table = tmp_path / "songs.csv"
    table.write_text(
        "\n".join(["song,vocals,drums,split", f"{rows[0]},", f"{rows[1]},", f"{rows[2]},valid"])
    )
    found = survey(recipe(), table, STEMS)
    assert ([song.name for song in found.training], len(found.validation)) == (["b"], 1)
    assert found.summary[-1] == "1 song with files of validation songs not used for training"
    table.write_text("\n".join(["song,vocals,drums", *rows]))
    found = survey(recipe(validation_fraction=0.01), table, STEMS)
    held = {path for song in found.validation for path in song.sources}
    assert held.isdisjoint({path for song in found.training for path in song.sources})
    table.write_text("song,vocals,drums,split\na,a.wav,kit.wav,\nc,c.wav,kit.wav,valid\n")
    with pytest.raises(DataError, match="all songs have files of validation songs: copy them"):
        survey(recipe(), table, STEMS)


def test_the_summary_counts_stems_and_reports_irregularities(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,drums}.wav", "a/bass.wav", frames=60 * LENGTH)
    write(tmp_path, "c/{vocals,drums}.wav", rate=2 * RATE, channels=1)
    found = survey(recipe(), tmp_path, STEMS)
    assert found.summary == (
        "3 songs for training, none for validation, 2 min 0 s, 8000 and 16000 Hz",
        "Stems: bass (1), drums, vocals",
        "Sample rates differ and will be converted to the network's:"
        " 2 songs at 8000 Hz, 1 song at 16000 Hz",
        "2 mono files: used for both channels",
    )


def test_library_files_are_counted_as_files(tmp_path: Path) -> None:
    """This includes paired files, which may have different sample rates."""
    write(tmp_path, "instrumentals/{a,b,c}.wav")
    write(tmp_path, "vocals/{d,e,f}.wav", rate=2 * RATE)
    found = survey(recipe(validation_fraction=0.1), tmp_path, ("vocals",))
    assert "to the network's: 3 files at 8000 Hz, 3 files at 16000 Hz" in found.summary[2]


def test_lengths_missing_in_the_header_are_reported(tmp_path: Path) -> None:
    """Matroska written to a pipe has no length in its header."""
    write(tmp_path, "a/{vocals,drums}.wav")
    piped = ffmpeg("-i", tmp_path / "a" / "vocals.wav", "-f", "matroska", "-")
    (tmp_path / "a" / "mixture.mka").write_bytes(piped)
    found = survey(recipe(), tmp_path, STEMS)
    assert found.summary[0] == "1 song for training, none for validation, 1 s, 8000 Hz"
    assert found.summary[-1] == "1 file without a length in the header"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(18_720, "5 h 12 min"), (200, "3 min 20 s"), (7.4, "7 s"), (3599.6, "1 h 0 min")],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert words_of_time(seconds) == text
