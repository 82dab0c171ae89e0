"""A recipe: one complete training run, as :mod:`trainers.recipes` reads it from YAML.

Unknown keys and contradictions are reported all at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from model_zoo.config import Config, broken


@dataclass(frozen=True)
class ModelRecipe(Config):
    """What is trained.

    Attributes:
        architecture: a name of the registry.
        options: arguments of that architecture; what is left out has its default.
        residual: name of the mixture without all stems.
    """

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
        return broken(
            {
                "file must be named": not self.file,
                f"weight of {self.file} must be above 0": self.weight <= 0,
            }
        )


@dataclass(frozen=True)
class DataRecipe(Config):
    """What is mixed, and how.

    Attributes:
        vocals: files with nothing but a voice.
        backings: files without any voice.
        seconds: length of a clip, in s.
        silent: share of clips without a voice.
        bare: share of clips without a backing.
        second_voice: share of voiced clips that get a second voice, 3 to 12 dB quieter.
        level: range in dB of the voice over the backing, drawn evenly.
        speed: largest change of speed and pitch by resampling, as a fraction.
        effects: chance of an effect on a clip; :mod:`trainers.data.augmentation` lists the effects
            and how often each is used relative to this.
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
            "seconds must be above 0": self.seconds <= 0,
            "second_voice must be a share between 0 and 1": not 0 <= self.second_voice <= 1,
            "speed must be 0 or more and below 1": not 0 <= self.speed < 1,
            "effects must be 0 or more": self.effects < 0,
            "silent and bare must be shares that add up to at most 1": (
                min(self.silent, self.bare) < 0 or self.silent + self.bare > 1
            ),
            "level must be a lower and an upper bound in dB": (
                len(self.level) != 2 or self.level[0] > self.level[-1]
            ),
        }
        return broken(rules)


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

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "lr and muon_lr must be above 0": min(self.lr, self.muon_lr) <= 0,
                "weight_decay must be 0 or more": self.weight_decay < 0,
                "clip must be above 0": self.clip <= 0,
            }
        )


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

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "steps must be 1 or more": self.steps < 1,
                "warmup must be 0 or more": self.warmup < 0,
                "decay must be a share between 0 and 1": not 0 <= self.decay <= 1,
            }
        )


@dataclass(frozen=True)
class LoopRecipe(Config):
    """The rhythm of a run.

    Attributes:
        batch_size: clips per optimizer step.
        accumulate: equal parts that a batch is computed in, one after the other; more parts need
            less memory and learn the same.
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

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        counts = (self.batch_size, self.accumulate, self.validate_every, self.save_every)
        return broken(
            {
                "batch_size, accumulate, validate_every and save_every must be 1 or more": (
                    min(counts) < 1
                ),
                f"accumulate must divide batch_size={self.batch_size}": (
                    self.accumulate > 0 and self.batch_size % self.accumulate != 0
                ),
                "ema must be 0 or more and below 1": not 0 <= self.ema < 1,
                "workers must be 0 or more": self.workers < 0,
            }
        )


@dataclass(frozen=True)
class Recipe(Config):
    """One complete run.

    Attributes:
        name: what the recipe is called.
        seed: start of all random choices.
        model: what is trained.
        data: on what.
        losses: weight of each loss, by its name in :data:`trainers.losses.LOSSES`.
        optimiser: how weights move.
        schedule: how fast, over the run.
        loop: in which rhythm.
    """

    name: str = ""
    seed: int = 0
    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    losses: dict[str, float] = field(default_factory=dict)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        negative = any(weight < 0 for weight in self.losses.values())
        return broken(
            {"losses must name at least one, with a weight above 0": negative or not self.losses}
        )
