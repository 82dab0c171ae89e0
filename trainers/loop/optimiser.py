"""Optimisers by name.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises the momentum of
matrices; its steps are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982). Norms,
biases and the band layers, which are no plain matrices, stay with AdamW.
"""

from __future__ import annotations

import torch
from torch import nn

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
