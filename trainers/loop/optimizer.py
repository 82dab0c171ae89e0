"""A network with its optimizers: AdamW and Muon.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalizes the momentum of
matrices; its steps are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982). Norms,
biases and band layers, which are not plain matrices, stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.errors import NumericalError
from model_zoo.ops.tensors import full_tensor
from trainers.config import OptimizerRecipe


def build_optimizers(model: nn.Module, recipe: OptimizerRecipe) -> list[torch.optim.Optimizer]:
    """Build the optimizers that together update every parameter once.

    A network without matrices, e.g. of convolutions only, leaves Muon without parameters.
    """
    parameters = list(model.parameters())
    if recipe.name == "adamw":
        return [_adamw(parameters, recipe)]
    matrices = [value for value in parameters if value.ndim == 2]
    others = [value for value in parameters if value.ndim != 2]
    if not matrices:
        return [_adamw(parameters, recipe)]
    muon = torch.optim.Muon(
        matrices,
        recipe.muon_lr,
        weight_decay=recipe.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, _adamw(others, recipe)]


def _adamw(parameters: list[nn.Parameter], recipe: OptimizerRecipe) -> torch.optim.AdamW:
    first, second = recipe.betas
    return torch.optim.AdamW(
        parameters, recipe.lr, betas=(first, second), weight_decay=recipe.weight_decay
    )


SMALLEST_SCALE = 2.0**-10
"""Gradient scale in float16 below which overflow means divergence, not a scale too high."""


class NetworkOptimizer:
    """A network with its optimizers: zero_grad, backward, clipping and step.

    Args:
        name: name of the network in messages.
        network: the network.
        recipe: optimizer, learning rates and clipping.
        half: scale gradients for float16 (Micikevicius et al. 2018, arXiv 1710.03740).
        scale: initial scale.
        view: module with the same tensors whose forward pass is trained; None: the network.

    Attributes:
        network: the network, as checkpoints and copies see it.
        module: module that runs in training: the network, a view of it, or its DDP wrapper.
        optimizers: torch optimizers that together update every parameter once.
        scaler: gradient scaler; disabled unless ``half``.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        recipe: OptimizerRecipe,
        *,
        half: bool = False,
        scale: float = 2.0**16,
        view: nn.Module | None = None,
    ) -> None:
        self.name, self.network, self.recipe = name, network, recipe
        self.module = network if view is None else view
        self.optimizers = build_optimizers(network, recipe)
        self.base_lrs = [group["lr"] for group in self._groups()]
        device = next(network.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, init_scale=scale, enabled=half)

    @property
    def lr(self) -> float:
        """Learning rate of the next step: AdamW's, which is the last optimizer."""
        return self.optimizers[-1].param_groups[0]["lr"]

    def set_lr_factor(self, factor: float) -> None:
        """Set every learning rate to ``factor`` times its full value."""
        for group, rate in zip(self._groups(), self.base_lrs, strict=True):
            group["lr"] = rate * factor

    def zero_grad(self) -> None:
        """Reset all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of ``loss``, scaled in float16."""
        torch.autograd.backward(self.scaler.scale(loss))

    def step(self) -> float:
        """Clip the gradients and update the weights; returns the gradient norm before clipping.

        In float16 a step whose gradients overflow is skipped and the scale is reduced.

        Raises:
            NumericalError: the gradients are not finite; the weights are unchanged.
        """
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = full_tensor(
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.max_grad_norm)
        )
        if norm.isfinite():
            for optimizer in self.optimizers:
                self.scaler.step(optimizer)
        elif not self.scaler.is_enabled() or self.scaler.get_scale() < SMALLEST_SCALE:
            raise NumericalError(f"The gradient of the {self.name} is not finite")
        self.scaler.update()
        return norm.item()

    @contextmanager
    def frozen(self) -> Iterator[nn.Module]:
        """Hold the network in evaluation mode, without gradients for its weights."""
        self.network.requires_grad_(False).eval()
        try:
            yield self.network
        finally:
            self.network.requires_grad_(True).train()

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]
