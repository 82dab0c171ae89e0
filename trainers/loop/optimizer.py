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
from trainers.config import OptimiserRecipe


def build_optimisers(model: nn.Module, recipe: OptimiserRecipe) -> list[torch.optim.Optimizer]:
    """The optimisers that together move every parameter once.

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


def _adamw(parameters: list[nn.Parameter], recipe: OptimiserRecipe) -> torch.optim.AdamW:
    first, second = recipe.betas
    return torch.optim.AdamW(
        parameters, recipe.lr, betas=(first, second), weight_decay=recipe.weight_decay
    )


SMALLEST_SCALE = 2.0**-10
"""Scale of gradients in float16 below which their overflow is no accident of the start."""


class Learner:
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
        wrapped: the same or a view of it, as gradients have to be computed; it may average them
            over workers.
        optimisers: that together move every parameter once.
        scaler: of gradients; does nothing unless ``half``.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        recipe: OptimiserRecipe,
        *,
        half: bool = False,
        scale: float = 2.0**16,
        view: nn.Module | None = None,
    ) -> None:
        self.name, self.network, self.recipe = name, network, recipe
        self.wrapped = network if view is None else view
        self.optimisers = build_optimisers(network, recipe)
        self.base_rates = [group["lr"] for group in self._groups()]
        device = next(network.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, init_scale=scale, enabled=half)

    @property
    def learning_rate(self) -> float:
        """Of the last optimiser, which is AdamW, in the next step."""
        return self.optimisers[-1].param_groups[0]["lr"]

    def set_rates(self, factor: float) -> None:
        """Bring every learning rate to ``factor`` times its full height."""
        for group, rate in zip(self._groups(), self.base_rates, strict=True):
            group["lr"] = rate * factor

    def forget_gradients(self) -> None:
        """Begin a step."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)

    def add_gradient(self, loss: Tensor) -> None:
        """Add the gradient of ``loss``."""
        torch.autograd.backward(self.scaler.scale(loss))

    def move(self) -> float:
        """Clip the gradient and take the step; returns the gradient's norm before that.

        In float16 a gradient that overflows moves nothing, and the next are scaled less.

        Raises:
            NumericalError: the gradient is not finite; nothing was moved.
        """
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        norm = whole(torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip))
        if norm.isfinite():
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
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
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]
