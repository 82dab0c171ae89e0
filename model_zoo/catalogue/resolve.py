"""Resolves the name of a model, the folder of a run or a file to weights, and loads them.

A run folder, which :mod:`trainers.loop` writes, holds the best averaged weights, the recipe, the
checkpoint to resume from, and a summary.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from model_zoo import registry
from model_zoo.catalogue.cards import cards, find, is_known, verify
from model_zoo.catalogue.names import is_path
from model_zoo.catalogue.public import find_public, plain, public_models, public_names
from model_zoo.catalogue.unknown import how_to_fetch, not_usable, see_list
from model_zoo.errors import NoModelError, UsageError, nearest
from model_zoo.files import SUFFIX
from model_zoo.option_names import convert_command, option
from model_zoo.separator import Separator
from model_zoo.shell import quoted
from model_zoo.weights import build, read

BEST = "best.safetensors"
LAST = "last.safetensors"
RECIPE = "recipe.json"
SUMMARY = "summary.json"

RUNS = Path("runs")
EXAMPLE = RUNS / "latest"
ADVICE = f"Use the folder of a run, e.g. {EXAMPLE}, or a {SUFFIX} file"

FOREIGN = (".ckpt", ".pth", ".pt", ".th")
"""Suffixes of checkpoints of other programs."""

SHOWN = 3
"""Number of files that a message names."""


def resolve_weights(name: str) -> Path:
    """Resolve a name to a weights file.

    Args:
        name: model of the zoo, folder of a run, or ``.safetensors`` file that this program wrote.

    Raises:
        UnknownNameError: the zoo has no such model; the message names the nearest.
        NoModelError: there is no such run or file, or it is an architecture without weights.
        WeightsError: the weights of a model of the zoo are missing or changed.
    """
    if is_path(name):
        return find_weights(Path(name))
    if name in registry.ARCHITECTURES and not is_known(name) and name not in public_models():
        raise _no_weights(name)
    return weights_path(name)


def find_weights(source: Path) -> Path:
    """Find the weights of a run, or check that a path is a weights file.

    Raises:
        NoModelError: there are no weights; the message says what there is and what to use.
    """
    if source.is_dir():
        return _best_of(source)
    if not source.exists():
        raise NoModelError(_missing(source))
    if source.suffix.lower() == ".onnx" and (reason := not_usable(source.name)):
        raise NoModelError(f"{source} cannot be used: {reason}")
    if source.suffix != SUFFIX:
        raise NoModelError(
            f"{source} is not a {SUFFIX} file. To convert a checkpoint of another program:"
            f" {convert_command(str(source))}"
        )
    if source.name == LAST:
        _best_of(source.parent)
        raise NoModelError(
            f"{source} is a checkpoint for {option('resume')}. For the best weights of the run"
            f" use its folder: {quoted(source.parent)}"
        )
    return source


def no_run(folder: Path) -> UsageError:
    """The error for ``--resume`` in a folder without a checkpoint."""
    if not folder.exists():
        found = f"{folder} does not exist, so there is no run to resume"
    elif not folder.is_dir():
        found = f"{folder} is a file, so there is no run in it to resume"
    else:
        found = f"{folder} holds no run to resume: there is no {LAST}"
    return UsageError(f"{found}. Use --output with the folder of a run, or leave out --resume")


def _no_weights(architecture: str) -> NoModelError:
    """The error for the name of an architecture used as a model, with the models that have it."""
    train = f"stem train --recipe {architecture} --data DIR --export NAME"
    known = cards(lambda damaged: None)
    models = [name for name, card in known.items() if card.architecture == architecture]
    if not models and any(each.architecture == architecture for each in public_models().values()):
        return NoModelError(
            f"{architecture} is an architecture, not a model. Models that have it can be fetched."
            f" See: {see_list()}"
        )
    if not models:
        return NoModelError(f"{architecture} is a network without weights. Try: {train}")
    return NoModelError(
        f"{architecture} is an architecture, not a model. Did you mean {' or '.join(models)}? To"
        f" train another: {train}"
    )


def _best_of(folder: Path) -> Path:
    best = folder / BEST
    if best.is_file():
        return best
    kept = [name for name in (LAST, RECIPE) if (folder / name).exists()]
    if kept:
        resume = " --resume" if LAST in kept else ""
        raise NoModelError(
            f"{folder} has no {BEST} yet, only {' and '.join(kept)}: the run has not been validated"
            f" or finished. Try: stem train --data DIR --output {quoted(folder)}{resume}"
        )
    within = next(_within(folder), "")
    advice = f"Try: {quoted(within)}" if within else _advice(folder)
    raise NoModelError(f"{folder} {_holds(folder)}, so it is not the folder of a run. {advice}")


def _holds(folder: Path) -> str:
    """The content of a folder, in words that follow its name."""
    names = sorted(path.name for path in folder.iterdir())
    more = len(names) - SHOWN
    if more > 0:
        return f"holds {', '.join(names[:SHOWN])} and {more} more"
    return f"holds {', '.join(names)}" if names else "is an empty folder"


def _within(folder: Path) -> Iterator[str]:
    """Runs and weights in a folder."""
    yield from (str(path.parent) for path in sorted(folder.glob(f"*/{BEST}")))
    yield from map(str, sorted(folder.glob(f"*{SUFFIX}")))


def _missing(path: Path) -> str:
    """The error for a path that does not exist, with the nearest that does."""
    if is_known(str(path)):
        return f"{path} is a model already. Try: stem models info {path}"
    above = next(parent for parent in path.parents if parent.exists())
    wrong, *rest = path.parts[len(above.parts) :]
    beside = {entry.name for entry in above.iterdir()} if above.is_dir() else set()
    near = nearest(wrong, sorted(beside - {LAST}))
    found = above.joinpath(near, *rest) if near else None
    if found and found.exists():
        return f"{path} does not exist. Did you mean {quoted(found)}?"
    if find_public(path.name) and path.name == str(path):
        return f"{path} does not exist. {how_to_fetch(path.name)}"
    if reason := not_usable(path.name):
        return f"{path} does not exist, and {reason}. See: {see_list()}"
    if path.name == str(path) and path.suffix in FOREIGN:
        return f"{path} does not exist, and no public model has this name. {_foreign(path)}"
    return f"{path} does not exist. {_advice(path)}"


def _foreign(path: Path) -> str:
    """The advice for the name of a checkpoint of another program."""
    near = nearest(plain(path.name), public_names())
    convert = convert_command(str(path), "NAME")
    return f"Did you mean {near}?" if near else f"With the file and its YAML, run: {convert}"


def _advice(path: Path) -> str:
    """The advice with a run that exists, or else an example that is not the path itself."""
    run = next(_within(RUNS), "") or (RUNS / "mine" if path == EXAMPLE else EXAMPLE)
    return ADVICE.replace(str(EXAMPLE), quoted(run))


def load(name: str | os.PathLike[str]) -> Separator:
    """Load a trained network, in float32 and in evaluation mode.

    Args:
        name: model of the zoo, or path of a ``.safetensors`` file written by
            :func:`model_zoo.weights.save`.

    Raises:
        UnknownNameError: no card has this name.
        ChecksumError: the file is not the one that the card describes.
        CheckpointError: the file is missing, damaged or does not fit its own config.
    """
    path = weights_path(name)
    return build(path, read(path))


def weights_path(name: str | os.PathLike[str]) -> Path:
    """Path of the weights that :func:`load` loads.

    Raises:
        UnknownNameError: no card has this name.
        ChecksumError: the file is not the one that the card describes.
        CheckpointError: the file that a card describes is missing.
    """
    return Path(name) if str(name).endswith(SUFFIX) else verify(find(str(name)))
