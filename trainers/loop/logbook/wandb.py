"""The page of Weights & Biases."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from model_zoo.errors import ConfigError, StorageError
from model_zoo.files import staged
from trainers.loop.logbook.protocol import Clip, Picture, heading
from trainers.loop.logbook.repeats import Repeats

RUN_ID = "wandb_id.txt"


class WandbLogbook:
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
            missing = "Weights & Biases is not installed. Type: pip install wandb"
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
        self._repeats = Repeats()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of every curve."""
        self._log(step, dict(values))

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """A player."""
        key = heading(song, name)
        if self._repeats.is_new(key, wave):
            self._log(step, {key: self._wandb.Audio(wave.T, sample_rate=sample_rate)})

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """A picture."""
        self._log(step, {heading(song, name): self._wandb.Image(picture)})

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
