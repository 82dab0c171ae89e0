"""Loggers of a run: TensorBoard, Weights & Biases, CSV, and plain files."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import numpy as np
import soundfile
from jaxtyping import Float, UInt8

from model_zoo.errors import ConfigError, MissingExtraError, StorageError
from model_zoo.files import staged
from model_zoo.parsing import parse_json
from stemcli.audio.formats import OutputFormat
from stemcli.audio.writer import open_writer

Clip = Float[np.ndarray, "channel time"]
Picture = UInt8[np.ndarray, "height width 3"]


@runtime_checkable
class RunLogger(Protocol):
    """A place that a run is written down in; it takes what it has a use for.

    Names have parts, joined by ``/``; what has the same first part belongs together. Sound and
    pictures belong to a song. Steps never go back. A logbook that is opened for a run that goes on
    after ``first_step`` forgets what it holds of later steps: those are done once more.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step; NaN and infinity are numbers too."""

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Sound between -1 and 1, at ``sample_rate`` in Hz."""

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """Red, green and blue."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """Words in Markdown."""

    def close(self) -> None:
        """Write what is still waiting."""


def tag(song: str, name: str) -> str:
    """Under what name a page shows something of a song.

    Pages sort their sections by the alphabet; with the first word, songs of all names come behind
    the losses and the scores, and all together.
    """
    return f"song {song.replace('/', '_')}/{name}"


EXCERPTS = "excerpts"
LATEST = 2
"""Steps that are kept beside the first."""


class ExcerptLogger:
    """Files like ``excerpts/step-000200/SONG/vocals.estimate.flac``; numbers and texts have none.

    Sound is FLAC of 24 bits, pictures are PNG. Only the first and the last two steps are kept: to
    hear how far the run has come, and whether it still moves.

    Args:
        folder: of the run.
        first_step: steps done before; files of later steps go.

    Raises:
        OutputError: a file cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self.folder = folder / EXCERPTS
        for step, place in self._steps():
            if step > first_step:
                shutil.rmtree(place)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """No place for them."""

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Write a FLAC file."""
        path = self._path(step, song, name, ".flac")
        with open_writer(path, sample_rate, len(wave), OutputFormat("flac", "24")) as writer:
            writer.write(wave.T)

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """Write a PNG file."""
        from matplotlib.image import imsave

        with staged(self._path(step, song, name, ".png")) as temporary:
            imsave(temporary, picture, format="png")

    def text(self, step: int, name: str, markdown: str) -> None:
        """No place for it."""

    def close(self) -> None:
        """Nothing is waiting."""

    def _path(self, step: int, song: str, name: str, suffix: str) -> Path:
        place = self.folder / f"step-{step:06}"
        if not place.exists():
            for _, old in self._steps()[1 : 1 - LATEST]:
                shutil.rmtree(old)
        return place / _file_name(song) / f"{_file_name(name.replace('/', '.'))}{suffix}"

    def _steps(self) -> list[tuple[int, Path]]:
        """The steps that there are, in order."""
        found = self.folder.glob("step-*")
        numbers = [(place.name.removeprefix("step-"), place) for place in found]
        return sorted((int(number), place) for number, place in numbers if number.isdecimal())


def _file_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ") or "_"


HISTORY = "history.jsonl"


class HistoryLogger:
    """A line of JSON for every entry: ``{"step": 10, "loss/total": 0.5, ...}``.

    An entry holds what was written at once: losses and rates in one, scores of a validation in
    another. Numbers that are none are written ``NaN``, ``Infinity`` and ``-Infinity``, as Python's
    json and pandas read them.

    Args:
        folder: of the run.
        first_step: steps done before; lines of later steps, and those that are damaged, go.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / HISTORY
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        with staged(path) as temporary:
            temporary.write_bytes(b"".join(line for line in lines if _is_done(line, first_step)))
        self._file = path.open("a", encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """No place for it."""

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """No place for it."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """No place for it."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_done(line: bytes, first_step: int) -> bool:
    try:
        return bool(parse_json(line)["step"] <= first_step)
    except (ValueError, KeyError, TypeError):
        return False


class RepeatFilter:
    """Knows of every name what was written last: mixtures and true stems need be stored once."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}

    def is_new(self, name: str, wave: Clip) -> bool:
        """Whether the sound called ``name`` is another than the last time."""
        digest = hashlib.sha256(wave.tobytes()).digest()
        is_new = self._last.get(name) != digest
        self._last[name] = digest
        return is_new


FLUSH_SECONDS = 10
"""How long a curve may lag behind."""


class TensorBoardLogger:
    """An event file in ``folder``, for ``tensorboard --logdir``.

    Sound keeps its channels, in 16 bits; what is the same as before is not written again. A run
    that goes on tells TensorBoard to forget the steps that are done once more.

    Args:
        folder: of the run.
        first_step: steps done before.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "train") from error
        self._writer: Any = SummaryWriter(
            folder, purge_step=first_step + 1, flush_secs=FLUSH_SECONDS
        )
        self._repeats = RepeatFilter()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of every curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """A player. The writer's own method takes one channel only."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        name = tag(song, name)
        if not self._repeats.is_new(name, wave):
            return
        file = io.BytesIO()
        soundfile.write(file, wave.T, sample_rate, "PCM_16", format="WAV")
        audio = Summary.Audio(
            sample_rate=sample_rate,
            num_channels=wave.shape[0],
            length_frames=wave.shape[1],
            encoded_audio_string=file.getvalue(),
            content_type="audio/wav",
        )
        summary = Summary(value=[Summary.Value(tag=name, audio=audio)])
        self._writer.file_writer.add_summary(summary, step)

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """A picture."""
        self._writer.add_image(tag(song, name), picture, step, dataformats="HWC")

    def text(self, step: int, name: str, markdown: str) -> None:
        """A text."""
        self._writer.add_text(name, markdown, step)

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()


RUN_ID = "wandb_id.txt"


class WandbLogger:
    """A run of a project of Weights & Biases; sound that is the same as before is not sent again.

    ``WANDB_MODE=offline`` keeps everything below ``folder/wandb``, for ``wandb sync``; the other
    variables that wandb knows are respected as well.

    Args:
        project: its name.
        folder: of the run; the id of the page is kept there, so that a run that goes on does so on
            the same page. What the page has of steps that are done once more stays as it is.
        name: of the run on the page.
        config: what the page shows as the configuration.
        first_step: steps done before; 0 opens a new page.

    Raises:
        ConfigError: wandb is not installed.
        StorageError: Weights & Biases refuses, or cannot be reached.
    """

    def __init__(
        self, project: str, folder: Path, name: str, config: Mapping[str, Any], first_step: int
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            missing = "Weights & Biases is not installed. Try: pip install wandb"
            raise ConfigError("log.wandb", [f"{missing}, or --set log.wandb=''"]) from error
        self._wandb: Any = wandb
        try:
            self._run = self._wandb.init(
                project=project,
                name=name,
                config=dict(config),
                dir=str(folder),
                id=_run_id(folder, first_step),
                resume="allow",
                # The terminal belongs to the display of the run.
                settings=self._wandb.Settings(console="off"),
            )
        except self._wandb.Error as error:
            raise StorageError(_refused(error)) from error
        self._next_step = self._run.step
        self._repeats = RepeatFilter()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of every curve."""
        self._log(step, dict(values))

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """A player."""
        key = tag(song, name)
        if self._repeats.is_new(key, wave):
            self._log(step, {key: self._wandb.Audio(wave.T, sample_rate=sample_rate)})

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """A picture."""
        self._log(step, {tag(song, name): self._wandb.Image(picture)})

    def text(self, step: int, name: str, markdown: str) -> None:
        """A text; the page does not know Markdown, which is readable as it is."""
        page = f"<pre>{html.escape(markdown)}</pre>"
        self._log(step, {name: self._wandb.Html(page, inject=False)})

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish()

    def _log(self, step: int, values: dict[str, Any]) -> None:
        # The page takes no steps that lie before its last one, and would complain about each.
        if step >= self._next_step:
            self._run.log(values, step=step)


def _run_id(folder: Path, first_step: int) -> str:
    path = folder / RUN_ID
    if first_step and path.exists():
        return path.read_text("utf-8").strip()
    run_id = uuid4().hex[:12]
    with staged(path) as temporary:
        temporary.write_text(run_id, "utf-8")
    return run_id


def _refused(error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".")
    return (
        f"Weights & Biases does not take this run ({reason}). Type wandb login, or set "
        "WANDB_MODE=offline"
    )
