"""From what was typed after ``stem train`` to a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_zoo.errors import CheckpointError
from model_zoo.plain import parse_json, read_text
from trainers.config import Recipe
from trainers.recipes import load_recipe

DEFAULT = "quick"
SHORTCUTS = {"precision": "loop.precision", "seed": "seed", "layout": "data.layout"}
"""Options with a name of their own, and what of the recipe they change."""


def choose_recipe(
    name: str,
    changes: tuple[str, ...],
    run: Path | None,
    origin: str = "",
    **shortcuts: str | int | None,
) -> Recipe:
    """The recipe that was asked for.

    Args:
        name: of a recipe, or a file; empty takes that of ``run``, or the default.
        changes: ``key.key=value``, in the order typed.
        run: folder of the run to go on with; None begins anew.
        origin: model to start from; where no recipe is named, its network is the recipe's.
        shortcuts: values of the options in :data:`SHORTCUTS`; None leaves the recipe as it is.

    Raises:
        UnknownNameError: no such recipe.
        ConfigError: it has mistakes; all of them are named.
        CheckpointError: there is no run to go on with, or it does not say by which recipe.
    """
    more = [f"{SHORTCUTS[key]}={value}" for key, value in shortcuts.items() if value is not None]
    chosen = name or (recipe_of(run) if run else DEFAULT)
    network = network_of(origin) if origin and not name and not run else ()
    return load_recipe(chosen, (*network, *changes, *more))


def network_of(origin: str) -> tuple[str, ...]:
    """What makes a recipe train the network of a model.

    Raises:
        UsageError: there is no such model, run or file.
        WeightsError: its weights cannot be used.
    """
    from model_zoo import weights
    from model_zoo.whereabouts import locate

    content = weights.read(locate(origin))
    return (
        f"model.architecture={content.architecture}",
        f"model.options={json.dumps(content.config)}",
        f"model.residual={json.dumps(content.metadata.get('residual', ''))}",
    )


def recipe_of(run: Path) -> str:
    """The file with the recipe of a run.

    Raises:
        CheckpointError: there is none.
    """
    from model_zoo.whereabouts import LAST, RECIPE, no_run

    file = run / RECIPE
    if file.is_file():
        if not _values(file):
            raise CheckpointError(
                f"{file} is damaged. Type --recipe with the one that the run was made by"
            )
        return str(file)
    if (run / LAST).is_file():
        raise CheckpointError(f"{run} has no {RECIPE}. Type --recipe with the one it was made by")
    raise no_run(run)


def differences(run: Path, recipe: Recipe) -> list[str]:
    """What a recipe changes about the run that it resumes, e.g. ``schedule.steps 9 -> 12``."""
    from model_zoo.whereabouts import RECIPE

    plain = json.loads(json.dumps(recipe.to_dict()))  # with lists for tuples, as in the file
    before, now = (dict(_flat(values)) for values in (_values(run / RECIPE), plain))
    return [
        f"{key} {json.dumps(before.get(key))} -> {json.dumps(now.get(key))}"
        for key in sorted(before.keys() | now)
        if before and key != "name" and before.get(key) != now.get(key)
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Values by the names that ``--set`` knows them by."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _values(file: Path) -> dict[str, Any]:
    """The recipe in a file; empty where it is damaged or missing."""
    try:
        values = parse_json(read_text(file))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
