"""Resolves the name of a model, the folder of a run or a file to weights, and loads them.

What a run folder holds is agreed here, and written by :mod:`trainers.loop`: the best averaged
weights, the recipe, the checkpoint to go on from, and a summary of what came out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from model_zoo import registry
from model_zoo.catalogue.cards import cards, find, is_known, verify
from model_zoo.errors import NoModelError, UsageError, nearest
from model_zoo.files import SUFFIX
from model_zoo.separator import Separator
from model_zoo.weights import build, read

BEST = "best.safetensors"
LAST = "last.safetensors"
RECIPE = "recipe.json"
SUMMARY = "summary.json"

ENDINGS = (SUFFIX, ".pth", ".pt", ".ckpt", ".th")
"""By which a word is known for a file of weights, also where there is no such file."""

ADVICE = f"Type the folder of a run, e.g. runs/latest, or a {SUFFIX} file"

SHOWN = 3
"""Files of a folder that a sentence names."""


def resolve_weights(name: str) -> Path:
    """The weights that ``name`` stands for.

    Args:
        name: of a model of the zoo, else the folder of a run, or a ``.safetensors`` file that this
            program wrote.

    Raises:
        UnknownNameError: the zoo has no such model; the nearest name is offered.
        NoModelError: there is no such run or file, or it is a network without weights.
        WeightsError: a model of the zoo whose weights are missing or changed.
    """
    if is_path(name):
        return find_weights(Path(name))
    if name in registry.ARCHITECTURES and not is_known(name):
        raise _no_weights(name)
    return place(name)


def is_path(name: str) -> bool:
    """Whether a file or folder was typed; the name of a model goes before that of a folder."""
    if not name or is_known(name):
        return False
    path = Path(name)
    return path.exists() or path.suffix in ENDINGS or any(mark in name for mark in ("/", os.sep))


def as_typed(run: Path) -> str:
    """The folder of a run that a user wrote as one, even if a model has its name."""
    return f"./{run}" if is_known(str(run)) else str(run)


def find_weights(source: Path) -> Path:
    """The file with the weights of a run, or the file that was named.

    Raises:
        NoModelError: there is none; the sentence says what is there and what to type.
    """
    if source.is_dir():
        return _best_of(source)
    if not source.exists():
        raise NoModelError(_missing(source))
    if source.suffix != SUFFIX:
        raise NoModelError(
            f"{source} is not a {SUFFIX} file. For a checkpoint of another program type:"
            f" stem models convert {quote(str(source))} --name NAME"
        )
    if source.name == LAST:
        _best_of(source.parent)
        raise NoModelError(
            f"{source} is what its run goes on from with --resume. For the best weights of the run"
            f" type its folder: {quote(str(source.parent))}"
        )
    return source


def no_run(folder: Path) -> UsageError:
    """That ``--resume`` has nothing to go on from in ``folder``."""
    if not folder.exists():
        found = f"{folder} does not exist, so there is no run to go on with"
    elif not folder.is_dir():
        found = f"{folder} is a file, so there is no run in it to go on with"
    else:
        found = f"{folder} holds no run to go on with: there is no {LAST}"
    return UsageError(f"{found}. Type --output with the folder of one, or leave out --resume")


def _no_weights(architecture: str) -> NoModelError:
    """That the name of an architecture is not that of a model, with the models that have it."""
    train = f"stem train --recipe {architecture} --data DIR --export NAME"
    known = cards(lambda damaged: None)
    models = [name for name, card in known.items() if card.architecture == architecture]
    if not models:
        return NoModelError(f"{architecture} is a network without weights. Try: {train}")
    return NoModelError(
        f"{architecture} is a kind of network, not a model. Did you mean {' or '.join(models)}? To"
        f" train another, type: {train}"
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
            f" or finished. Try: stem train --data DIR --output {quote(str(folder))}{resume}"
        )
    within = next(_within(folder), "")
    advice = f"Type e.g. {quote(within)}" if within else ADVICE
    raise NoModelError(f"{folder} {_holds(folder)}, so it is not the folder of a run. {advice}")


def _holds(folder: Path) -> str:
    """What is in a folder, in words that follow its name."""
    names = sorted(path.name for path in folder.iterdir())
    more = len(names) - SHOWN
    if more > 0:
        return f"holds {', '.join(names[:SHOWN])} and {more} more"
    return f"holds {', '.join(names)}" if names else "is an empty folder"


def _within(folder: Path) -> Iterator[str]:
    """Runs and weights that lie in a folder."""
    yield from (str(path.parent) for path in sorted(folder.glob(f"*/{BEST}")))
    yield from map(str, sorted(folder.glob(f"*{SUFFIX}")))


def _missing(path: Path) -> str:
    """That there is no such file or folder, with the nearest that is there."""
    if is_known(str(path)):
        return f"{path} is a model already. Try: stem models info {path}"
    above = next(parent for parent in path.parents if parent.exists())
    wrong, *rest = path.parts[len(above.parts) :]
    beside = {entry.name for entry in above.iterdir()} if above.is_dir() else set()
    near = nearest(wrong, sorted(beside - {LAST}))
    found = above.joinpath(near, *rest) if near else None
    if found and found.exists():
        return f"{path} does not exist. Did you mean {quote(str(found))}?"
    return f"{path} does not exist. {ADVICE}"


def load(name: str | os.PathLike[str]) -> Separator:
    """A network with trained weights, in float32 and in evaluation mode.

    Args:
        name: a model of the zoo, or the path of a ``.safetensors`` file that :func:`save` wrote.

    Raises:
        UnknownNameError: no card has this name.
        ChecksumError: the file is not the one that the card describes.
        CheckpointError: the file is missing, damaged or does not fit its own config.
    """
    path = place(name)
    return build(path, read(path))


def place(name: str | os.PathLike[str]) -> Path:
    """Where the weights lie that :func:`load` loads.

    Raises:
        UnknownNameError: no card has this name.
        ChecksumError: the file is not the one that the card describes.
        CheckpointError: the file that a card describes is missing.
    """
    return Path(name) if str(name).endswith(SUFFIX) else verify(find(str(name)))
