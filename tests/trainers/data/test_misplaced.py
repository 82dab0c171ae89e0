"""Folders and files that are not folders of songs, and the commands that the messages suggest.

Expected: what a user who named the wrong folder has to type, written by hand; and that typing it
works.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.trainers.data.songs_on_disk import write

FILES = (
    "songs/{Song A,Song B}/{vocals,drums}.wav",
    "halves/{train,valid}/{Song A,Song B}/{vocals,drums}.wav",
    "free/{vocals,drums}/{a,b}.wav",
    "pairs/{mixture,vocals}/{a,b}.wav",
    "vox/{instrumentals,acapella}/{a,b}.wav",
    "odd/{a,b}/{flute,horn}.wav",
    "albums/{first,second}/{01,02}.wav",
    "above/it/songs/{a,b}/{vocals,drums}.wav",
    "mixes/{a,b,c}.wav",
    "mixtures/{a,b}/mixture.wav",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with folders in all layouts."""
    write(tmp_path, *FILES)
    for name in ("musdb/train/X.stem.mp4", "flat/X.stem.mp4", "texts/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(stem, ["data", "check", *arguments])


ONE_SONG, ONE_STEM = "is the folder of one song. ", "is the folder of one stem. "
PARENT, SONGS = "Use its parent: stem data check ", "Use the folder of all songs: stem data check "


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("songs/Song A", f"{ONE_SONG}{PARENT}songs"),
        ("halves/train/Song A", f"{ONE_SONG}{SONGS}halves"),
        ("odd/a", f"{ONE_SONG}{PARENT}odd"),
        ("free/vocals", f"{ONE_STEM}{PARENT}free"),
        ("pairs/mixture", f"{ONE_STEM}{PARENT}pairs"),
        ("pairs/vocals", f"{ONE_STEM}{PARENT}pairs"),
        ("vox/instrumentals", f"{ONE_STEM}{PARENT}vox"),
        ("musdb/train", f"is one part of MUSDB18. {PARENT}musdb"),
        ("flat", "has *.stem.mp4 files, which MUSDB18 keeps in train/. Move them to flat/train"),
        ("empty", "is an empty folder. Add one folder per song with its stems"),
        ("texts", "has no audio files, nor have the folders in it"),
        (
            "above",
            "does not hold songs itself, but a folder in it does. Use stem data check above/it/",
        ),
        ("mixes", "has 3 audio files but no stems. Training needs the stems of each song, in a"),
        ("albums/first", "has 2 audio files but no stems. Training needs the stems of each"),
    ],
)
def test_the_right_folder_is_suggested(place: Path, named: str, message: str) -> None:
    result = check(named)
    assert result.exit_code == 1
    assert f"Error: {named} {message}" in result.stderr


@pytest.mark.parametrize("layout", ["tracks", "stems", "pairs", "voxaug", "csv"])
def test_the_song_is_recognized_in_every_layout(place: Path, layout: str) -> None:
    result = check("songs/Song A", "--layout", layout)
    assert (result.exit_code, f"{ONE_SONG}{PARENT}songs" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("inside", "named", "suggested"),
    [
        ("songs/Song A", ".", "../"),
        ("songs", "Song A", "./"),
        ("halves/train/Song A", ".", "../../"),
        ("free", "vocals", "./"),
    ],
)
def test_suggestions_from_inside_a_folder_work(
    place: Path, monkeypatch: pytest.MonkeyPatch, inside: str, named: str, suggested: str
) -> None:
    monkeypatch.chdir(place / inside)
    typed = check(named).stderr.split("stem data check ")[1]
    assert shlex.split(typed) == [suggested]
    assert check(*shlex.split(typed)).exit_code == 0


@pytest.fixture
def alone(place: Path) -> Path:
    """A folder of one song among folders that are none: an album, texts, a data set."""
    write(place, "home/my song/{vocals,drums}.wav", "home/album/{01,02}.wav")
    write(place, "home/toy/{A,B}/{vocals,drums}.wav")
    return place / "home"


@pytest.mark.parametrize("named", ["home/my song", "."])
def test_one_song_among_other_things_gets_a_folder_of_its_own(
    alone: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """The parent would give errors about the album; the commands of the message are run."""
    if named == ".":
        monkeypatch.chdir(alone / "my song")
    message = check(named).stderr
    assert f"Error: {named} {ONE_SONG}Give the song a folder of its own: mkdir " in message
    commands = message.split("of its own: ")[1].removesuffix(", then run it again\n")
    subprocess.run(commands, shell=True, check=True)
    result = check(named)
    assert (result.exit_code, "1 song for training" in result.stdout) == (0, True)


def test_songs_side_by_side_are_moved_into_folders(place: Path) -> None:
    """The names that separation programs and DAWs write."""
    write(place, "side/{One - drums,One - vocals,Two_(Vocals)}.wav")
    message = check("side").stderr
    assert message.startswith("Error: side has the stems of songs side by side. Training needs a")
    assert (
        "'side/One - drums.wav' to side/One/drums.wav and 'side/One - vocals.wav' to"
        " side/One/vocals.wav and 'side/Two_(Vocals).wav' to side/Two/vocals.wav"
    ) in message


def test_archives_are_unpacked_first(place: Path) -> None:
    (place / "texts" / "toy.zip").touch()
    assert check("texts").stderr.endswith(
        "nor have the folders in it. Unpack texts/toy.zip, then run it again\n"
    )


def test_a_folder_with_a_space_is_quoted(place: Path) -> None:
    (place / "songs").rename(place / "my songs")
    typed = check("my songs/Song A").stderr.split("stem data check ")[1]
    assert check(*shlex.split(typed)).exit_code == 0


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("songs/Song A/vocals.wav", f"is one stem of a song. {SONGS}songs"),
        ("halves/train/Song A/vocals.wav", f"is one stem of a song. {SONGS}halves"),
        ("free/vocals/a.wav", "is one file. Use the folder with all stems: stem data check free"),
        ("musdb/train/X.stem.mp4", f"is one song of MUSDB18. {SONGS}musdb"),
        ("mixes/a.wav", "is one audio file. Training needs the stems of many songs"),
        ("texts/notes.txt", "is neither a folder nor a .csv file"),
    ],
)
def test_a_file_instead_of_a_folder(place: Path, named: str, message: str) -> None:
    result = check(named)
    assert result.exit_code == 2
    assert f"{named!r} {message}" in result.stderr


@pytest.mark.parametrize("command", [["train"], ["tune", "melroformer"]])
def test_train_and_tune_suggest_the_option(place: Path, command: list[str]) -> None:
    result = CliRunner().invoke(stem, [*command, "--data", "songs/Song A/vocals.wav"])
    assert "is one stem of a song. Use the folder of all songs: --data songs" in result.stderr
    arguments = [*command, "--data", "songs", "--validation", "mixes/a.wav"]
    assert "Invalid value for '--validation'" in CliRunner().invoke(stem, arguments).stderr


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("free/vocals", "free/vocals is the folder of one stem. Use its parent: --validation free"),
        ("musdb/train", "musdb/train is one part of MUSDB18. Use its parent: --validation musdb"),
        ("mixes", "mixes has 3 audio files but no stems"),
        ("above", "a folder in it does. Use --validation above/it/songs"),
        ("empty", "empty contains no audio: use a folder with stems"),
    ],
)
def test_validation_songs(place: Path, named: str, message: str) -> None:
    result = check("songs", "--validation", named, "--stems", "vocals")
    assert (result.exit_code, message in result.stderr) == (1, True), result.stderr


def test_the_folder_of_one_song_may_be_used_for_validation(place: Path) -> None:
    assert check("songs", "--validation", "halves/train/Song A").exit_code == 0


def test_one_part_of_a_data_set_is_a_note(place: Path) -> None:
    """It can be trained on; naming the other part for validation is no mistake either."""
    note = "halves/train is one part of a data set; valid/ beside it is not used. For the whole set"
    assert f"{note}: stem data check halves" in check("halves/train").stdout
    assert note not in check("halves/train", "--validation", "halves/valid").stdout
    assert note not in check("halves").stdout


def test_songs_without_stems(place: Path) -> None:
    result = check("mixtures")
    assert (result.exit_code, result.stderr.count("Error")) == (1, 1)
    assert "no song has stems, only a mixture (a, b): add the stems of each song" in result.stderr
