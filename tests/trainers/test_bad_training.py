"""``stem train`` with bad data and recipes, as it is typed.

Truth: exit codes of the README; one sentence with what was found and what to type; no file that was
not there; the last good checkpoint byte for byte.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from tests.trainers.commands import RATE, Spoil, changed, refused, silence, sound, train
from trainers.config import (
    AdversaryRecipe,
    DataRecipe,
    LoopRecipe,
    OptimizerRecipe,
    Recipe,
    ScheduleRecipe,
    StageRecipe,
)

BAD_DATA: dict[str, tuple[Spoil, str]] = {
    "a missing stem": (
        lambda at: (at / "songs/song_001/vocals.wav").unlink(),
        "song_001 has no vocals: add it, or use --set data.missing=silence",
    ),
    "unequal lengths": (
        lambda at: sound(at / "songs/song_001/vocals.wav", np.full((RATE // 2, 2), 0.1)),
        "vocals.wav is 4000 samples long and mixture.wav 8000 samples: cut or pad",
    ),
    "no tracks": (
        lambda at: [path.unlink() for path in (at / "songs").rglob("*.wav")],
        "matches no layout",
    ),
    "no file at all": (
        lambda at: (at / "songs/song_002/drums.wav").write_bytes(b""),
        "drums.wav is empty (0 bytes). Copy or download it again",
    ),
    "no sound file": (
        lambda at: (at / "songs/song_002/drums.wav").write_bytes(b"no sound" * 99),
        "No sound can be read from songs/song_002/drums.wav",
    ),
    "NaN": (
        lambda at: sound(at / "songs/song_003/vocals.wav", np.full((RATE, 2), np.nan)),
        "vocals.wav holds NaN or infinity at 0.00 s. Export it again",
    ),
    "six channels": (
        lambda at: sound(at / "songs/song_003/vocals.wav", np.full((RATE, 6), 0.1)),
        "vocals.wav has 6 channels: mix it down to 2",
    ),
    "silent stems": (
        lambda at: silence(at, "vocals.wav"),
        "vocals is silent in every song. Choose other songs with --data",
    ),
    "songs to validate only": (
        lambda at: [
            (at / "songs/valid").mkdir(),
            *((at / "songs" / name).rename(at / "songs/valid" / name) for name in song_names()),
        ],
        "3 songs for validation and none for training: put some into train/",
    ),
}


def song_names() -> list[str]:
    return [f"song_{number:03}" for number in (1, 2, 3)]


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data(tiny: Path, place: Path, kind: str) -> None:
    spoil, sentence = BAD_DATA[kind]
    spoil(place)
    refused(train(), 1, sentence)
    assert not (place / "run").exists()


def test_a_single_song_in_the_place_of_a_folder_of_songs(tiny: Path, place: Path) -> None:
    refused(train(data="songs/song_001"), 1, "it is a single song. Use the folder", "songs: songs")


def test_the_same_songs_to_train_on_and_to_validate(tiny: Path, place: Path) -> None:
    refused(train("--validation", "songs"), 1, "none is left for training: use fewer, or none")


def test_silent_validation_songs(tiny: Path, place: Path) -> None:
    copytree("songs/song_001", "silent")
    sound(place / "silent/vocals.wav", np.zeros((RATE, 2)))
    refused(train("--validation", "silent"), 1, "vocals is silent in silent. Choose other songs")


def test_songs_shorter_than_a_clip_are_said(tiny: Path, place: Path) -> None:
    done = train("--set", "data.clip_seconds=1.5", "--dry-run")
    assert done.exit_code == 0
    assert "2 songs shorter than a clip of 1.5 s: padded with silence" in done.stdout.splitlines()


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (["lr=3"], ["recipe tiny.yaml: unknown key 'lr'"]),
        (["loop.batchsize=4"], ["loop: unknown key 'batchsize', did you mean 'batch_size'?"]),
        (["loop.accumulation_steps=3"], ["loop: accumulation_steps must divide batch_size=2"]),
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
def test_bad_recipes(tiny: Path, place: Path, changes: list[str], sentences: list[str]) -> None:
    refused(train(*changed(*changes)), 2, *sentences)
    refused(train(*changed(*changes), "--dry-run"), 2, *sentences)
    assert not (place / "run").exists()


def test_every_mistake_of_a_recipe_at_once(tiny: Path, place: Path) -> None:
    """Wrong keys, contradictions, and names that only networks, losses and adversaries know."""
    (place / "bad.yaml").write_text(
        "base: tiny.yaml\n1: 2\nnmae: x\nloop: {accumulation_steps: 3}\nschedule: {steps: many}\n"
        "model: {options: {hiden_channels: 3}}\nlosses: {waveform_l2: 1, multi_mell: 1}\n"
        "adversary: {discriminators: [ensamble, multi_scail]}\n"
    )
    mistakes = [
        "unknown key 1",
        "unknown key 'nmae', did you mean 'name'?",
        "loop: accumulation_steps must divide batch_size=2",
        "schedule: steps must be a whole number, found 'many'",
        "model: options: unknown key 'hiden_channels', did you mean 'hidden_channels'?",
        "Unknown loss 'waveform_l2': did you mean 'waveform_l1'?",
        "Unknown loss 'multi_mell': did you mean 'multi_mel'?",
        "adversary: Unknown discriminator 'ensamble': did you mean 'ensemble'?",
        "adversary: Unknown discriminator 'multi_scail': did you mean 'multi_scale'?",
    ]
    refused(train(recipe="bad.yaml"), 2, *mistakes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("optimiser.lr=1", "unknown key 'optimiser', which is now 'optimizer'"),
        ("optimizer.clip=1", "optimizer: unknown key 'clip', which is now 'max_grad_norm'"),
        ("data.seconds=3", "data: unknown key 'seconds', which is now 'clip_seconds'"),
        ("data.held_out=0.2", "unknown key 'held_out', which is now 'validation_fraction'"),
        ("loop.accumulate=2", "unknown key 'accumulate', which is now 'accumulation_steps'"),
        ("loop.recompute=true", "unknown key 'recompute', which is now 'activation_checkpointing'"),
    ],
)
def test_renamed_keys_of_a_recipe(tiny: Path, change: str, sentence: str) -> None:
    refused(train("--set", change), 2, sentence)


def test_renamed_keys_lead_to_keys_that_exist() -> None:
    schedules = [ScheduleRecipe, StageRecipe]
    for kind in [AdversaryRecipe, DataRecipe, LoopRecipe, OptimizerRecipe, Recipe, *schedules]:
        names = {field.name for field in fields(kind)}
        assert set(kind.former_names.values()) <= names
        assert not set(kind.former_names) & names


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("loop: [1", "not valid YAML"),
        ("- 1", "it must be a mapping of keys to values"),
        ("base: [tiny.yaml]", "base must be a name or a file, found ['tiny.yaml']"),
        ("base: nowhere.yaml", "nowhere.yaml: it cannot be read (No such file or directory). Use"),
    ],
)
def test_bad_recipe_files(tiny: Path, place: Path, text: str, sentence: str) -> None:
    (place / "bad.yaml").write_text(text)
    refused(train(recipe="bad.yaml"), 2, sentence)
    (place / "bad.txt").write_text(text)
    refused(train(recipe="bad.txt"), 2, "recipe files must end in .yaml or .json")
