"""Loggers, whose files are read back by TensorBoard's own reader and by soundfile."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from model_zoo.errors import ConfigError, MissingExtraError, OutputError, StorageError
from tests.trainers.logs import backdate, curve, history, tensorboard
from trainers.loop.loggers.backends import (
    ExcerptLogger,
    HistoryLogger,
    RunLogger,
    TensorBoardLogger,
    WandbLogger,
)

RATE = 8000
SOUND = np.sin(np.arange(2 * RATE) ** 1.3).reshape(2, RATE).astype(np.float32)
PICTURE = (np.arange(5 * 7 * 3) * 37 % 256).astype(np.uint8).reshape(5, 7, 3)


def write_steps(logger: RunLogger, steps: range) -> None:
    for step in steps:
        logger.scalars(step, {"loss/total": step / 4, "sdr/mean": -step})
    logger.close()


def test_tensorboard_shows_the_numbers(tmp_path: Path) -> None:
    write_steps(TensorBoardLogger(tmp_path, 0), range(1, 4))
    assert curve(tmp_path, "loss/total") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert curve(tmp_path, "sdr/mean") == [(1, -1), (2, -2), (3, -3)]


def test_tensorboard_shows_nan_and_infinity(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, 0)
    for step, value in enumerate((math.nan, math.inf, -math.inf, 1.0), 1):
        logger.scalars(step, {"loss/total": value})
    logger.close()
    values = [value for _, value in curve(tmp_path, "loss/total")]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.0]


def test_tensorboard_plays_stereo(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, 0)
    logger.audio(3, "a/b", "vocals/estimate", SOUND, RATE)
    logger.close()
    (clip,) = tensorboard(tmp_path).Audio("song a_b/vocals/estimate")
    wave, rate = soundfile.read(io.BytesIO(clip.encoded_audio_string))
    assert (clip.step, clip.content_type, clip.length_frames, rate) == (3, "audio/wav", RATE, RATE)
    # 16 bits: one part in 2^15.
    np.testing.assert_allclose(wave.T, SOUND, atol=2**-15)


def test_tensorboard_keeps_unchanged_audio_once(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, 0)
    for step in (1, 2, 3):
        logger.audio(step, "a", "mixture", SOUND if step < 3 else -SOUND, RATE)
        logger.audio(step, "b", "mixture", SOUND / step, RATE)
    logger.close()
    tensorboard_data = tensorboard(tmp_path)
    assert [clip.step for clip in tensorboard_data.Audio("song a/mixture")] == [1, 3]
    assert [clip.step for clip in tensorboard_data.Audio("song b/mixture")] == [1, 2, 3]


def test_tensorboard_shows_pictures_and_texts(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, 0)
    logger.picture(3, "a", "spectrogram/vocals", PICTURE)
    logger.text(3, "recipe", "ä *text*")
    logger.close()
    tensorboard_data = tensorboard(tmp_path)
    (image,) = tensorboard_data.Images("song a/spectrogram/vocals")
    shown = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    assert np.array_equal(shown, PICTURE)
    (text,) = tensorboard_data.Tensors("recipe/text_summary")
    assert text.tensor_proto.string_val[0].decode() == "ä *text*"


def test_tensorboard_shows_repeated_steps_once(tmp_path: Path) -> None:
    first = TensorBoardLogger(tmp_path, 0)
    first.picture(3, "a", "b", PICTURE)
    write_steps(first, range(1, 8))
    backdate(tmp_path)
    again = TensorBoardLogger(tmp_path, 4)
    again.picture(6, "a", "b", PICTURE)
    write_steps(again, range(5, 7))
    assert [step for step, _ in curve(tmp_path, "loss/total")] == [1, 2, 3, 4, 5, 6]
    assert [image.step for image in tensorboard(tmp_path).Images("song a/b")] == [3, 6]


def test_tensorboard_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logger = TensorBoardLogger(tmp_path, 0)
    logger.audio(1, "a", "b", SOUND, RATE)
    write_steps(logger, range(1, 3))
    assert capfd.readouterr() == ("", "")


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"^tensorboard is not installed. Try: pip"):
        TensorBoardLogger(tmp_path, 0)


def test_history_has_a_line_per_entry(tmp_path: Path) -> None:
    logger = HistoryLogger(tmp_path / "run", 0)
    logger.scalars(1, {"loss/total": 0.1, "loss/other": math.inf})
    assert history(tmp_path / "run") == [{"step": 1, "loss/total": 0.1, "loss/other": math.inf}]
    logger.scalars(1, {"sdr/mean": math.nan})
    logger.close()
    assert math.isnan(history(tmp_path / "run")[1]["sdr/mean"])


def test_history_resumes_after_the_last_checkpoint(tmp_path: Path) -> None:
    write_steps(HistoryLogger(tmp_path, 0), range(1, 8))
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"step": 2, "loss/to')
    write_steps(HistoryLogger(tmp_path, 4), range(5, 7))
    assert [line["step"] for line in history(tmp_path)] == [1, 2, 3, 4, 5, 6]
    HistoryLogger(tmp_path, 0).close()
    assert history(tmp_path) == []


def test_history_in_an_unusable_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match="Cannot write"):
        HistoryLogger(tmp_path / "run", 0)


def steps_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "excerpts").iterdir())


def test_excerpts_are_flac_of_24_bits_and_png(tmp_path: Path) -> None:
    logger = ExcerptLogger(tmp_path, 0)
    logger.audio(200, "song", "vocals/estimate", SOUND, RATE)
    logger.picture(200, "song", "spectrogram/vocals", PICTURE)
    folder = tmp_path / "excerpts" / "step-000200" / "song"
    assert soundfile.info(folder / "vocals.estimate.flac").subtype == "PCM_24"
    wave, rate = soundfile.read(folder / "vocals.estimate.flac")
    assert rate == RATE
    np.testing.assert_allclose(wave.T, SOUND, atol=2**-23)
    with Image.open(folder / "spectrogram.vocals.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), PICTURE)


@pytest.mark.parametrize(
    ("song", "folder"), [("a/b\\c", "a_b_c"), ("..", "_"), ("w? :x", "w_ _x"), ("ä.", "ä")]
)
def test_excerpts_stay_in_their_folder(tmp_path: Path, song: str, folder: str) -> None:
    ExcerptLogger(tmp_path, 0).audio(1, song, "mixture", SOUND, RATE)
    tensorboard_data = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.flac")]
    assert tensorboard_data == [Path("excerpts", "step-000001", folder, "mixture.flac")]


def test_the_first_and_the_last_two_excerpts_are_kept(tmp_path: Path) -> None:
    logger, kept = ExcerptLogger(tmp_path, 0), []
    for step in (5, 10, 15, 20, 1_000_000):
        for name in ("mixture", "vocals/estimate"):
            logger.audio(step, "song", name, SOUND, RATE)
        kept.append(steps_of(tmp_path))
    first = ["step-000005"]
    assert kept[1:4] == [
        [*first, "step-000010"],
        [*first, "step-000010", "step-000015"],
        [*first, "step-000015", "step-000020"],
    ]
    assert kept[4] == [*first, "step-000020", "step-1000000"]
    assert len([*(tmp_path / "excerpts").rglob("*.flac")]) == 6


def test_excerpts_of_repeated_steps_are_removed(tmp_path: Path) -> None:
    logger = ExcerptLogger(tmp_path, 0)
    for step in (5, 10, 15):
        logger.audio(step, "song", "mixture", SOUND, RATE)
    ExcerptLogger(tmp_path, 10)
    assert steps_of(tmp_path) == ["step-000005", "step-000010"]


class Wandb(SimpleNamespace):
    """Stands in for the package wandb, and records how it is called.

    Args:
        next_step: of a run that exists already.
    """

    class Error(Exception):
        """Base of the package's errors."""

    def __init__(self, next_step: int = 0) -> None:
        super().__init__(step=next_step, init_options={}, logged=[], finished=0)

    def Settings(self, **options: Any) -> dict[str, Any]:  # noqa: N802
        return options

    def init(self, **options: Any) -> Wandb:
        self.init_options = options
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1

    def Audio(self, wave: np.ndarray, sample_rate: int) -> Any:  # noqa: N802
        return ("audio", wave.shape, sample_rate)

    def Image(self, picture: np.ndarray) -> Any:  # noqa: N802
        return ("image", picture.shape)

    def Html(self, text: str, inject: bool) -> Any:  # noqa: N802
        return text


def wandb_logger(
    monkeypatch: pytest.MonkeyPatch, package: Wandb | None, folder: Path, first_step: int = 0
) -> WandbLogger:
    monkeypatch.setitem(sys.modules, "wandb", package)
    return WandbLogger("songs", folder, "mine", {"seed": 3}, first_step)


def test_wandb_receives_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Wandb()
    logger = wandb_logger(monkeypatch, package, tmp_path)
    logger.text(0, "recipe", "a < b")
    logger.scalars(1, {"loss/total": 0.5})
    logger.audio(2, "a", "mixture", SOUND, RATE)
    logger.audio(3, "a", "mixture", SOUND, RATE)
    logger.picture(3, "a", "spectrogram/vocals", PICTURE)
    logger.close()
    assert package.init_options == {
        "project": "songs",
        "name": "mine",
        "config": {"seed": 3},
        "dir": str(tmp_path),
        "id": (tmp_path / "wandb_id.txt").read_text(),
        "resume": "allow",
        "settings": {"console": "off"},
    }
    assert package.logged == [
        (0, {"recipe": "<pre>a &lt; b</pre>"}),
        (1, {"loss/total": 0.5}),
        (2, {"song a/mixture": ("audio", (RATE, 2), RATE)}),
        (3, {"song a/spectrogram/vocals": ("image", (5, 7, 3))}),
    ]
    assert package.finished == 1


def test_wandb_resumes_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, resumed, fresh = Wandb(), Wandb(next_step=8), Wandb()
    wandb_logger(monkeypatch, package, tmp_path)
    write_steps(wandb_logger(monkeypatch, resumed, tmp_path, 4), range(5, 10))
    assert resumed.init_options["id"] == package.init_options["id"]
    assert [step for step, _ in resumed.logged] == [8, 9]
    wandb_logger(monkeypatch, fresh, tmp_path, 0)
    assert fresh.init_options["id"] != package.init_options["id"]


def test_without_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^log.wandb: .* is not installed. Try: pip install w"):
        wandb_logger(monkeypatch, None, tmp_path)


def test_wandb_errors_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Wandb()

    def refuse(**_: Any) -> Wandb:
        raise package.Error("api_key not configured\n(no-tty).")

    package.init = refuse
    with pytest.raises(StorageError, match=r"\(api_key not configured \(no-tty\)\). Run wandb l"):
        wandb_logger(monkeypatch, package, tmp_path)
