"""``stem data check --recipe`` and a training judge the same folder alike.

Reference: opening the data as ``stem train`` does, which must refuse a folder exactly if the check
does, with the same sentences.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner, Result

from model_zoo.errors import AudioError, DataError
from stemcli.cli.app import stem
from tests.audio_files import tones, write_audio
from tests.trainers.data.songs_on_disk import LENGTH, RATE, write
from trainers.config import Recipe
from trainers.data.training_data import open_data_of
from trainers.recipes.loading import load_recipe

SONGS = "{a,b,c,d}/{vocals,drums}.wav"
Data = Callable[[Path], object]


def constant(path: Path, value: float, frames: int = LENGTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((frames, 2), value), RATE, "FLOAT")


def songs(root: Path, value: float, *names: str) -> None:
    """Four songs, in which files of these names have a constant value."""
    write(root, SONGS)
    for name in names:
        constant(root / name, value)


def quiet_middle(root: Path) -> None:
    """A validation song whose vocals sing only at the start; 20 s of its middle are validated."""
    write(root, "train/{a,b}/{vocals,drums}.wav")
    write(root, "valid/c/drums.wav", frames=40 * RATE)
    wave = np.zeros((40 * RATE, 2))
    wave[:RATE] = 0.3
    soundfile.write(root / "valid/c/vocals.wav", wave, RATE)


def cut_mp3(root: Path) -> None:
    """Vocals that are cut off, which only decoding shows."""
    write(root, SONGS)
    (root / "a/vocals.wav").unlink()
    write_audio(root / "a/drums.wav", tones(4 * RATE), RATE)
    write_audio(root / "a/vocals.mp3", tones(4 * RATE), RATE)
    file = root / "a/vocals.mp3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])


def stem_files(root: Path, *silent: str) -> None:
    write(root, "{vocals,drums,bass}/{a,b,c}.wav")
    for name in silent:
        constant(root / name, 0.0)


EVERY_DRUMS = [f"{song}/drums.wav" for song in "abcd"]
EVERY_VOCALS = [f"{song}/vocals.wav" for song in "abcd"]

DATA: dict[str, tuple[Data, str]] = {
    "good songs": (lambda root: write(root, SONGS), ""),
    "one song": (lambda root: write(root, "a/{vocals,drums}.wav"), ""),
    "an untrained stem is silent": (lambda root: songs(root, 0.0, *EVERY_DRUMS), ""),
    "the trained stem is silent": (
        lambda root: songs(root, 0.0, *EVERY_VOCALS),
        "vocals is silent in every song",
    ),
    "the trained stem is silent in one song": (lambda root: songs(root, 0.0, "a/vocals.wav"), ""),
    "NaN in an untrained stem": (
        lambda root: songs(root, np.nan, "b/drums.wav"),
        "b/drums.wav holds NaN or infinity at 0.00 s",
    ),
    "an untrained stem is missing": (
        lambda root: write(root, "a/{vocals,drums}.wav", "{b,c}/{vocals,bass}.wav"),
        "",
    ),
    "the trained stem is missing": (
        lambda root: write(root, "a/{vocals,drums}.wav", "{b,c}/{drums,bass}.wav"),
        "b has no vocals",
    ),
    "only mixtures": (lambda root: write(root, "{a,b}/mixture.wav"), "no song has stems"),
    "another rate in a song": (
        lambda root: (write(root, SONGS), write(root, "a/drums.wav", rate=2 * RATE)),
        "Hz: convert it to",
    ),
    "another length": (
        lambda root: (write(root, SONGS), write(root, "a/drums.wav", frames=9000)),
        "cut or pad them to one length",
    ),
    "a cut off mp3": (cut_mp3, "differ in length: use stems that add up to their mixture"),
    "silent validation": (
        lambda root: (
            write(root, "train/{a,b}/{vocals,drums}.wav", "valid/c/{vocals,drums}.wav"),
            constant(root / "valid/c/vocals.wav", 0.0),
        ),
        "vocals is silent in c. Choose other songs with --validation DIR",
    ),
    "a validation song with a silent middle": (quiet_middle, "vocals is silent in c"),
    "single stems": (stem_files, ""),
    "single stems, an untrained one silent": (
        lambda root: stem_files(root, *(f"drums/{name}.wav" for name in "abc")),
        "",
    ),
    "single stems, the trained one silent": (
        lambda root: stem_files(root, *(f"vocals/{name}.wav" for name in "abc")),
        "every file in vocals/ is silent",
    ),
    "one stem without mixtures": (
        lambda root: write(root, "vocals/{a,b}.wav"),
        "vocals is the only stem, and there are no mixtures to separate it from: add a folder for",
    ),
    "mixtures and vocals with other names": (
        lambda root: write(root, "mixture/{w1,w2}.wav", "vocals/{v1,v2}.wav"),
        "no file in mixture/ has the name of a stem's file (mixture/ has w1.wav, w2.wav; vocals/"
        " has v1.wav, v2.wav): give the files of a song one name, e.g. rename ",
    ),
    "mixtures and two stems with other names": (
        lambda root: write(root, "mixture/w1.wav", "{vocals,drums}/{v1,v2}.wav"),
        "/mixture away to mix the stems at random",
    ),
    "stems in the singular": (
        lambda root: write(root, "a/{vocal,drums}.wav", "{b,c,d}/{vocals,drums}.wav"),
        "a has vocal and no vocals: rename vocal to vocals",
    ),
    "pairs": (lambda root: write(root, "{mixture,vocals}/{a,b,c}.wav"), ""),
    "libraries": (lambda root: write(root, "{instrumentals,vocals}/{a,b,c}.wav"), ""),
    "libraries, one silent": (
        lambda root: (
            write(root, "vocals/{a,b,c}.wav"),
            [constant(root / f"instrumentals/{name}.wav", 0.0) for name in "abc"],
        ),
        "every file in instrumentals/ is silent",
    ),
}


@pytest.fixture
def plain(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny recipe that trains vocals on songs, and validates 20 s of each song."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    values = json.loads(json.dumps(recipe.to_dict()))
    values["data"] = {"clip_seconds": 0.5}
    values["validation"]["seconds"] = 20
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "plain.yaml"


def check(folder: Path, recipe: Path, *more: str) -> Result:
    return CliRunner().invoke(
        stem, ["data", "check", str(folder), "--recipe", str(recipe), "--json", *more]
    )


def refusal(recipe: Path, folder: Path) -> list[str]:
    """Sentences with which a training refuses the folder; empty if it opens."""
    try:
        open_data_of(load_recipe(str(recipe)), folder, ())
    except DataError as error:
        return error.problems
    except AudioError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize("kind", DATA)
def test_check_and_training_judge_alike(plain: Path, tmp_path: Path, kind: str) -> None:
    damage, message = DATA[kind]
    folder = tmp_path / "data"
    damage(folder)
    result = check(folder, plain)
    problems = [problem.rstrip(".") for problem in json.loads(result.stdout)["problems"]]
    assert problems == refusal(plain, folder)
    assert result.exit_code == bool(message)
    assert message in "; ".join(problems)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (lambda root: songs(root, 0.0, *EVERY_DRUMS), "drums is silent in every song"),
        (
            lambda root: stem_files(root, *(f"drums/{name}.wav" for name in "abc")),
            "every file in drums/ is silent",
        ),
    ],
)
def test_silence_of_an_untrained_stem_is_a_note_in_both(
    plain: Path, tmp_path: Path, data: Data, sentence: str
) -> None:
    data(tmp_path / "data")
    note = f"{sentence}, which does no harm: drums is not trained"
    assert note in json.loads(check(tmp_path / "data", plain).stdout)["notes"]
    assert note in open_data_of(load_recipe(str(plain)), tmp_path / "data", ()).summary


def test_without_a_recipe_the_way_out_is_named(tmp_path: Path) -> None:
    """All stems are required then; the message says how to name those that are trained."""
    songs(tmp_path, 0.0, *EVERY_DRUMS)
    result = CliRunner().invoke(stem, ["data", "check", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: drums is silent in every song: choose other songs. If drums is not trained, name"
        " the trained stems with --stems\n"
    )


def test_stems_of_the_recipe_can_be_changed(plain: Path, tmp_path: Path) -> None:
    songs(tmp_path / "data", 0.0, *EVERY_DRUMS)
    both = ("--set", "model.options.stems=[vocals,drums]")
    result = check(tmp_path / "data", plain, *both)
    assert (result.exit_code, "drums is silent in every song" in result.stderr) == (1, True)
    assert check(tmp_path / "data", plain, "--stems", "vocals").exit_code == 2


def test_contradictions_of_recipe_and_data_are_found(plain: Path, tmp_path: Path) -> None:
    """As in a training, wrong usage: exit code 2."""
    write(tmp_path / "data", "{mixture,vocals}/{a,b,c}.wav")
    remix = check(tmp_path / "data", plain, "--set", "data.augmentation.remix.chance=0.5")
    assert (remix.exit_code, "data.augmentation.remix.chance=0" in remix.stderr) == (2, True)
    assert "the recipe uses the augmentation remix, but layout pairs does not have" in remix.stderr
    patient = ("--set", "data.validation_fraction=0", "--set", "schedule.shape=plateau")
    result = check(tmp_path / "data", plain, *patient)
    assert (result.exit_code, "there are no validation songs" in result.stderr) == (2, True)


def test_names_are_mended_before_augmentations(plain: Path, tmp_path: Path) -> None:
    """Turning an augmentation off does not help if no mixture has a target."""
    write(tmp_path / "data", "mixture/w.wav", "vocals/v.wav")
    result = check(tmp_path / "data", plain, "--set", "data.augmentation.remix.chance=0.5")
    (problem,) = json.loads(result.stdout)["problems"]
    assert (result.exit_code, problem.split(" (")[0]) == (
        1,
        "no file in mixture/ has the name of a stem's file",
    )


def test_files_of_the_recipe_are_checked(recipe: Recipe, recordings: Path) -> None:
    """Layout voices: a silent voice and a missing backing, named together."""
    file = recordings / "voices.json"
    file.write_text(json.dumps(recipe.to_dict()))
    assert check(recordings, file).exit_code == 0
    constant(recordings / "voice.wav", 0.0)
    (recordings / "backing.wav").unlink()
    problems = json.loads(check(recordings, file).stdout)["problems"]
    assert len(problems) == 2
    assert any("backing.wav" in problem for problem in problems)
    assert f"{recordings}/voice.wav is silent: use a recording with sound in it" in problems
