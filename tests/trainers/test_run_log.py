"""The log of a run, from events to files, compared with means by hand."""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from model_zoo.errors import MissingExtraError, OutputError
from tests.trainers.logs import backdate, curve, history, tensorboard
from trainers.config import LogRecipe, Recipe
from trainers.loop.events import (
    ExcerptRendered,
    RunFinished,
    RunStarted,
    StepDone,
    Validated,
    means,
)
from trainers.loop.loggers import open_run_log, run_log
from trainers.loop.loggers.backends import HistoryLogger
from trainers.loop.loggers.run_log import normalized

RATE = 8000
WAVE = np.sin(np.arange(2 * RATE) * 0.3).reshape(2, RATE).astype(np.float32)


def started(first_step: int = 0) -> RunStarted:
    return RunStarted("tiny", "melroformer", 1234567, 0, "cpu", "fp32", first_step, 8, 4.0, 1)


def step(number: int, loss: float = 1.0) -> StepDone:
    return StepDone(number, {"total": loss}, {"model": 2 * loss}, {"model": 0.01}, 2.0, 0.5)


def rendered_excerpt(number: int, gain: float = 1.0) -> ExcerptRendered:
    waves = {"mixture": 0.5 * WAVE, "vocals/estimate": 0.2 * gain * WAVE, "vocals/true": 0.1 * WAVE}
    return ExcerptRendered(number, "my song", RATE, waves, {"freq_blocks.0": np.eye(4)})


@pytest.fixture
def every_three_steps(recipe: Recipe) -> Recipe:
    """A recipe that logs every three steps."""
    return replace(recipe, log=LogRecipe(every=3))


def test_means_by_hand() -> None:
    steps = [
        StepDone(7, {"a": 1.0}, {"model": 3.0}, {"model": 0.1}, 2.0, 0.5),
        StepDone(8, {"a": 2.0, "late": 5.0}, {"model": 4.0}, {"model": 0.3}, 6.0, 1.5),
    ]
    assert means(steps, 0.0) == pytest.approx(
        {
            "loss/a": 1.5,
            "loss/late": 5.0,
            "gradient_norm/model": 3.5,
            "learning_rate/model": 0.2,
            "time/seconds_per_step": 4.0,
            "time/share_waiting_for_data": 0.25,
        }
    )
    assert means(steps, 5.0)["time/epoch"] == 1.6


def test_means_of_non_finite_values_are_not_finite() -> None:
    result = means([step(1, 1.0), step(2, math.inf), step(3, math.nan)], 0.0)
    assert math.isnan(result["loss/total"])
    assert means([step(1), step(2, -math.inf)], 0.0)["gradient_norm/model"] == -math.inf
    step_without_time = StepDone(1, {}, {}, {}, 0.0, 0.0)
    assert means([step_without_time], 0.0)["time/share_waiting_for_data"] == 0.0


def test_entries_are_means_since_the_last_one(every_three_steps: Recipe, tmp_path: Path) -> None:
    with open_run_log(every_three_steps, tmp_path, 0) as report:
        report(started())
        for number in range(1, 9):
            report(step(number, float(number)))
        report(RunFinished(8, None, "best.safetensors", "all steps are done"))
    expected = [(3, 2.0), (6, 5.0), (8, 7.5)]
    assert curve(tmp_path, "loss/total") == expected
    assert [(line["step"], line["loss/total"]) for line in history(tmp_path)] == expected
    assert curve(tmp_path, "time/epoch") == [(3, 0.75), (6, 1.5), (8, 2.0)]


def test_an_interrupted_run_logs_its_last_steps(every_three_steps: Recipe, tmp_path: Path) -> None:
    def interrupted() -> None:
        with open_run_log(every_three_steps, tmp_path, 0) as report:
            for number in range(1, 6):
                report(step(number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [line["step"] for line in history(tmp_path)] == [3, 5]
    backdate(tmp_path)
    with open_run_log(every_three_steps, tmp_path, 4) as report:
        for number in range(5, 8):
            report(step(number))
    assert [line["step"] for line in history(tmp_path)] == [3, 6, 7]
    assert [number for number, _ in curve(tmp_path, "loss/total")] == [3, 6, 7]


def test_scores_are_logged(recipe: Recipe, tmp_path: Path) -> None:
    with open_run_log(recipe, tmp_path, 0) as report:
        report(Validated(2, {"vocals": 1.5, "bass": 3.5}, 2.5, False, 4.25))
    expected = {"sdr/vocals": 1.5, "sdr/bass": 3.5, "sdr/mean": 2.5, "sdr/best": 4.25}
    assert history(tmp_path) == [{"step": 2, **expected}]
    assert {name: curve(tmp_path, name) for name in expected} == {
        name: [(2, value)] for name, value in expected.items()
    }


def test_the_logged_recipe_can_be_loaded(recipe: Recipe, tmp_path: Path) -> None:
    with open_run_log(recipe, tmp_path, 0) as report:
        report(started())
    (text,) = tensorboard(tmp_path).Tensors("recipe/text_summary")
    block = text.tensor_proto.string_val[0].decode()
    values = yaml.safe_load(block.removeprefix("```yaml\n").removesuffix("```"))
    assert Recipe.from_dict(values) == recipe


def test_run_and_result_are_logged_as_tables(recipe: Recipe, tmp_path: Path) -> None:
    with open_run_log(recipe, tmp_path, 0) as report:
        report(started())
        report(RunFinished(8, 3.14159, "a|b", "no new best"))
    tensorboard_data = tensorboard(tmp_path)
    facts, result = (
        tensorboard_data.Tensors(f"{name}/text_summary")[0]
        .tensor_proto.string_val[0]
        .decode()
        .splitlines()
        for name in ("run", "result")
    )
    assert facts[:2] == ["| what | value |", "|---|---|"]
    assert "| parameters | 1,234,567 |" in facts
    assert result[2:] == [
        "| step | 8 |",
        "| best mean | 3.14 |",
        "| weights | a\\|b |",
        "| reason | no new best |",
    ]


def test_names_of_logged_audio_and_images(recipe: Recipe, tmp_path: Path) -> None:
    with open_run_log(recipe, tmp_path, 0) as report:
        report(rendered_excerpt(2))
    tags = tensorboard(tmp_path).Tags()
    assert sorted(tags["audio"]) == [
        "song my song/mixture",
        "song my song/vocals/estimate",
        "song my song/vocals/true",
    ]
    assert sorted(tags["images"]) == [
        "song my song/spectrogram/vocals",
        "song my song/weights of attention/freq_blocks.0",
    ]
    files = {path.name for path in (tmp_path / "excerpts/step-000002/my song").iterdir()}
    assert files == {
        "mixture.flac",
        "vocals.estimate.flac",
        "vocals.true.flac",
        "spectrogram.vocals.png",
        "weights of attention.freq_blocks.0.png",
    }


@pytest.mark.parametrize("gain", [1.0, 50.0])
def test_waves_of_a_song_are_normalized_together(
    recipe: Recipe, tmp_path: Path, gain: float
) -> None:
    event = rendered_excerpt(2, gain)
    with open_run_log(recipe, tmp_path, 0) as report:
        report(event)
    peak = max(np.abs(wave).max() for wave in event.waves.values())
    for name, wave in event.waves.items():
        (clip,) = tensorboard(tmp_path).Audio(f"song my song/{name}")
        logged, _ = soundfile.read(io.BytesIO(clip.encoded_audio_string))
        np.testing.assert_allclose(logged.T, wave / peak, atol=2**-15)


def test_non_finite_waves_are_logged(recipe: Recipe, tmp_path: Path) -> None:
    broken = np.array([[math.nan, 0.25, math.inf, -0.5]], np.float32)
    waves = {"mixture": 0 * WAVE[:1, :4], "vocals/estimate": broken, "vocals/true": broken}
    event = ExcerptRendered(1, "my song", RATE, waves, {})
    assert normalized(event)["vocals/true"].tolist() == [[0, 0.5, 0, -1]]
    assert normalized(replace(event, waves={"mixture": waves["mixture"]}))["mixture"].max() == 0
    with open_run_log(recipe, tmp_path, 0) as report:
        report(event)


def test_a_folder_that_cannot_be_written(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with (
        pytest.raises(OutputError, match="Cannot write"),
        open_run_log(recipe, tmp_path / "run", 0),
    ):
        pass


def test_errors_of_the_run_are_not_changed(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the data"), open_run_log(recipe, tmp_path, 0):
        raise OSError("of the data")


def test_loggers_are_closed_when_another_cannot_be_opened(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").mkdir()
    with pytest.raises(OutputError, match="Cannot write"), open_run_log(recipe, tmp_path, 0):
        pass
    assert json.dumps(tensorboard(tmp_path).Tags()["scalars"]) == "[]"


def test_a_run_without_matplotlib_does_not_start(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is needed at the first validation, which may come hours later."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    missing = pytest.raises(MissingExtraError, match=r"^matplotlib is not .*stemcli\[train\]")
    with missing, open_run_log(recipe, tmp_path, 0):
        pass
    assert not [*tmp_path.iterdir()]


def test_wandb_logs_to_the_named_project(
    every_three_steps: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is named after the folder, receives what other loggers do, and is closed."""
    calls: list[object] = []

    class FakeWandbLogger(HistoryLogger):
        def __init__(self, project: str, folder: Path, name: str, config: object, step: int):
            calls.append((project, folder, name, config, step))

        def scalars(self, step: int, values: dict[str, float]) -> None:
            calls.append((step, values["loss/total"]))

        def close(self) -> None:
            calls.append("closed")

    monkeypatch.setattr(run_log, "WandbLogger", FakeWandbLogger)
    named = replace(every_three_steps, log=replace(every_three_steps.log, wandb="mine"))
    with open_run_log(named, tmp_path / "run", 2) as report:
        report(step(3, 0.5))
    opened = ("mine", tmp_path / "run", "run", named.to_dict(), 2)
    assert calls == [opened, (3, 0.5), "closed"]
