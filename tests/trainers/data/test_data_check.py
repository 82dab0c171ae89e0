"""``stem data check`` on the command line: its output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.trainers.data.songs_on_disk import FOUR, LENGTH, RATE, write


def run_data(*arguments: object) -> Result:
    return CliRunner().invoke(stem, ["data", *map(str, arguments)])


def test_lines_of_data_check(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,drums}.wav")
    result = run_data("check", tmp_path)
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "Layout: tracks",
        "2 songs for training, none for validation, 2 s, 8000 Hz",
        "Stems: drums, vocals",
        "stem     found",
        "drums        2",
        "vocals       2",
    ]


def test_json_of_data_check(tmp_path: Path) -> None:
    write(tmp_path, "train/{a,b}/{vocals,drums}.wav", "valid/c/vocals.wav", "valid/c/mixture.wav")
    result = run_data("check", tmp_path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "event": "data_checked",
        "schema": 1,
        "layout": "tracks",
        "training": 2,
        "validation": 1,
        "seconds": 3.0,
        "sample_rates": {"8000": 3},
        "stems": {"drums": 2, "vocals": 3},
        "notes": [],
        "problems": [f"{tmp_path}/valid/c has no drums: add it, or use --set data.missing=silence"],
    }


def test_quiet_still_shows_all_problems(tmp_path: Path) -> None:
    write(tmp_path, f"{{{','.join(map(str, range(10, 33)))}}}/{{vocals,drums}}.wav")
    for number in range(10, 33):
        write(tmp_path, f"{number}/mixture.wav", frames=2 * LENGTH)
    result = run_data("check", tmp_path, "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 23
    assert lines[0] == (
        f"Error: {tmp_path}/10/mixture.wav is 16000 samples long and drums.wav 8000 samples:"
        " cut or pad them to one length"
    )


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        ((), 1),
        (("--stems", "vocals"), 0),
        (("--set", "data.missing=silence"), 0),
        (("--stems", "vocals,band", "--set", "data.groups.band=[kit]"), 2),
        (("--stems", "piano"), 2),
        (("--layout", "stems"), 0),
        (("--set", "loop.num_workers=1"), 2),
        (("--set", "data.mising=silence"), 2),
    ],
)
def test_options_choose_what_is_needed(
    tmp_path: Path, options: tuple[str, ...], exit_code: int
) -> None:
    write(tmp_path, "a/{vocals,drums}.wav", "b/{vocals,bass}.wav")
    assert run_data("check", tmp_path, *options).exit_code == exit_code


def test_options_in_the_message_work(tmp_path: Path) -> None:
    write(tmp_path, f"a/{{{','.join(FOUR)}}}.wav")
    arguments = ("check", tmp_path, "--stems", "vocals,instrumental")
    refused = run_data(*arguments)
    assert refused.exit_code == 2
    offered = refused.stderr.split("Use ")[1].split()
    assert run_data(*arguments, *offered).exit_code == 0


@pytest.mark.parametrize("options", [("--help",), ("check", "--help")])
def test_help_has_examples(options: tuple[str, ...]) -> None:
    shown = run_data(*options)
    assert shown.exit_code == 0
    assert shown.output.split("Examples:\n")[1].count("stem data check") >= 2
    assert max(map(len, shown.output.splitlines())) <= 100


def test_a_missing_folder(tmp_path: Path) -> None:
    result = run_data("check", tmp_path / "none")
    assert result.exit_code == 2
    assert "none' does not exist" in result.stderr


def write_constant(path: Path, value: float) -> None:
    soundfile.write(path, np.full((LENGTH, 2), value), RATE, "FLOAT")


def test_silent_library_files_are_named(tmp_path: Path) -> None:
    """One silent file is a note; if all are silent it is an error, as in training."""
    write(tmp_path, "{instrumentals,acapellas}/{a,b}.wav")
    arguments = ("check", tmp_path, "--layout", "voxaug", "--json")
    write_constant(tmp_path / "acapellas" / "a.wav", 0.0)
    result = run_data(*arguments)
    assert result.exit_code == 0
    note = f"1 silent file to remove: {tmp_path}/acapellas/a.wav"
    assert json.loads(result.stdout)["notes"][-1] == note
    write_constant(tmp_path / "acapellas" / "b.wav", 0.0)
    result = run_data(*arguments)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"] == [
        "every file in acapellas/ is silent: add files with sound in them"
    ]


@pytest.mark.parametrize("kind", ["{instrumentals,vocals}/a.wav", "a/{instrumental,vocals}.wav"])
def test_nan_samples_are_found(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind)
    path = sorted(tmp_path.rglob("*.wav"))[-1]
    write_constant(path, np.nan)
    result = run_data("check", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"Error: {path} holds NaN or infinity at 0.00 s. Export it again"
    ]


def test_stems_that_are_silent_in_every_song(tmp_path: Path) -> None:
    """A stem may be silent in some songs, or in all if the network does not need it."""
    write(tmp_path, "{a,b}/{vocals,drums}.wav")
    write_constant(tmp_path / "a" / "drums.wav", 0.0)
    assert run_data("check", tmp_path).exit_code == 0
    write_constant(tmp_path / "b" / "drums.wav", 0.0)
    result = run_data("check", tmp_path)
    assert result.exit_code == 1
    assert "drums is silent in every song: choose other songs. If drums is not" in result.stderr
    assert run_data("check", tmp_path, "--stems", "vocals").exit_code == 0


def test_mistakes_name_the_keys_of_the_recipe(tmp_path: Path) -> None:
    """Without a recipe, too: users set keys and do not know the classes behind them."""
    write(tmp_path, "{a,b}/{vocals,drums}.wav")
    result = run_data("check", tmp_path, "--set", "data.missing=ignore")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --set: data.missing must be one of 'error', 'silence'")


def test_several_silent_stems_are_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,drums,bass}.wav")
    for song in "ab":
        write_constant(tmp_path / song / "drums.wav", 0.0)
        write_constant(tmp_path / song / "bass.wav", 0.0)
    message = "bass and drums are silent in every song: choose other songs. If bass and drums are"
    assert message in run_data("check", tmp_path).stderr


def test_a_stem_that_is_silent_in_one_song_is_noted(tmp_path: Path) -> None:
    """Not an error: instruments rest. Without the stems of a training, all of them count."""
    write(tmp_path, "{a,b,c}/{vocals,drums,bass}.wav")
    silent = [tmp_path / "a" / "drums.wav", tmp_path / "c" / "vocals.wav"]
    for path in silent:
        write_constant(path, 0.0)
    result = run_data("check", tmp_path)
    assert result.exit_code == 0
    assert f"Silent from start to end: {silent[0]}, {silent[1]}" in result.output.splitlines()
    result = run_data("check", tmp_path, "--stems", "vocals,bass", "--json")
    assert json.loads(result.stdout)["notes"][-1] == f"Silent from start to end: {silent[1]}"


def test_silent_validation_songs(tmp_path: Path) -> None:
    write(tmp_path, "train/a/{vocals,drums}.wav", "valid/b/{vocals,drums}.wav")
    write_constant(tmp_path / "valid" / "b" / "vocals.wav", 0.0)
    result = run_data("check", tmp_path, "--stems", "vocals")
    assert result.exit_code == 1
    assert "vocals is silent in b. Choose other songs with --validation DIR" in result.stderr
    assert run_data("check", tmp_path, "--stems", "vocals,drums").exit_code == 0


def test_a_stem_with_a_near_name_is_named(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,drums}.wav")
    result = run_data("check", tmp_path, "--stems", "vocal,drums")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {tmp_path} has no vocal. Try: stem data check {tmp_path} --stems vocals,drums\n",
    )
    result = run_data("check", tmp_path, "--stems", "vocal,tuba")
    assert result.exit_code == 2
    assert "the data has no vocal; the data has no tuba; found drums, vocals" in result.stderr


def test_songs_are_not_rendered_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "short.mp3").touch()
    result = run_data("render", tmp_path / "short.mp3")
    assert result.exit_code == 2
    assert "short.mp3 is a file. Name a folder to write songs into, e.g. toy" in result.stderr
