"""``stem models`` with the folder of a finished training run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo import weights
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line


@pytest.fixture
def run(tmp_path: Path, run_stem: RunStem) -> Path:
    """The folder of a finished run, below the current folder."""
    folder = tmp_path / "runs/mine"
    weights.save(folder / "best.safetensors", small_network(), {"residual": "band"}, half=True)
    summary = {"recipe": "tiny", "step": 40, "best_mean": 2.5, "sdr": {"vocals": 2.5}}
    (folder / "summary.json").write_text(json.dumps({**summary, "validation_songs": 3}))
    return folder


@pytest.mark.usefixtures("run")
def test_a_trained_model_is_added_listed_and_used(tmp_path: Path, run_stem: RunStem) -> None:
    """End to end; the stems add up to the song, as with any model."""
    added = run_stem("models", "add", "runs/mine", "--name", "mine", "--licence", "MIT")
    assert added.exit_code == 0, added.output
    assert added.stderr.splitlines()[1:] == [
        "vocals: 2.50 dB SDR on 3 validation songs, by which the step was chosen",
        "Try: stem separate SONG --model mine",
    ]
    assert "mine" in run_stem("models", "list").stdout
    output = run_stem("models", "info", "mine").stdout
    for fact in ("recipe tiny, best weights of 40 steps", "MIT", "vocals, band", "2.50"):
        assert fact in output
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 2))
    soundfile.write(tmp_path / "song.wav", song, 16_000, "FLOAT")
    done = run_stem("separate", "song.wav", "--model", "mine", "--bit-depth", "32f")
    assert done.exit_code == 0, done.output
    stems = [
        soundfile.read(tmp_path / f"separated/song/{name}.wav")[0] for name in ("vocals", "band")
    ]
    np.testing.assert_allclose(stems[0] + stems[1], song, atol=1e-5)


@pytest.mark.usefixtures("run")
def test_a_run_is_used_without_being_added(tmp_path: Path, run_stem: RunStem) -> None:
    output = run_stem("models", "info", "runs/mine").stdout
    for fact in ("runs/mine", "recipe tiny, best weights of 40 steps", "vocals, band"):
        assert fact in output
    assert "installed" not in output
    model = json.loads(run_stem("models", "info", "runs/mine", "--json").stdout)
    assert model["name"] == "runs/mine"
    assert sum(model["parts"].values()) == model["parameters"] == small_network().parameter_count()
    assert [score["value"] for score in model["scores"]] == [2.5]
    soundfile.write(tmp_path / "song.wav", np.zeros((16_000, 2)), 16_000, "FLOAT")
    done = run_stem(
        "separate", "song.wav", "--model", "runs/mine", "--filename", "{model}-{stem}.wav"
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "separated/mine-vocals.wav").exists()


@pytest.mark.usefixtures("run")
def test_adding_with_json(run_stem: RunStem) -> None:
    card = json.loads(run_stem("models", "add", "runs/mine", "--name", "mine", "--json").stdout)
    (listed,) = [
        model
        for model in json.loads(run_stem("models", "list", "--json").stdout)
        if model["name"] == "mine"
    ]
    assert card.items() <= listed.items()


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        ("nowhere --name x", 2, "nowhere does not exist. Use the folder of a run"),
        (
            "runs --name x",
            2,
            "runs holds mine, so it is not the folder of a run. Try: runs/mine",
        ),
        ("runs/mine/summary.json --name x", 2, "summary.json is not a .safetensors file"),
        ("runs/mine --name melroformer", 2, "--name: 'melroformer' is a bundled model"),
        ("runs/mine --name mine", 2, "--name: 'mine' is in your zoo already. Use another"),
        ("runs/mine", 2, "Missing option '--name'"),
    ],
)
def test_add_errors_are_one_sentence(
    run_stem: RunStem, args: str, code: int, expected: str
) -> None:
    run_stem("models", "add", "runs/mine", "--name", "mine")
    assert expected in error_line(run_stem("models", "add", *args.split()), code)


@pytest.mark.usefixtures("run")
def test_adding_again(run_stem: RunStem) -> None:
    for extra in ((), ("--overwrite",)):
        assert run_stem("models", "add", "runs/mine", "--name", "mine", *extra).exit_code == 0
