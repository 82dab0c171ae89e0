"""``stem train`` with bad data and recipes.

Expected: the exit codes of the README; one error message that says what was found and what to
type; no new files.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from click.testing import CliRunner

from model_zoo.errors import ConfigError, DataError
from stemcli.cli.app import stem
from tests.stemcli.cli.results import errors
from tests.trainers.commands import (
    RATE,
    Damage,
    assert_error,
    set_options,
    train,
    write_silence,
    write_wave,
)
from tests.trainers.runs import with_voices
from trainers.config import (
    AdversaryRecipe,
    DataRecipe,
    LoopRecipe,
    OptimizerRecipe,
    Recipe,
    ScheduleRecipe,
    StageRecipe,
)
from trainers.data.training_data import DataNeeds, check_data
from trainers.recipes.loading import load_recipe

BAD_DATA: dict[str, tuple[Damage, str]] = {
    "a missing stem": (
        lambda folder: (folder / "songs/song_001/vocals.wav").unlink(),
        "song_001 has no vocals: add it, or use --set data.missing=silence",
    ),
    "unequal lengths": (
        lambda folder: write_wave(
            folder / "songs/song_001/vocals.wav", np.full((RATE // 2, 2), 0.1)
        ),
        "vocals.wav is 4000 samples long and mixture.wav 8000 samples: cut or pad",
    ),
    "no tracks": (
        lambda folder: [path.unlink() for path in (folder / "songs").rglob("*.wav")],
        "songs has no audio files, nor have the folders in it. Use the folder with the songs",
    ),
    "an empty file": (
        lambda folder: (folder / "songs/song_002/drums.wav").write_bytes(b""),
        "drums.wav is empty (0 bytes). Copy or download it again",
    ),
    "a file that is not audio": (
        lambda folder: (folder / "songs/song_002/drums.wav").write_bytes(b"no sound" * 99),
        "No sound can be read from songs/song_002/drums.wav",
    ),
    "NaN": (
        lambda folder: write_wave(folder / "songs/song_003/vocals.wav", np.full((RATE, 2), np.nan)),
        "vocals.wav holds NaN or infinity at 0.00 s. Export it again",
    ),
    "six channels": (
        lambda folder: write_wave(folder / "songs/song_003/vocals.wav", np.full((RATE, 6), 0.1)),
        "vocals.wav has 6 channels: mix it down to 2",
    ),
    "silent stems": (
        lambda folder: write_silence(folder, "vocals.wav"),
        "vocals is silent in every song: choose other songs",
    ),
    "only validation songs": (
        lambda folder: [
            (folder / "songs/valid").mkdir(),
            *(
                (folder / "songs" / name).rename(folder / "songs/valid" / name)
                for name in song_names()
            ),
        ],
        "3 songs for validation and none for training: put some into train/",
    ),
}


def song_names() -> list[str]:
    return [f"song_{number:03}" for number in (1, 2, 3)]


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data(tiny: Path, workdir: Path, kind: str) -> None:
    damage, message = BAD_DATA[kind]
    damage(workdir)
    assert_error(train(), 1, message)
    assert not (workdir / "run").exists()


def test_several_problems_are_printed_one_per_line(tiny: Path, workdir: Path) -> None:
    """The lines are those of ``stem data check``; JSON has one document with all of them."""
    for name in song_names()[:2]:
        (workdir / "songs" / name / "vocals.wav").unlink()
    lines = [
        f"Error: songs/{name} has no vocals: add it, or use --set data.missing=silence"
        for name in song_names()[:2]
    ]
    for more in ([], ["--dry-run"]):
        result = train(*more)
        assert (result.exit_code, errors(result.stderr)) == (1, lines)
    document = json.loads(train("--json").stdout.splitlines()[-1])
    assert (document["kind"], document["exit_code"]) == ("DataError", 1)
    assert all(line.removeprefix("Error: ") in document["message"] for line in lines)
    assert not (workdir / "run").exists()


def test_more_problems_than_a_screen_holds_are_counted(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataError, "SHOWN", 1)
    for name in song_names():
        (workdir / "songs" / name / "vocals.wav").unlink()
    write_wave(workdir / "songs/song_001/vocals.wav", np.full((RATE, 2), 0.1))
    shown = errors(train().stderr)
    assert shown == [
        "Error: songs/song_002 has no vocals: add it, or use --set data.missing=silence",
        "Error: And 1 more. All are listed by: stem data check songs",
    ]


def test_a_recipe_with_files_of_its_own_names_a_recipe_for_songs(workdir: Path) -> None:
    """The bundled recipe lists twelve files, the first of them in trainers/recipes."""
    result = train(recipe="melroformer-small")
    assert_error(
        result,
        1,
        "the recipe lists 12 files of its own, and none of them is in this folder (the first is "
        "vocals_producerspace.opus). To train on a folder of songs use --recipe quick or --recipe "
        "melroformer",
    )


def test_a_recipe_with_some_of_its_files_counts_the_missing_ones(
    tmp_path: Path, recordings: Path, recipe: Recipe
) -> None:
    values = recipe.data.voices.to_dict() | {
        "vocals": [{"file": name} for name in ("voice.wav", "b.wav", "c.wav")]
    }
    found = check_data(DataNeeds.of_recipe(with_voices(recipe, values)), recordings)
    assert found.problems == (
        "the recipe lists 4 files of its own, and 2 of them are not in this folder (the first is "
        "b.wav). Add them, or name the folder that has them",
    )


def test_a_single_song_instead_of_a_folder_of_songs(tiny: Path, workdir: Path) -> None:
    message = "songs/song_001 is the folder of one song. Use its parent: --data songs\n"
    assert_error(train(data="songs/song_001"), 1, message)


def test_the_same_songs_for_training_and_validation(tiny: Path, workdir: Path) -> None:
    assert_error(train("--validation", "songs"), 1, "none is left for training: use fewer, or none")


def test_silent_validation_songs(tiny: Path, workdir: Path) -> None:
    copytree("songs/song_001", "silent")
    write_wave(workdir / "silent/vocals.wav", np.zeros((RATE, 2)))
    assert_error(
        train("--validation", "silent"), 1, "vocals is silent in silent. Choose other songs"
    )


def test_songs_shorter_than_a_clip_are_reported(tiny: Path, workdir: Path) -> None:
    result = train("--set", "data.clip_seconds=1.5", "--dry-run")
    assert result.exit_code == 0
    assert "2 songs shorter than a clip of 1.5 s: padded with silence" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (["nonsense=3"], ["recipe tiny.yaml: unknown key 'nonsense'"]),
        (["lr=3"], ["there is no key lr. Try: --set optimizer.lr=3"]),
        (["loop.batchsize=4"], ["loop: unknown key 'batchsize', did you mean 'batch_size'?"]),
        (["loop.accumulation_steps=3"], ["loop.accumulation_steps must divide batch_size=2"]),
        (["losses.generator=1"], ["losses.generator need adversary.discriminators"]),
        (
            ["adversary.discriminators=[ensemble]", "losses.generator=0"],
            ["need a weight above 0 for losses.generator or losses.feature_matching"],
        ),
        (["loop.compile=true", "loop.activation_checkpointing=true"], ["exclude each other"]),
        (["model.options.stems=[vocals, vocals]"], ["model: options: stems must not repeat"]),
        (["seed=-1"], ["seed must be 0 or more"]),
        (
            ["optimizer.lr=.nan", "data.clip_seconds=.inf"],
            ["data.clip_seconds, optimizer.lr must be finite"],
        ),
        (["losses={1: 2}"], ["losses must be keys with values, each a number", "Unknown loss '1'"]),
        (
            [
                "data.validation_fraction=0",
                "schedule.shape=plateau",
                "schedule.early_stopping_patience=2",
            ],
            [
                "schedule.shape=plateau and schedule.early_stopping_patience=2: "
                "there are no validation songs"
            ],
        ),
        (
            ["data.clip_seconds=0.01"],
            ["clips of 0.01 s are too short for the network. Try: --set"],
        ),
        (["data.clip_seconds=0.02"], ["too short for losses.multi_resolution_stft"]),
        (["schedule.stages=[{until: 0.5, seconds: 0.001}]"], ["clips of 0.001 s are too short"]),
        (
            [
                "adversary.discriminators=[multi_frequency]",
                "adversary.options={multi_frequency: {hidden_channels: -1}}",
                "losses.generator=1",
            ],
            ["adversary.options: they cannot be used"],
        ),
    ],
)
def test_bad_recipes(tiny: Path, workdir: Path, changes: list[str], messages: list[str]) -> None:
    assert_error(train(*set_options(*changes)), 2, *messages)
    assert_error(train(*set_options(*changes), "--dry-run"), 2, *messages)
    assert not (workdir / "run").exists()


def test_all_mistakes_of_a_recipe_are_reported_together(tiny: Path, workdir: Path) -> None:
    """Unknown keys, contradictions, and unknown options, losses and discriminators."""
    (workdir / "bad.yaml").write_text(
        "base: tiny.yaml\n1: 2\nnmae: x\nloop: {accumulation_steps: 3}\nschedule: {steps: many}\n"
        "model: {options: {hiden_channels: 3}}\nlosses: {waveform_l2: 1, multi_mell: 1}\n"
        "adversary: {discriminators: [ensamble, multi_scail]}\n"
    )
    mistakes = [
        "unknown key 1",
        "unknown key 'nmae', did you mean 'name'?",
        "loop.accumulation_steps must divide batch_size=2",
        "schedule.steps must be a whole number, found 'many'",
        "model: options: unknown key 'hiden_channels', did you mean 'hidden_channels'?",
        "Unknown loss 'waveform_l2': did you mean 'waveform_l1'?",
        "Unknown loss 'multi_mell': did you mean 'multi_mel'?",
        "adversary: Unknown discriminator 'ensamble': did you mean 'ensemble'?",
        "adversary: Unknown discriminator 'multi_scail': did you mean 'multi_scale'?",
    ]
    assert_error(train(recipe="bad.yaml"), 2, *mistakes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.lr=1", "unknown key 'optimiser', which is now 'optimizer'"),
        ("optimizer.clip=1", "optimizer: unknown key 'clip', which is now 'max_grad_norm'"),
        ("data.seconds=3", "data: unknown key 'seconds', which is now 'clip_seconds'"),
        ("data.held_out=0.2", "unknown key 'held_out', which is now 'validation_fraction'"),
        ("loop.accumulate=2", "unknown key 'accumulate', which is now 'accumulation_steps'"),
        ("loop.recompute=true", "unknown key 'recompute', which is now 'activation_checkpointing'"),
    ],
)
def test_renamed_recipe_keys_say_their_new_name(tiny: Path, change: str, message: str) -> None:
    assert_error(train("--set", change), 2, message)


def test_new_names_of_renamed_keys_exist() -> None:
    schedules = [ScheduleRecipe, StageRecipe]
    for kind in [AdversaryRecipe, DataRecipe, LoopRecipe, OptimizerRecipe, Recipe, *schedules]:
        names = {field.name for field in fields(kind)}
        assert set(kind.former_names.values()) <= names
        assert not set(kind.former_names) & names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            r'"D:\Music\new"',
            "not valid YAML: found unknown escape character 'M' while scanning a double-quoted"
            " scalar (line 2, column 15); write a path with single quotes, with",
        ),
        (r'"D:\new\"', "found unexpected end of stream while scanning"),
        (r'"D:\temp"', r"'D:\temp' holds control characters; write a path with single quotes"),
    ],
)
def test_backslashes_in_recipes(tiny: Path, workdir: Path, line: str, message: str) -> None:
    r"""In YAML, ``"\t"`` is a tab, and ``"\M"`` an error (YAML 1.2, section 5.7)."""
    file = workdir / "bad.yaml"
    file.write_text(f"data:\n  songs: [{line}]\n")
    with pytest.raises(ConfigError) as error:
        load_recipe("bad.yaml")
    assert message in str(error.value)
    assert r"folder: 'D:\Music'" in str(error.value)
    assert str(error.value).count("line 2") == message.count("line 2")
    assert "<unicode string>" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_recipes_in_another_encoding(tiny: Path, workdir: Path, encoding: str) -> None:
    """PowerShell 5 writes UTF-16 with ``>``."""
    (workdir / "bad.yaml").write_bytes("name: Müller".encode(encoding))
    assert_error(train(recipe="bad.yaml"), 2, "it is not UTF-8 text; save it as UTF-8")
    refused = CliRunner().invoke(stem, ["tune", "melrnn", "--space", "bad.yaml"])
    assert_error(refused, 2, "it is not UTF-8 text; save it as UTF-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loop: [1", "not valid YAML"),
        ("- 1", "it must be a mapping of keys to values"),
        ("base: [tiny.yaml]", "base must be a name or a file, found ['tiny.yaml']"),
        ("base: nowhere.yaml", "nowhere.yaml: it cannot be read (No such file or directory). Use"),
    ],
)
def test_bad_recipe_files(tiny: Path, workdir: Path, text: str, message: str) -> None:
    (workdir / "bad.yaml").write_text(text)
    assert_error(train(recipe="bad.yaml"), 2, message)
    (workdir / "bad.txt").write_text(text)
    assert_error(train(recipe="bad.txt"), 2, "recipe files must end in .yaml or .json")
