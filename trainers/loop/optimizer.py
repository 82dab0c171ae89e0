"""A network with its optimizers: AdamW and Muon.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises the momentum of
matrices; its steps are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982). Norms,
biases and the band layers, which are no plain matrices, stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.errors import NumericalError
from model_zoo.ops.tensors import whole
from trainers.config import OptimizerRecipe


def build_optimizers(model: nn.Module, recipe: OptimizerRecipe) -> list[torch.optim.Optimizer]:
    """The optimizers that together move every parameter once.

    A network without matrices, as one of convolutions, leaves Muon nothing to move.
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
"""Scale of gradients in float16 below which their overflow is no accident of the start."""


class NetworkOptimizer:
    """The network that is trained, or its adversary.

    Args:
        name: what it is called in messages and logs.
        network: what learns.
        recipe: how its weights move.
        half: its gradients come from float16 and have to be scaled (Micikevicius et al. 2018,
            arXiv 1710.03740).
        scale: by how much at first.
        view: a module with the same tensors that gradients go through; none is the network.

    Attributes:
        network: what learns, as checkpoints and copies see it.
        module: the same or a view of it, as gradients have to be computed; it may average them
            over workers.
        optimizers: that together move every parameter once.
        scaler: of gradients; does nothing unless ``half``.
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
        """Of the last optimizer, which is AdamW, in the next step."""
        return self.optimizers[-1].param_groups[0]["lr"]

    def set_lr_factor(self, factor: float) -> None:
        """Bring every learning rate to ``factor`` times its full height."""
        for group, rate in zip(self._groups(), self.base_lrs, strict=True):
            group["lr"] = rate * factor

    def zero_grad(self) -> None:
        """Begin a step."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss``."""
        torch.autograd.backward(self.scaler.scale(loss))

    def step(self) -> float:
        """Clip the gradient and take the step; returns the gradient's norm before that.

        In float16 a gradient that overflows moves nothing, and the next are scaled less.

        Raises:
            NumericalError: the gradient is not finite; nothing was moved.
        """
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = whole(
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
        """The network as a judge that does not change: no gradients, no training mode."""
        self.network.requires_grad_(False).eval()
        try:
            yield self.network
        finally:
            self.network.requires_grad_(True).train()

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]
