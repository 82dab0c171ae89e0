"""A recipe: one complete training run, from YAML.

A recipe may name another as its ``base`` and then only lists what differs. ``--set a.b=value``
changes single values. Unknown keys and contradictions are reported all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from model_zoo.config import Config
from model_zoo.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class ModelRecipe(Config):
    """What is trained: an architecture of the registry and its options."""

    architecture: str = "melroformer"
    options: dict[str, Any] = field(default_factory=dict)
    residual: str = "instrumental"


@dataclass(frozen=True)
class PoolRecipe(Config):
    """One sound file to cut excerpts from.

    Attributes:
        file: path below the data folder.
        weight: how often it is drawn, relative to the others of its list.
    """

    file: str = ""
    weight: float = 1.0

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return [] if self.weight > 0 else [f"weight of {self.file} must be above 0"]


@dataclass(frozen=True)
class DataRecipe(Config):
    """What is mixed, and how.

    Attributes:
        vocals: files with nothing but a voice.
        backings: files without any voice.
        seconds: length of a clip.
        silent: share of clips without a voice.
        bare: share of clips without a backing.
        second_voice: share of voiced clips that get a second, quieter voice.
        level: range in dB of the voice over the backing, drawn evenly.
        speed: largest change of speed and pitch by resampling, as a fraction.
        effects: chance of each effect on a clip (equaliser, room, echo, overdrive).
    """

    vocals: tuple[PoolRecipe, ...] = ()
    backings: tuple[PoolRecipe, ...] = ()
    seconds: float = 3.0
    silent: float = 0.1
    bare: float = 0.03
    second_voice: float = 0.15
    level: tuple[float, ...] = (-12.0, 6.0)
    speed: float = 0.12
    effects: float = 0.5

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        rules = {
            "vocals and backings must each list at least one file": (
                not self.vocals or not self.backings
            ),
            "silent and bare must be shares that add up to at most 1": (
                min(self.silent, self.bare) < 0 or self.silent + self.bare > 1
            ),
            "level must be a lower and an upper bound in dB": (
                len(self.level) != 2 or self.level[0] > self.level[-1]
            ),
        }
        return [sentence for sentence, broken in rules.items() if broken]


@dataclass(frozen=True)
class OptimiserRecipe(Config):
    """How weights move.

    Attributes:
        name: ``"adamw"``, or ``"muon"`` for the matrices inside blocks with AdamW for the rest.
        lr: AdamW's learning rate.
        muon_lr: Muon's learning rate, scaled to match AdamW's step size.
        weight_decay: of both.
        clip: largest norm of the gradient.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 3e-3
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True)
class ScheduleRecipe(Config):
    """Learning rate over steps: linear warm-up, constant, linear decay to zero.

    Attributes:
        steps: optimizer steps in all.
        warmup: steps of the warm-up.
        decay: share of all steps that the decay takes, at the end.
    """

    steps: int = 1000
    warmup: int = 50
    decay: float = 0.3


@dataclass(frozen=True)
class LoopRecipe(Config):
    """The rhythm of a run.

    Attributes:
        batch_size: clips per optimizer step.
        accumulate: parts a batch is computed in.
        ema: decay of the averaged weights that validation and export use.
        validate_every: steps between two validations.
        save_every: steps between two checkpoints.
        compile: compile the network's blocks (torch.compile); slow start, then faster.
        workers: processes that prepare data.
    """

    batch_size: int = 4
    accumulate: int = 1
    ema: float = 0.999
    validate_every: int = 200
    save_every: int = 100
    compile: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Recipe(Config):
    """One complete run."""

    name: str = ""
    seed: int = 0
    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    losses: dict[str, float] = field(default_factory=dict)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the program."""
    folder = resources.files("trainers") / "recipes"
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def load_recipe(name: str, changes: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by name or file and apply ``key.key=value`` changes.

    Raises:
        UnknownNameError: no such recipe.
        ConfigError: unknown keys or contradictory values.
    """
    values = _with_base(_read(name))
    for change in changes:
        _apply(values, change)
    values.setdefault("name", Path(name).stem)
    return Recipe.from_dict(values)


def _read(name: str) -> dict[str, Any]:
    source = Path(name)
    if source.suffix not in {".yaml", ".yml"}:
        if name not in recipe_names():
            raise UnknownNameError("recipe", name, recipe_names())
        text = (resources.files("trainers") / "recipes" / f"{name}.yaml").read_text("utf-8")
    elif source.is_file():
        text = source.read_text("utf-8")
    else:
        raise ConfigError("recipe", [f"there is no file {name}"])
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {name}", [f"not valid YAML: {error}"]) from error
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {name}", ["it must be a mapping of keys to values"])
    return values


def _with_base(values: dict[str, Any]) -> dict[str, Any]:
    base = values.pop("base", None)
    return _merge(_with_base(_read(base)), values) if base else values


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _apply(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals:
        raise ConfigError("--set", [f"{change!r} must look like loop.batch_size=8"])
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError("--set", [f"{path}: {parent} holds a value, not keys"])
    values[last] = yaml.safe_load(text)
