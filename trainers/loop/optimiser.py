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
    """The optimisers that together move every parameter once."""
    adam = {"betas": (0.9, 0.99), "weight_decay": recipe.weight_decay}
    if recipe.name == "adamw":
        return [torch.optim.AdamW(model.parameters(), recipe.lr, **adam)]  # type: ignore[arg-type]
    matrices = [value for value in model.parameters() if value.ndim == 2]
    others = [value for value in model.parameters() if value.ndim != 2]
    muon = torch.optim.Muon(
        matrices,
        recipe.muon_lr,
        weight_decay=recipe.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, torch.optim.AdamW(others, recipe.lr, **adam)]  # type: ignore[arg-type]
