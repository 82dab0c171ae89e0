"""How weights move, how fast, and in which rhythm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from model_zoo.config import Config, broken


@dataclass(frozen=True)
class OptimizerRecipe(Config):
    """How weights move.

    Attributes:
        name: ``"adamw"``, or ``"muon"`` for the matrices inside blocks with AdamW for the rest.
        lr: AdamW's learning rate.
        muon_lr: Muon's learning rate, scaled to match AdamW's step size.
        betas: decay of AdamW's averages of the gradient and of its square, per step.
        weight_decay: of both.
        max_grad_norm: largest norm of the gradient.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 3e-3
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "lr and muon_lr must be above 0": min(self.lr, self.muon_lr) <= 0,
                "betas must be two numbers of 0 or more and below 1": (
                    len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas)
                ),
                "weight_decay must be 0 or more": self.weight_decay < 0,
                "max_grad_norm must be above 0": self.max_grad_norm <= 0,
            }
        )


@dataclass(frozen=True)
class StageRecipe(Config):
    """Clips of the first part of a run.

    Attributes:
        until: share of all steps after which the next stage begins.
        seconds: length of a clip, in s.
        lowpass_hz: frequency above which all sound is removed, in Hz; 0 removes nothing.
    """

    until: float = 1.0
    seconds: float = 3.0
    lowpass_hz: float = 0.0

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "until must be a share above 0 and up to 1": not 0 < self.until <= 1,
                "seconds must be above 0": self.seconds <= 0,
                "lowpass_hz must be 0 or more": self.lowpass_hz < 0,
            }
        )


@dataclass(frozen=True)
class ScheduleRecipe(Config):
    """Learning rate, clip length and bandwidth over the steps.

    Attributes:
        steps: optimizer steps in all.
        warmup: steps in which the rate rises linearly to its full height.
        shape: what follows: ``constant``; ``linear``, a fall to ``min_lr_ratio`` over the last
            ``decay`` of the steps; ``cosine``, half a wave down to ``min_lr_ratio``; ``plateau``,
            times ``factor`` whenever ``patience`` validations in a row brought no gain.
        decay: share of all steps that the linear fall takes, at the end.
        min_lr_ratio: share of the full rate that is never gone below.
        factor: of one fall of ``plateau``.
        patience: validations of ``plateau``.
        early_stopping_patience: validations in a row without a gain that end the run; 0 never ends
            it.
        max_reductions: falls of ``plateau`` that end the run; 0 never ends it.
        min_delta: decibels by which the mean score must rise for ``patience`` and
            ``early_stopping_patience``.
        stages: progressive training: shorter and duller clips first; after the last of them, or
            without any, clips are as ``data`` says.
    """

    steps: int = 1000
    warmup: int = 50
    shape: Literal["constant", "linear", "cosine", "plateau"] = "linear"
    decay: float = 0.3
    min_lr_ratio: float = 0.0
    factor: float = 0.5
    patience: int = 3
    early_stopping_patience: int = 0
    max_reductions: int = 0
    min_delta: float = 0.01
    stages: tuple[StageRecipe, ...] = ()

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "steps must be 1 or more": self.steps < 1,
                "warmup must be 0 or more": self.warmup < 0,
                "decay must be a share between 0 and 1": not 0 <= self.decay <= 1,
                "min_lr_ratio must be a share of 0 or more and below 1": not 0
                <= self.min_lr_ratio
                < 1,
                "factor must be above 0 and below 1": not 0 < self.factor < 1,
                "patience must be 1 or more": self.patience < 1,
                "early_stopping_patience must be 0 or more": self.early_stopping_patience < 0,
                "max_reductions must be 0 or more": self.max_reductions < 0,
                "max_reductions needs shape=plateau": self.max_reductions > 0
                and self.shape != "plateau",
                "min_delta must be 0 dB or more": self.min_delta < 0,
                "stages must end one after the other": any(
                    one.until >= next_one.until for one, next_one in pairwise(self.stages)
                ),
            }
        )


@dataclass(frozen=True)
class ValidationRecipe(Config):
    """What the averaged weights are judged by.

    Attributes:
        every: steps between two validations.
        songs: songs that are used at most; 0 uses all.
        seconds: of each song that are used at most, from its middle; 0 uses all.
    """

    every: int = 200
    songs: int = 20
    seconds: float = 60.0

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "every must be 1 or more": self.every < 1,
                "songs must be 0 or more": self.songs < 0,
                "seconds must be 0 or more": self.seconds < 0,
            }
        )


@dataclass(frozen=True)
class LogRecipe(Config):
    """What is written down for TensorBoard, and for Weights & Biases when a project is named.

    Attributes:
        every: steps between two entries of losses, rates and gradient norms.
        songs: validation songs of which sound, spectrograms and attention are kept.
        seconds: of each.
        wandb: project of Weights & Biases; none, no entries there.
    """

    every: int = 10
    songs: int = 2
    seconds: float = 8.0
    wandb: str = ""

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "every must be 1 or more": self.every < 1,
                "songs must be 0 or more": self.songs < 0,
                "seconds must be above 0": self.seconds <= 0,
            }
        )


@dataclass(frozen=True)
class LoopRecipe(Config):
    """The rhythm of a run.

    Attributes:
        batch_size: clips per optimizer step, on each worker.
        accumulation_steps: equal parts that a batch is computed in, one after the other; more parts
            need less memory and learn the same.
        precision: of matrix products and convolutions; ``auto`` takes bf16 where the processor
            computes it natively. Weights and losses stay in float32.
        ema_decay: decay of the averaged weights that validation and export use.
        checkpoint_every: steps between two checkpoints.
        activation_checkpointing: keep only the inputs of the network's blocks and compute the rest
            again for the
            gradient: a third slower, far less memory.
        compile: compile the network's blocks (torch.compile); slow start, then faster.
        num_workers: processes that prepare data; no more start than there are cores.
    """

    batch_size: int = 4
    accumulation_steps: int = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    ema_decay: float = 0.999
    checkpoint_every: int = 100
    activation_checkpointing: bool = False
    compile: bool = False
    num_workers: int = 1

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        counts = (self.batch_size, self.accumulation_steps, self.checkpoint_every)
        return broken(
            {
                "batch_size, accumulation_steps and checkpoint_every must be 1 or more": min(counts)
                < 1,
                f"accumulate must divide batch_size={self.batch_size}": (
                    self.accumulation_steps > 0 and self.batch_size % self.accumulation_steps != 0
                ),
                "ema_decay must be 0 or more and below 1": not 0 <= self.ema_decay < 1,
                "num_workers must be 0 or more": self.num_workers < 0,
                "compile and recompute exclude each other": self.compile
                and self.activation_checkpointing,
            }
        )
