"""What a search leaves behind: tables for programs, a recipe for the next run."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model_zoo.files import staged
from stemcli.printable import cell
from trainers.config import Recipe
from trainers.loop.checkpoint import write_json
from trainers.search.plan import TRIALS, Plan
from trainers.search.space import changed
from trainers.search.trials import Trial, Trials

BEST_RECIPE = "best.yaml"
JSON = "trials.json"
CSV = "trials.csv"
PICTURE = "search.png"

_DEFAULTS = Recipe(losses={"waveform_l1": 1.0}).to_dict() | {
    "losses": {},
    "seed": None,
    "model": {"options": {}},
}
"""Of a recipe; what is learned by what, and where chance begins, are always said."""


def write_tables(trials: Trials, plan: Plan, folder: Path) -> None:
    """Write ``trials.json`` and ``trials.csv``, the best trial first.

    Raises:
        OutputError: the folder cannot be written.
    """
    ranked = trials.ranked
    rows = [as_row(rank, trial) for rank, trial in enumerate(ranked, start=1)]
    document: dict[str, object] = {
        "architecture": plan.architecture,
        "recipe": plan.base.name,
        "trials": rows,
    }
    write_json(folder / JSON, document)
    keys = sorted({key for trial in ranked for key in trial.values})
    with (
        staged(folder / CSV) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        heads = [name for name in rows[0] if name not in ("values", "curve")] if rows else []
        writer.writerow([*heads, *keys])
        for row, trial in zip(rows, ranked, strict=True):
            values = [*(row[name] for name in heads), *(trial.values.get(key) for key in keys)]
            writer.writerow([cell(each) if isinstance(each, str) else each for each in values])


def as_row(rank: int, trial: Trial) -> dict[str, Any]:
    """A trial for programs: SDR in dB, time in seconds."""
    return {
        "rank": rank,
        "trial": trial.number,
        "folder": f"{TRIALS}/{trial.name}",
        "state": trial.state,
        "sdr": trial.sdr,
        "steps": trial.step,
        "parameters": trial.parameters,
        "seconds": round(trial.seconds, 1),
        "reason": trial.reason,
        "values": trial.values,
        "curve": trial.curve,
    }


def write_best(trials: Trials, plan: Plan, folder: Path) -> Path | None:
    """Write the recipe of the best trial; None where all failed.

    Raises:
        OutputError: the folder cannot be written.
    """
    best = trials.best
    if best is None:
        return None
    recipe = changed(plan.base, best.values, f"{plan.base.name}-best")
    values = json.loads(json.dumps(different(recipe.to_dict(), _DEFAULTS)))
    path = folder / BEST_RECIPE
    with staged(path) as temporary:
        text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)
        temporary.write_text(_origin(best, plan, folder) + text, "utf-8")
    return path


def different(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as a recipe has it anyway."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            inner = different(value, default)
            if inner:
                kept[key] = inner
        elif value != default:
            kept[key] = value
    return kept


def _origin(best: Trial, plan: Plan, folder: Path) -> str:
    """A comment that says where the recipe comes from."""
    lines = [
        f"The best of {plan.trials} trials of stem tune {plan.architecture} around the recipe "
        f"{plan.base.name}:",
        f"trial {best.number}, {best.sdr:.2f} dB {plan.score} after {best.step} steps,"
        f" {best.parameters:,} parameters ({folder.resolve().name}/{TRIALS}/{best.name}).",
        f"Varied: {', '.join(f'{key}={value}' for key, value in best.values.items())}",
    ]
    return "".join(f"# {line}\n" for line in lines)
