"""Base class that trains, saves and loads a separation model step by step."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from model_zoo import registry, weights
from model_zoo.errors import CheckpointError, NumericalError, UsageError
from model_zoo.files import SUFFIX, staged
from model_zoo.importers.unpickle import check_archive, check_loaded
from model_zoo.parsing import require_bounded, shown
from model_zoo.separator import Separator
from stemcli.engine.device import AUTO, resolve_device, resolve_precision
from trainers.loop.optimizer import NetworkOptimizer
from trainers.loop.state import TrainingProgress, lr_factor
from trainers.separation_model.config import SeparationConfig


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state file atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    with staged(path) as temporary:
        torch.save(state, temporary)


@contextmanager
def reading(path: Path, part: str) -> Iterator[Any]:
    """Load a file of :func:`write_state` for a block that uses it, without running pickled code.

    Args:
        path: path of the file.
        part: argument of ``save`` that writes such files.

    Raises:
        CheckpointError: the file is missing or damaged, or the block raises an error because it
            does not fit.
    """
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        check_loaded(path, dict(_tensors(require_bounded(state))))
    except FileNotFoundError as error:
        advice = f"Check save_dir and the step, or call save(..., {part}=True) first"
        raise CheckpointError(f"{path} does not exist. {advice}") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        CheckpointError,
    ) as error:
        raise CheckpointError(f"{path} is damaged or was not saved by this class") from error
    try:
        yield state
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit this config: {error}") from error


def _tensors(state: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors in nested mappings and lists, with their paths."""
    waiting: list[tuple[str, Any]] = [("state", state)]
    while waiting:
        name, value = waiting.pop()
        if torch.is_tensor(value):
            yield name, value
        elif isinstance(value, Mapping):
            waiting += [(f"{name}.{shown(key)}", inner) for key, inner in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{name}.{place}", inner) for place, inner in enumerate(value)]


def require_fit(optimizer: torch.optim.Optimizer, memory: Mapping[str, Any]) -> None:
    """Refuse an optimizer state of other parameters; torch would accept any shape.

    Raises:
        ValueError: the state does not fit.
    """
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    for index, values in memory["state"].items():
        tensors = [value for value in values.values() if torch.is_tensor(value) and value.ndim]
        if index >= len(parameters) or any(
            value.shape != parameters[index].shape for value in tensors
        ):
            raise ValueError("it is the optimizer state of another network")


class SeparationModel(ABC):
    """A network with its optimizer and training progress.

    Subclasses define the data, the forward pass and the loss.

    Args:
        config: sections of :class:`~trainers.separation_model.config.SeparationConfig`, as
            :func:`~trainers.separation_model.config.load_config` reads them.
        device: device of the network.

    Attributes:
        config: the validated configuration.
        separator: the network, from waveforms to waveforms.
        network_optimizer: the network with its optimizer.
        progress: results of the validations so far.
        is_best_model: whether the last validation was the best.
        val_losses: losses in evaluation mode since the last scheduler step.
        can_learn: whether the last estimate has a gradient: it was computed in training mode, and
            neither :meth:`backward` nor :meth:`optimizer_step` has been called since.

    Raises:
        ConfigError: the config has errors; all of them are reported.
        DeviceError: there is no such device.
        CheckpointError: files of ``training_params.global_step`` are missing or damaged.
    """

    _loss: Tensor | None

    def __init__(self, config: Mapping[str, Any], *, device: str = AUTO) -> None:
        self.config = SeparationConfig.from_dict(config)
        training, self.device = self.config.training_params, resolve_device(device)
        self.separator: Separator = registry.build(self.config.architecture, self.config.options)
        self.separator.to(self.device).train(training.training_mode)
        half = training.use_mixed_precision
        self.precision = resolve_precision("fp16" if half else "fp32", self.device)
        self.network_optimizer = NetworkOptimizer(
            "network",
            self.separator,
            training.optimizer,
            half=half,
            scale=training.mixed_precision_scale,
        )
        self.schedule, self.progress = training.schedule, TrainingProgress()
        self.is_best_model, self.val_losses = False, list[float]()
        self.can_learn, self._loss = False, None
        if training.global_step >= 0:
            self._resume(training.global_step)

    @abstractmethod
    def set_data(self, *data: Tensor) -> None:
        """Set a mixture, and optionally its target."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Estimate the target of the current mixture, and set :attr:`can_learn`."""

    @abstractmethod
    def separate(self, audio: Tensor) -> Tensor:
        """Return the target's waveform in a mixture of any length."""

    @abstractmethod
    def loss(self) -> Tensor:
        """Return the loss of the last estimate."""

    def compute_loss(self) -> float:
        """Compute the loss of the last estimate, averaged over the batch.

        In training mode :meth:`backward` can follow; in evaluation mode the loss counts as a
        validation for :meth:`scheduler_step`.

        Raises:
            UsageError: in training mode, if the estimate has no gradient.
        """
        loss = self.loss()
        if self.separator.training and not self.can_learn:
            raise UsageError("The last estimate has no gradient: call train(), then forward()")
        self._loss = loss if self.separator.training else None
        if not self.separator.training:
            self.val_losses.append(loss.item())
        return loss.item()

    def backward(self) -> None:
        """Accumulate the gradient of the last loss.

        Raises:
            UsageError: there is no loss.
        """
        if self._loss is None:
            raise UsageError("There is no loss to differentiate: call train() and compute_loss()")
        self.network_optimizer.backward(self._loss)
        self._use_up()

    def optimizer_step(self) -> None:
        """Update the weights with the accumulated gradients, and reset the gradients.

        Raises:
            NumericalError: a gradient is not finite; the weights did not change.
        """
        try:
            self.network_optimizer.step()
        except NumericalError as error:
            rate = self.config.training_params.lr
            raise NumericalError(f"{error}: use a training_params.lr below {rate:g}") from error
        finally:
            self.network_optimizer.zero_grad()
            self._use_up()
        self.progress.step += 1

    def scheduler_step(self) -> bool:
        """Update the schedule with the mean validation loss since the last call.

        The learning rate falls to a tenth after ``stop_patience`` calls in a row without a gain.

        Returns:
            Whether to stop: the rate has fallen ``max_lr_steps`` times.

        Raises:
            UsageError: there was no validation.
            NumericalError: the mean is not finite; the losses are discarded.
        """
        if not self.val_losses:
            raise UsageError("There is no validation loss: call test() and compute_loss() before")
        mean = fmean(self.val_losses)
        self.val_losses.clear()
        if not isfinite(mean):
            raise NumericalError(f"The mean validation loss is {mean}: load earlier weights")
        self.is_best_model = self.progress.update(-mean, self.schedule)
        self._set_rate()
        return self.progress.is_stuck(self.schedule)

    def train(self) -> None:
        """Set the network to training mode."""
        self.separator.train()

    def eval(self) -> None:
        """Set the network to evaluation mode."""
        self.separator.eval()

    def test(self) -> Tensor:
        """Run :meth:`forward` in evaluation mode, which stays on, without gradients."""
        self.eval()
        with torch.no_grad():
            return self.forward()

    def save(
        self,
        global_step: int,
        model: bool = True,
        optim: bool = True,
        scheduler: bool = True,
        grad_scaler: bool = True,
    ) -> None:
        """Save the selected parts under a step or epoch.

        Raises:
            OutputError: a file cannot be written.
        """
        parts = {
            self.save_model: model,
            self.save_optim: optim,
            self.save_scheduler: scheduler,
            self.save_grad_scaler: grad_scaler,
        }
        for save_part, is_selected in parts.items():
            if is_selected:
                save_part(global_step)

    def save_model(self, global_step: int) -> None:
        """Save the weights as a safetensors file, which ``stem separate --model`` accepts."""
        weights.save(self._file("", global_step, SUFFIX), self.separator)

    def load_model(self, global_step: int) -> None:
        """Load weights.

        Raises:
            CheckpointError: there is no such file, it is damaged, or belongs to another network.
        """
        path = self._file("", global_step, SUFFIX)
        tensors = weights.read(path).tensors
        weights.load_tensors(self.separator, tensors, origin=str(path))

    def save_optim(self, global_step: int) -> None:
        """Save the state of the optimizer."""
        states = [optimizer.state_dict() for optimizer in self.network_optimizer.optimizers]
        write_state(self._file("optimizer_", global_step), {"optimizers": states})

    def load_optim(self, global_step: int) -> None:
        """Load the state of the optimizer.

        Raises:
            CheckpointError: there is no such file, it is damaged, or belongs to another network.
        """
        with reading(self._file("optimizer_", global_step), "optim") as state:
            for optimizer, memory in zip(
                self.network_optimizer.optimizers, state["optimizers"], strict=True
            ):
                require_fit(optimizer, memory)
                optimizer.load_state_dict(memory)

    def save_scheduler(self, global_step: int) -> None:
        """Save the results of the validations."""
        state = {"progress": asdict(self.progress), "val_losses": [*self.val_losses]}
        write_state(self._file("scheduler_", global_step), state)

    def load_scheduler(self, global_step: int) -> None:
        """Load the results of validations, and set the learning rate accordingly.

        Raises:
            CheckpointError: there is no such file, or it is damaged.
        """
        with reading(self._file("scheduler_", global_step), "scheduler") as state:
            self.progress, self.val_losses = (
                TrainingProgress(**state["progress"]),
                state["val_losses"],
            )
            self._set_rate()

    def save_grad_scaler(self, global_step: int) -> None:
        """Save the gradient scaler, which is empty without mixed precision."""
        write_state(
            self._file("autocast_", global_step), self.network_optimizer.scaler.state_dict()
        )

    def load_grad_scaler(self, global_step: int) -> None:
        """Load the gradient scaler, if mixed precision is used now and was used before.

        Raises:
            CheckpointError: there is no such file, or it is damaged.
        """
        with reading(self._file("autocast_", global_step), "grad_scaler") as state:
            if state:
                self.network_optimizer.scaler.load_state_dict(state)

    def _file(self, part: str, global_step: int, ending: str = ".pth") -> Path:
        params = self.config.model_params
        name = f"{params.model_name}_{part}{global_step}{ending}"
        return Path(params.save_dir) / "checkpoint" / name

    def _resume(self, global_step: int) -> None:
        self.load_model(global_step)
        if self.config.training_params.training_mode:
            self.load_optim(global_step)
            self.load_scheduler(global_step)
            if self.config.training_params.use_mixed_precision:
                self.load_grad_scaler(global_step)

    def _use_up(self) -> None:
        """Mark the last estimate as having no gradient."""
        self.can_learn, self._loss = False, None

    def _set_rate(self) -> None:
        progress = self.progress
        self.network_optimizer.set_lr_factor(
            lr_factor(progress.step, self.schedule, progress.lr_reductions)
        )
