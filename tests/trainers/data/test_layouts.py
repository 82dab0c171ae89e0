"""How folders are read as songs, for each layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import DataError, UsageError
from tests.trainers.data.songs_on_disk import STEMS, paths, recipe, survey, write
from trainers.data.layouts.detection import look
from trainers.data.layouts.survey import inspect


def test_tracks_are_folders_with_a_file_per_stem(tmp_path: Path) -> None:
    write(tmp_path, "b/{vocals,drums,mixture}.wav", "a/{Vocals,drums}.flac", "a/.hidden.wav")
    (tmp_path / "a" / "cover.jpg").write_bytes(b"picture")
    found = survey(recipe(), tmp_path, STEMS)
    assert found.layout == "tracks"
    assert paths(found.training, tmp_path) == {
        "a": {"vocals": "a/Vocals.flac", "drums": "a/drums.flac"},
        "b": {"vocals": "b/vocals.wav", "drums": "b/drums.wav", "mixture": "b/mixture.wav"},
    }
    assert found.validation == ()


@pytest.mark.parametrize(
    ("folders", "validation", "unused"),
    [
        (("train", "valid"), "valid", 0),
        (("train", "validation"), "validation", 0),
        (("train", "test"), "test", 0),
        (("train", "valid", "test"), "valid", 1),
        ((".", "valid"), "valid", 0),
    ],
)
def test_tracks_in_train_and_valid_folders(
    tmp_path: Path, folders: tuple[str, ...], validation: str, unused: int
) -> None:
    for folder in folders:
        write(tmp_path / folder, f"of {folder}/{{vocals,drums}}.wav")
    found = survey(recipe(layout="tracks", validation_fraction=0.9), tmp_path, STEMS)
    assert [song.name for song in found.training] == [f"of {folders[0]}"]
    assert [song.name for song in found.validation] == [f"of {validation}"]
    assert sum("is not used" in line for line in found.summary) == unused
    assert look(tmp_path) == "tracks"


def test_a_song_may_be_called_train(tmp_path: Path) -> None:
    write(tmp_path, "{train,valid,tunnel}/{vocals,drums}.wav")
    found = survey(recipe(), tmp_path, STEMS)
    assert [song.name for song in found.training] == ["train", "tunnel", "valid"]


def test_files_beside_songs_are_skipped_and_reported(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav", "intro.wav")
    (tmp_path / "notes").mkdir()
    found = survey(recipe(), tmp_path, STEMS)
    assert found.summary[-2:] == (
        "1 folder without audio files skipped: notes",
        "1 audio file outside of songs skipped: intro.wav",
    )


def test_stems_are_folders_of_files(tmp_path: Path) -> None:
    write(tmp_path, "vocals/{a,deep/b}.wav", "drums/a.flac", "mixture/x.wav")
    found = survey(recipe(layout="stems", validation_fraction=0.9), tmp_path, STEMS)
    assert paths(found.training, tmp_path) == {
        "drums/a": {"drums": "drums/a.flac"},
        "vocals/a": {"vocals": "vocals/a.wav"},
        "vocals/deep/b": {"vocals": "vocals/deep/b.wav"},
    }
    assert found.validation == ()
    assert "Single stems have no mixture to validate on: use --validation DIR" in found.summary
    skipped = f"{tmp_path / 'mixture'} was skipped: the layout stems makes its own mixtures"
    assert skipped in found.summary


def test_pairs_are_named_after_their_mixtures(tmp_path: Path) -> None:
    write(tmp_path, "mixture/{a,deep/b}.wav", "vocals/{a,deep/b}.flac")
    found = survey(recipe(), tmp_path, ("vocals",))
    assert found.layout == "pairs"
    assert paths(found.training, tmp_path) == {
        "a": {"vocals": "vocals/a.flac", "mixture": "mixture/a.wav"},
        "deep/b": {"vocals": "vocals/deep/b.flac", "mixture": "mixture/deep/b.wav"},
    }


def table(root: Path, text: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "songs.csv").write_text(text, "utf-8")
    return root / "songs.csv"


@pytest.mark.parametrize("path", ["songs.csv", "."])
def test_csv_paths_are_relative_to_its_folder(tmp_path: Path, path: str) -> None:
    write(tmp_path, "x/{1,2,3,4,5}.wav")
    csv_file = table(
        tmp_path,
        "\ufeffsong, Vocals,drums,mixture,split\n"
        '"One, two",x/1.wav,x/2.wav,x/3.wav,train\n'
        "\n"
        f"Three,{tmp_path / 'x' / '4.wav'},x/5.wav,,valid\n"
        "Four,x/3.wav,,x/1.wav,\n",
    )
    found = survey(recipe(missing="silence"), csv_file.parent / path, STEMS)
    assert found.layout == "csv"
    assert paths(found.training, tmp_path) == {
        "One, two": {"vocals": "x/1.wav", "drums": "x/2.wav", "mixture": "x/3.wav"},
        "Four": {"vocals": "x/3.wav", "mixture": "x/1.wav"},
    }
    assert paths(found.validation, tmp_path) == {"Three": {"vocals": "x/4.wav", "drums": "x/5.wav"}}


def test_csv_mistakes_have_line_numbers(tmp_path: Path) -> None:
    write(tmp_path, "1.wav", "2.wav")
    csv_file = table(
        tmp_path,
        "song,vocals,drums,split\n"
        "a,1.wav,2.wav,train\n"
        "a,1.wav,2.wav,train\n"
        ",1.wav,2.wav,train\n"
        "b,1.wav,2.wav\n"
        "c,1.wav,2.wav,test\n"
        "d,,,train\n"
        "e,1.wav,none.wav,train\n",
    )
    with pytest.raises(DataError) as caught:
        survey(recipe(), csv_file, STEMS)
    assert caught.value.problems == [
        f"{csv_file}, line 3: song a is already in line 2",
        f"{csv_file}, line 4: the song has no name",
        f"{csv_file}, line 5: there are 3 cells but 4 columns",
        f"{csv_file}, line 6: split must be train or valid, found test",
        f"{csv_file}, line 7: song d has no files",
        f"{csv_file}, line 8: file {tmp_path / 'none.wav'} (drums) does not exist",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there must be a column song, found nothing"),
        ("name,vocals\n", "there must be a column song, found name, vocals"),
        (
            "instrum,path\n",
            "instrum, path. Write one row per song, below a header such as song,voc",
        ),
        ("song,mixture\n", "a column for each stem, e.g. song,vocals,drums, found song, mixture"),
        ("song;vocals\n", "columns are separated by semicolons: use commas"),
        ("song\tvocals\na\tb\n", "columns are separated by tabs: use commas"),
        ("song,vocals,Vocals\n", "there is more than one column 'vocals'"),
        ("song,vocals,\n", "a column has no name"),
        ("song,vocals\n", "there is no song for training in the layout csv"),
    ],
)
def test_csv_files_without_songs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        survey(recipe(layout="csv"), table(tmp_path, text), STEMS)


def test_csv_files_that_cannot_be_read(tmp_path: Path) -> None:
    csv_file = table(tmp_path, "")
    csv_file.write_bytes(b"song,vocals\nM\xfcller,1.wav\n")
    refused = r"songs\.csv: it is not UTF-8 text\. Save it as UTF-8; in Excel, with .* CSV UTF-8"
    with pytest.raises(DataError, match=refused):
        survey(recipe(), csv_file, STEMS)
    csv_file.write_bytes("song,vocals\na,1.wav\n".encode("utf-16"))
    with pytest.raises(DataError, match=refused):
        survey(recipe(), csv_file, STEMS)
    csv_file.write_text('song,vocals\na,"' + 200_000 * "x")
    with pytest.raises(DataError, match=r"songs\.csv: line 2 is not CSV \(field larger"):
        survey(recipe(), csv_file, STEMS)


def test_a_csv_folder_has_exactly_one_csv_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"it has no \.csv files\. Use the path of a file"):
        survey(recipe(layout="csv"), tmp_path, STEMS)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("song,vocals\n")
    with pytest.raises(
        DataError, match=r"it has 2 \.csv files: a\.csv, b\.csv\. Use the path of a file"
    ):
        survey(recipe(), tmp_path, STEMS)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["a/{vocals,drums}.wav"], "tracks"),
        (["train/a/{vocals,drums}.wav"], "tracks"),
        (["{a,b}/{oboe,flute}.wav"], "tracks"),
        (["vocals/{a,b}.wav", "{oboe,flute}/a.wav"], "stems"),
        (["vocals/deep/a.wav"], "stems"),
        (["mixture/a.wav", "oboe/a.wav"], "pairs"),
        (["mixture/a.wav", "vocals/b.wav"], "pairs"),
        (["mixture/a.wav", "oboe/b.wav"], "pairs"),
        (["train/a.stem.mp4"], "musdb18"),
        (["train/a/{bass,drums,mixture,other,vocals}.wav", "test/b/vocals.wav"], "musdb18_hq"),
        (["train/a/{bass,drums,mixture,other,vocals}.wav", "valid/b/vocals.wav"], "tracks"),
        (["train/a/{drums,mixture,other,vocals}.wav", "test/b/vocals.wav"], "tracks"),
    ],
)
def test_auto_detects_the_layout(tmp_path: Path, names: list[str], layout: str) -> None:
    if layout == "musdb18":
        (tmp_path / names[0]).parent.mkdir()
        (tmp_path / names[0]).touch()
    else:
        write(tmp_path, *names)
    assert look(tmp_path) == layout


def test_auto_knows_the_stems_of_the_network_and_of_its_groups(tmp_path: Path) -> None:
    write(tmp_path, "{oboe,horn}/{a,b}.wav")
    assert look(tmp_path) == "tracks"
    assert survey(recipe(), tmp_path, ("oboe", "horn")).layout == "stems"
    groups = {"winds": ["oboe", "horn"]}
    assert survey(recipe(groups=groups), tmp_path, ("winds",)).layout == "stems"


def test_any_names_are_stems_where_mixtures_are_enough(tmp_path: Path) -> None:
    """Folders with different stem names are tracks; a folder of empty folders is not data."""
    write(tmp_path, "song/{flute,horn}.wav", "other song/tuba.wav")
    assert survey(recipe(), tmp_path, ()).layout == "tracks"
    with pytest.raises(DataError, match="matches no layout"):
        survey(recipe(), tmp_path, ("violin",))
    (tmp_path / "nothing" / "song").mkdir(parents=True)
    with pytest.raises(DataError, match="nothing has no audio files, nor have the folders in"):
        survey(recipe(), tmp_path / "nothing", ())


def test_one_kind_of_sound_is_enough_without_stems(tmp_path: Path) -> None:
    """Denoising and the like have no targets; separation needs more than one stem."""
    write(tmp_path, "vocals/{a,b}.wav")
    assert inspect(recipe(), tmp_path, ()).problems == ()
    assert len(inspect(recipe(), tmp_path, ("vocals",)).problems) == 1
    assert len(inspect(recipe(missing="silence"), tmp_path).problems) == 1
    write(tmp_path, "mixture/other name.wav")
    found = inspect(recipe(), tmp_path, ())
    assert (found.layout, len(found.training), found.problems) == ("stems", 2, ())


def test_auto_ignores_other_csv_files(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav")
    csv_file = table(tmp_path, "genre,year\nrock,1999\n")
    assert look(tmp_path) == "tracks"
    csv_file.write_text("song,vocals\n")
    assert look(tmp_path) == "csv"


@pytest.mark.parametrize(
    ("names", "contents"),
    [
        (["x/1.wav", "y/2.wav"], "found no files and 2 folders, which"),
        (["x/1.wav", ".y/2.wav", "3.wav"], "found 1 file and 1 folder, which"),
    ],
)
def test_auto_lists_all_layouts_if_none_matches(
    tmp_path: Path, names: list[str], contents: str
) -> None:
    write(tmp_path, *names)
    with pytest.raises(DataError) as caught:
        survey(recipe(), tmp_path, STEMS)
    assert contents in str(caught.value)
    assert "stems: vocals/*.wav, drums/*.wav;" in str(caught.value)
    assert "docs/training-data.md, or set the layout, e.g. --set data.layout=tracks" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("layout", "example"),
    [("tracks", "SONG/vocals.wav"), ("stems", "vocals/"), ("pairs", "mixture/NAME.wav")],
)
def test_a_layout_without_songs_says_where_they_should_be(
    tmp_path: Path, layout: str, example: str
) -> None:
    write(tmp_path, "a.wav")
    with pytest.raises(DataError, match=f"no song for training in the layout {layout} .{example}"):
        survey(recipe(layout=layout), tmp_path, STEMS)


def test_missing_folders_and_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no folder .*none\. Check"):
        inspect(recipe(), tmp_path / "none")
    write(tmp_path, "a.wav")
    with pytest.raises(UsageError, match=r"a\.wav is a file, but the layout tracks needs a folder"):
        inspect(recipe(layout="tracks"), tmp_path / "a.wav")
    with pytest.raises(DataError, match=r"a\.wav is one audio file\. Training needs"):
        inspect(recipe(), tmp_path / "a.wav")


def test_voices_are_those_of_the_recipe(tmp_path: Path) -> None:
    write(tmp_path, "song/{mixture,vocals}.wav")
    voices = {"vocals": [{"file": "v.wav"}], "backings": [{"file": "b.wav"}]}
    for layout in ("auto", "voices"):
        data = recipe(layout=layout, voices=voices, validation_fraction=0.5)
        found = survey(data, tmp_path, ("vocals",), (tmp_path / "song",))
        assert (found.layout, found.training) == ("voices", ())
        assert [song.name for song in found.validation] == ["song"]
        assert (
            found.summary[0]
            == "recordings of the recipe for training, 1 for validation, 1 s, 8000 Hz"
        )


def test_links_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "data/vocals/a.wav", "elsewhere/b.wav", "data/drums/c.wav")
    (tmp_path / "data" / "vocals" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "vocals" / "loop").symlink_to(tmp_path / "data" / "vocals")
    found = survey(recipe(), tmp_path / "data", STEMS)
    assert [song.name for song in found.training] == ["drums/c", "vocals/a", "vocals/more/b"]
