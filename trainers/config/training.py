"""Recipe sections for optimizer, schedule, validation, logging and training loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from model_zoo.config import Config, broken


@dataclass(frozen=True)
class OptimizerRecipe(Config):
    """Optimizer settings.

    Attributes:
        name: ``"adamw"``, or ``"muon"`` for matrices inside blocks and AdamW for the rest.
        lr: AdamW's learning rate.
        muon_lr: Muon's learning rate, scaled to match AdamW's step size.
        betas: decay rates of AdamW's first and second moments, per step.
        weight_decay: weight decay of both.
        max_grad_norm: gradient norm above which gradients are clipped.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "clip": "max_grad_norm",
    }

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 3e-3
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return broken(
            {
                "lr and muon_lr must be above 0": min(self.lr, self.muon_lr) <= 0,
                "betas must be two numbers from 0 to below 1": (
                    len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas)
                ),
                "weight_decay must be 0 or more": self.weight_decay < 0,
                "max_grad_norm must be above 0": self.max_grad_norm <= 0,
            }
        )


@dataclass(frozen=True)
class StageRecipe(Config):
    """Settings of the clips in one part of a run.

    Attributes:
        until: share of all steps at which the stage ends.
        seconds: length of a clip, in s.
        lowpass_hz: cut-off frequency of a low-pass filter in Hz; 0 for no filter.
    """

    former_names: ClassVar[Mapping[str, str]] = {"highest_hz": "lowpass_hz"}

    until: float = 1.0
    seconds: float = 3.0
    lowpass_hz: float = 0.0

    def mistakes(self) -> list[str]:
        """List invalid values."""
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
        steps: number of optimizer steps.
        warmup: steps over which the learning rate rises linearly.
        shape: what follows: ``constant``; ``linear`` decay to ``min_lr_ratio`` over the last
            ``decay`` of the steps; ``cosine`` decay to ``min_lr_ratio``; ``plateau``, times
            ``factor`` after ``patience`` validations in a row without a gain.
        decay: share of all steps that the linear decay takes, at the end.
        min_lr_ratio: lowest learning rate, as a share of the full one.
        factor: factor of a reduction by ``plateau``.
        patience: validations without a gain before ``plateau`` reduces the rate.
        early_stopping_patience: validations in a row without a gain that end the run; 0 to disable.
        max_reductions: reductions by ``plateau`` that end the run; 0 to disable.
        min_delta: smallest gain of the mean score that counts as one, in dB.
        stages: progressive training, with shorter or low-passed clips first; the clips after the
            last stage are as ``data`` says.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "floor": "min_lr_ratio",
        "gain": "min_delta",
        "max_falls": "max_reductions",
        "stop_after": "early_stopping_patience",
    }

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
        """List invalid values."""
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
                "stages must be in ascending order of until": any(
                    one.until >= next_one.until for one, next_one in pairwise(self.stages)
                ),
            }
        )


@dataclass(frozen=True)
class ValidationRecipe(Config):
    """Validation of the averaged weights.

    Attributes:
        every: steps between two validations.
        songs: maximum number of songs; 0 for all.
        seconds: maximum duration of each song, taken from its middle; 0 for all.
    """

    every: int = 200
    songs: int = 20
    seconds: float = 60.0

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return broken(
            {
                "every must be 1 or more": self.every < 1,
                "songs must be 0 or more": self.songs < 0,
                "seconds must be 0 or more": self.seconds < 0,
            }
        )


@dataclass(frozen=True)
class LogRecipe(Config):
    """Logging to TensorBoard and, if a project is given, to Weights & Biases.

    Attributes:
        every: steps between two entries of losses, rates and gradient norms.
        songs: validation songs whose audio, spectrograms and attention are logged.
        seconds: duration of each.
        wandb: project on Weights & Biases; empty to disable.
    """

    every: int = 10
    songs: int = 2
    seconds: float = 8.0
    wandb: str = ""

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return broken(
            {
                "every must be 1 or more": self.every < 1,
                "songs must be 0 or more": self.songs < 0,
                "seconds must be above 0": self.seconds <= 0,
            }
        )


@dataclass(frozen=True)
class LoopRecipe(Config):
    """Settings of the training loop.

    Attributes:
        batch_size: clips per optimizer step, on each worker.
        accumulation_steps: equal parts that a batch is computed in, one after the other; more parts
            need less memory and give the same result.
        precision: precision of matrix products and convolutions; ``auto`` uses bf16 if the
            processor supports it natively. Weights and losses stay in float32.
        ema_decay: decay of the averaged weights that validation and export use.
        checkpoint_every: steps between two checkpoints.
        activation_checkpointing: keep only the inputs of the network's blocks and recompute the
            rest for the gradient: a third slower, far less memory.
        compile: compile the network's blocks (torch.compile): slower start, then faster.
        num_workers: processes that load data; at most one per core is started.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "accumulate": "accumulation_steps",
        "ema": "ema_decay",
        "recompute": "activation_checkpointing",
        "save_every": "checkpoint_every",
        "workers": "num_workers",
    }

    batch_size: int = 4
    accumulation_steps: int = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    ema_decay: float = 0.999
    checkpoint_every: int = 100
    activation_checkpointing: bool = False
    compile: bool = False
    num_workers: int = 1

    def mistakes(self) -> list[str]:
        """List invalid values."""
        counts = (self.batch_size, self.accumulation_steps, self.checkpoint_every)
        return broken(
            {
                "batch_size, accumulation_steps and checkpoint_every must be 1 or more": min(counts)
                < 1,
                f"accumulation_steps must divide batch_size={self.batch_size}": (
                    self.accumulation_steps > 0 and self.batch_size % self.accumulation_steps != 0
                ),
                "ema_decay must be 0 or more and below 1": not 0 <= self.ema_decay < 1,
                "num_workers must be 0 or more": self.num_workers < 0,
                "compile and activation_checkpointing exclude each other": self.compile
                and self.activation_checkpointing,
            }
        )
