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
    """Interface of loggers; a logger ignores the kinds of data that it does not store.

    Names have parts joined by ``/``; the first part groups them. Audio and images belong to a
    song. Steps never decrease. A logger that is opened for a resumed run drops its entries after
    ``first_step``, since those steps are run again.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values of a step; NaN and infinity are allowed."""

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Log audio between -1 and 1; ``sample_rate`` in Hz."""

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """Log an RGB image."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """Log a text in Markdown."""

    def close(self) -> None:
        """Write pending entries and close."""


def tag(song: str, name: str) -> str:
    """Tag of an entry that belongs to a song.

    Dashboards sort sections alphabetically; with the first word ``song``, all songs come together,
    after losses and scores.
    """
    return f"song {song.replace('/', '_')}/{name}"


EXCERPTS = "excerpts"
LATEST = 2
"""Number of latest steps whose excerpts are kept besides the first."""


class ExcerptLogger:
    """Writes audio and images to files, e.g. ``excerpts/step-000200/SONG/vocals.estimate.flac``.

    Audio is 24-bit FLAC, images are PNG. Only the first step and the last two are kept, enough
    to compare the result with the start and with the step before. Values and texts are ignored.

    Args:
        folder: folder of the run.
        first_step: steps done before; files of later steps are deleted.

    Raises:
        OutputError: a file cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self.folder = folder / EXCERPTS
        for step, path in self._steps():
            if step > first_step:
                shutil.rmtree(path)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore values."""

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
        """Do nothing: files are complete when written."""

    def _path(self, step: int, song: str, name: str, suffix: str) -> Path:
        path = self.folder / f"step-{step:06}"
        if not path.exists():
            for _, old in self._steps()[1 : 1 - LATEST]:
                shutil.rmtree(old)
        return path / _file_name(song) / f"{_file_name(name.replace('/', '.'))}{suffix}"

    def _steps(self) -> list[tuple[int, Path]]:
        """Existing step folders, in order."""
        found = self.folder.glob("step-*")
        numbers = [(path.name.removeprefix("step-"), path) for path in found]
        return sorted((int(number), path) for number, path in numbers if number.isdecimal())


def _file_name(name: str) -> str:
    """A name that is valid on every file system."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ") or "_"


HISTORY = "history.jsonl"


class HistoryLogger:
    """Writes lines of JSON: ``{"step": 10, "loss/total": 0.5, ...}``.

    A line holds the values of one call: losses and learning rates in one, validation scores in
    another. ``NaN``, ``Infinity`` and ``-Infinity`` are written as Python's json and pandas read
    them.

    Args:
        folder: folder of the run.
        first_step: steps done before; lines of later steps and damaged lines are deleted.

    Raises:
        OutputError: the folder is not writable.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / HISTORY
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        with staged(path) as temporary:
            temporary.write_bytes(b"".join(line for line in lines if _is_done(line, first_step)))
        self._file = path.open("a", encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line."""
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
    """Filters out audio that was logged before under the same name, as mixtures and true stems."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}

    def is_new(self, name: str, wave: Clip) -> bool:
        """Whether the audio ``name`` differs from the last time."""
        digest = hashlib.sha256(wave.tobytes()).digest()
        is_new = self._last.get(name) != digest
        self._last[name] = digest
        return is_new


FLUSH_SECONDS = 10
"""Seconds between writes to the event file."""


class TensorBoardLogger:
    """Writes a TensorBoard event file into ``folder``, for ``tensorboard --logdir``.

    Audio keeps its channels, in 16 bits; unchanged audio is not written again. A resumed run makes
    TensorBoard purge the steps that are run again.

    Args:
        folder: folder of the run.
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
        """Log values of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Log audio; the writer's own method takes mono only."""
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
        """Log an RGB image."""
        self._writer.add_image(tag(song, name), picture, step, dataformats="HWC")

    def text(self, step: int, name: str, markdown: str) -> None:
        """Log a text in Markdown."""
        self._writer.add_text(name, markdown, step)

    def close(self) -> None:
        """Write pending entries and close."""
        self._writer.close()


RUN_ID = "wandb_id.txt"


class WandbLogger:
    """Logs to a run on Weights & Biases; unchanged audio is not sent again.

    ``WANDB_MODE=offline`` keeps everything in ``folder/wandb``, for ``wandb sync``; wandb's other
    environment variables work too.

    Args:
        project: name of the project.
        folder: folder of the run; it stores the id of the run on Weights & Biases, so that a
            resumed run continues there. Entries there of steps that are run again are not removed.
        name: name of the run.
        config: configuration to show.
        first_step: steps done before; 0 starts a new run there.

    Raises:
        ConfigError: wandb is not installed.
        StorageError: Weights & Biases refuses or cannot be reached.
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
                # The display of the run owns the terminal.
                settings=self._wandb.Settings(console="off"),
            )
        except self._wandb.Error as error:
            raise StorageError(_refused(error)) from error
        self._next_step = self._run.step
        self._repeats = RepeatFilter()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values of a step."""
        self._log(step, dict(values))

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Log audio."""
        key = tag(song, name)
        if self._repeats.is_new(key, wave):
            self._log(step, {key: self._wandb.Audio(wave.T, sample_rate=sample_rate)})

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """Log an RGB image."""
        self._log(step, {tag(song, name): self._wandb.Image(picture)})

    def text(self, step: int, name: str, markdown: str) -> None:
        """Log a text; Weights & Biases does not render Markdown, which is readable as it is."""
        page = f"<pre>{html.escape(markdown)}</pre>"
        self._log(step, {name: self._wandb.Html(page, inject=False)})

    def close(self) -> None:
        """Wait until everything has been sent."""
        self._run.finish()

    def _log(self, step: int, values: dict[str, Any]) -> None:
        # Weights & Biases takes no steps before its last one and would warn about each.
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
        f"Weights & Biases refused this run ({reason}). Run wandb login, or set WANDB_MODE=offline"
    )
