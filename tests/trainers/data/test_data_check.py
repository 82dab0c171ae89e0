"""``stem data check`` as it is typed. Truth: folders written here, the words, the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.trainers.data.songs_on_disk import FOUR, LENGTH, RATE, write


def enter(*arguments: object) -> Result:
    return CliRunner().invoke(stem, ["data", *map(str, arguments)])


def test_for_people(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,drums}.wav")
    done = enter("check", tmp_path)
    assert done.exit_code == 0
    assert [line.rstrip() for line in done.output.splitlines()] == [
        "Layout: tracks",
        "2 songs for training, none for validation, 2 s, 8000 Hz",
        "Stems: drums, vocals",
        "stem     found",
        "drums        2",
        "vocals       2",
    ]


def test_for_programs(tmp_path: Path) -> None:
    write(tmp_path, "train/{a,b}/{vocals,drums}.wav", "valid/c/vocals.wav", "valid/c/mixture.wav")
    done = enter("check", tmp_path, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "event": "data_checked",
        "layout": "tracks",
        "training": 2,
        "validation": 1,
        "seconds": 3.0,
        "sample_rates": {"8000": 3},
        "stems": {"drums": 2, "vocals": 3},
        "notes": [],
        "problems": [f"{tmp_path}/valid/c has no drums: add it, or use --set data.missing=silence"],
    }


def test_all_problems_are_shown_even_to_who_wants_quiet(tmp_path: Path) -> None:
    write(tmp_path, f"{{{','.join(map(str, range(10, 33)))}}}/{{vocals,drums}}.wav")
    for number in range(10, 33):
        write(tmp_path, f"{number}/mixture.wav", frames=2 * LENGTH)
    done = enter("check", tmp_path, "--quiet")
    assert (done.exit_code, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 23
    assert lines[0] == (
        f"Error: {tmp_path}/10/mixture.wav is 16000 samples long and drums.wav 8000 samples:"
        " cut or pad them to one length"
    )


@pytest.mark.parametrize(
    ("words", "exit_code"),
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
def test_what_is_needed_is_chosen(tmp_path: Path, words: tuple[str, ...], exit_code: int) -> None:
    write(tmp_path, "a/{vocals,drums}.wav", "b/{vocals,bass}.wav")
    assert enter("check", tmp_path, *words).exit_code == exit_code


def test_what_the_message_offers_can_be_typed(tmp_path: Path) -> None:
    write(tmp_path, f"a/{{{','.join(FOUR)}}}.wav")
    wanted = ("check", tmp_path, "--stems", "vocals,instrumental")
    refused = enter(*wanted)
    assert refused.exit_code == 2
    offered = refused.stderr.split("Use ")[1].split()
    assert enter(*wanted, *offered).exit_code == 0


@pytest.mark.parametrize("words", [("--help",), ("check", "--help")])
def test_help_has_examples(words: tuple[str, ...]) -> None:
    shown = enter(*words)
    assert shown.exit_code == 0
    assert shown.output.split("Examples:\n")[1].count("stem data check") >= 2
    assert max(map(len, shown.output.splitlines())) <= 100


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    done = enter("check", tmp_path / "none")
    assert done.exit_code == 2
    assert "none' does not exist" in done.stderr


def spoil(path: Path, value: float) -> None:
    soundfile.write(path, np.full((LENGTH, 2), value), RATE, "FLOAT")


def test_silent_files_of_libraries_are_named(tmp_path: Path) -> None:
    """One of several teaches nothing; where all are silent, the training refuses the same."""
    write(tmp_path, "{instrumentals,acapellas}/{a,b}.wav")
    given = ("check", tmp_path, "--layout", "voxaug", "--json")
    spoil(tmp_path / "acapellas" / "a.wav", 0.0)
    done = enter(*given)
    assert done.exit_code == 0
    first = f"1 silent file to remove: {tmp_path}/acapellas/a.wav"
    assert json.loads(done.stdout)["notes"][-1] == first
    spoil(tmp_path / "acapellas" / "b.wav", 0.0)
    done = enter(*given)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["problems"] == [
        "every file in acapellas/ is silent: add files with sound in them"
    ]


@pytest.mark.parametrize("kind", ["{instrumentals,vocals}/a.wav", "a/{instrumental,vocals}.wav"])
def test_numbers_that_are_none_are_found(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind)
    path = sorted(tmp_path.rglob("*.wav"))[-1]
    spoil(path, np.nan)
    done = enter("check", tmp_path)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"Error: {path} holds NaN or infinity at 0.00 s. Export it again"
    ]


def test_stems_that_are_silent_in_every_song(tmp_path: Path) -> None:
    """In one song of two there is enough to learn from; the network may have no use for them."""
    write(tmp_path, "{a,b}/{vocals,drums}.wav")
    spoil(tmp_path / "a" / "drums.wav", 0.0)
    assert enter("check", tmp_path).exit_code == 0
    spoil(tmp_path / "b" / "drums.wav", 0.0)
    done = enter("check", tmp_path)
    assert done.exit_code == 1
    assert "drums is silent in every song. Choose other songs with --data" in done.stderr
    assert enter("check", tmp_path, "--stems", "vocals").exit_code == 0


def test_silent_songs_to_validate(tmp_path: Path) -> None:
    write(tmp_path, "train/a/{vocals,drums}.wav", "valid/b/{vocals,drums}.wav")
    spoil(tmp_path / "valid" / "b" / "vocals.wav", 0.0)
    done = enter("check", tmp_path, "--stems", "vocals")
    assert done.exit_code == 1
    assert "vocals is silent in b. Choose other songs with --validation DIR" in done.stderr
    assert enter("check", tmp_path, "--stems", "vocals,drums").exit_code == 0
