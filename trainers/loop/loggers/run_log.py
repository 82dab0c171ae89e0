"""Passes the events of a run to its loggers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from model_zoo.errors import OutputError, require_package
from stemcli.engine.events import Event, EventHandler
from stemcli.process import held_interrupts
from trainers.config import Recipe
from trainers.loop.events import (
    ExcerptRendered,
    RunFinished,
    RunStarted,
    StepDone,
    Validated,
    means,
)
from trainers.loop.loggers.attention_maps import SHARES
from trainers.loop.loggers.backends import (
    Clip,
    ExcerptLogger,
    HistoryLogger,
    Picture,
    RunLogger,
    TensorBoardLogger,
    WandbLogger,
)

ESTIMATE, TRUE = "/estimate", "/true"


def log_excerpt(loggers: Sequence[RunLogger], event: ExcerptRendered) -> None:
    """Log the audio and images of an excerpt.

    ``mixture``, ``STEM/estimate`` and ``STEM/true`` are audio, scaled by one factor per song so
    that the loudest sample is 1. ``spectrogram/STEM`` shows estimate and target above mixture and
    error; ``weights of attention/LAYER`` is an attention map.
    """
    waves = normalized(event)
    for name, wave in waves.items():
        for logger in loggers:
            logger.audio(event.step, event.song, name, wave, event.sample_rate)
    for name, picture in _pictures(waves, event):
        for logger in loggers:
            logger.picture(event.step, event.song, name, picture)


def normalized(event: ExcerptRendered) -> dict[str, Clip]:
    """Scale all waves by one factor, so that they compare; non-finite samples become 0."""
    clean = {
        name: np.nan_to_num(wave, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
        for name, wave in event.waves.items()
    }
    peak = max(np.abs(wave).max(initial=0.0) for wave in clean.values())
    return {name: wave / peak if peak else wave for name, wave in clean.items()}


def _pictures(waves: Mapping[str, Clip], event: ExcerptRendered) -> Iterator[tuple[str, Picture]]:
    from trainers.plots import heat_map, spectrograms, to_pixels

    for name in waves:
        if name.endswith(ESTIMATE):
            stem = name.removesuffix(ESTIMATE)
            figure = spectrograms(_panels(waves, stem), event.sample_rate)
            yield f"spectrogram/{stem}", to_pixels(figure)
    for layer, weights in event.attention.items():
        yield f"weights of attention/{layer}", to_pixels(heat_map(weights, "key", "query", SHARES))


def _panels(waves: Mapping[str, Clip], stem: str) -> dict[str, Clip]:
    """Panels of a stem's spectrogram, in reading order."""
    estimate, true = waves[stem + ESTIMATE], waves[stem + TRUE]
    return {
        f"{stem}, estimate": estimate,
        f"{stem}, true": true,
        "mixture": waves["mixture"],
        "estimate - true": estimate - true,
    }


@contextmanager
def open_run_log(recipe: Recipe, folder: Path, first_step: int) -> Iterator[EventHandler]:
    """Open the loggers of a run; yields a handler that passes events to all of them.

    They are a TensorBoard event file, ``history.jsonl`` and ``excerpts`` in ``folder``, and a run
    on Weights & Biases if ``recipe.log.wandb`` names a project. Ctrl-C and SIGTERM take effect
    after the event that is being logged.

    Args:
        recipe: recipe of the run.
        folder: folder of the run.
        first_step: steps done before; entries of later steps are dropped.

    Raises:
        MissingExtraError: TensorBoard or matplotlib is not installed.
        ConfigError: ``log.wandb`` is set and wandb is not installed.
        StorageError: Weights & Biases refuses or cannot be reached.
        LogError: a log cannot be written.
    """
    with ExitStack() as loggers:
        with _explain_write_errors(folder):
            opened = [*_opened(recipe, folder, first_step, loggers)]
        log = RunLog(recipe, opened)

        def report(event: Event) -> None:
            # Callbacks of matplotlib and soundfile would swallow the exception of a signal.
            with held_interrupts(), _explain_write_errors(folder):
                log(event)

        with _silence_thread_errors():
            try:
                yield report
            except BaseException:
                with suppress(LogError):  # an earlier error is already being raised
                    _close(log, loggers, folder)
                raise
            _close(log, loggers, folder)


def _close(log: RunLog, loggers: ExitStack, folder: Path) -> None:
    with _explain_write_errors(folder), loggers.pop_all():
        log.flush()


def _opened(
    recipe: Recipe, folder: Path, first_step: int, loggers: ExitStack
) -> Iterator[RunLogger]:
    """Open the loggers one by one; ``loggers`` closes those that were opened."""
    require_package("matplotlib", "train")  # loaded at the first validation, which may be far
    if recipe.log.wandb:  # first, since it may refuse: nothing has been written yet
        name, config = folder.resolve().name, recipe.to_dict()
        page = WandbLogger(recipe.log.wandb, folder, name, config, first_step)
        yield loggers.enter_context(closing(page))
    for kind in (TensorBoardLogger, HistoryLogger, ExcerptLogger):
        yield loggers.enter_context(closing(kind(folder, first_step)))


class LogError(OutputError):
    """Logging failed; training itself could continue."""


@contextmanager
def _silence_thread_errors() -> Iterator[None]:
    """Hide the traceback of TensorBoard's thread: the next entry raises its error."""
    before = threading.excepthook

    def hook(found: threading.ExceptHookArgs) -> None:
        if not isinstance(found.exc_value, OSError):
            before(found)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into one sentence."""
    try:
        yield
    except OutputError as error:
        raise LogError(str(error)) from error
    except OSError as error:
        raise LogError(
            f"Cannot write the logs of {folder} ({error.strerror or error}). "
            "Choose a writable folder on a disk with space"
        ) from error


class RunLog:
    """Handler that writes events to loggers.

    Args:
        recipe: recipe of the run.
        loggers: the loggers.
    """

    def __init__(self, recipe: Recipe, loggers: Sequence[RunLogger]) -> None:
        self.recipe, self.loggers = recipe, loggers
        self._steps: list[StepDone] = []
        self._steps_per_epoch = 0.0
        self._score = "SDR"

    def __call__(self, event: Event) -> None:
        """Log an event, or collect steps until the next entry is due."""
        match event:
            case RunStarted():
                self._steps_per_epoch, self._score = event.steps_per_epoch, event.score
                self._start(event)
            case StepDone():
                self._steps.append(event)
                if event.step % self.recipe.log.every == 0:
                    self.flush()
            case Validated():
                self._scalars(event.step, _scores(event, self._score))
            case ExcerptRendered():
                log_excerpt(self.loggers, event)
            case RunFinished():
                self.flush()
                self._text(event.step, "result", _table(event))

    def flush(self) -> None:
        """Log the means over the steps since the last entry."""
        if self._steps:
            self._scalars(self._steps[-1].step, means(self._steps, self._steps_per_epoch))
            self._steps.clear()

    def _start(self, event: RunStarted) -> None:
        lists = json.loads(json.dumps(self.recipe.to_dict()))  # safe YAML has no tuples
        text = yaml.safe_dump(lists, sort_keys=False, allow_unicode=True)
        self._text(event.first_step, "recipe", f"```yaml\n{text}```")
        self._text(event.first_step, "run", _table(event))

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        for logger in self.loggers:
            logger.scalars(step, values)

    def _text(self, step: int, name: str, markdown: str) -> None:
        for logger in self.loggers:
            logger.text(step, name, markdown)


def _scores(event: Validated, score: str) -> dict[str, float]:
    """Validation scores, under ``sdr/`` or the name of another score."""
    named = {**event.sdr, "mean": event.mean, "best": event.best_mean}
    scores = {f"{score.lower()}/{name}": value for name, value in named.items()}
    diagnostics = {f"network/{name}": value for name, value in event.diagnostics.items()}
    return {**scores, **diagnostics}


def _table(event: Event) -> str:
    """Markdown table of the fields of an event."""
    facts = {name.replace("_", " "): value for name, value in event.to_dict().items()}
    lines = [f"| {name} | {_cell(value)} |" for name, value in facts.items() if name != "event"]
    return "\n".join(["| what | value |", "|---|---|", *lines])


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return str(value).replace("|", "\\|")
