"""Small frame transformers for tests of objectives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.trainers.commands import RATE
from trainers.config import Recipe

SIZE = {
    **{"in_channels": 2, "channels": 2, "multipliers": [1, 2], "num_heads": [2], "expansion": 2},
    **{"window_size": 128, "hop_size": 64, "sample_rate": RATE, "segment": RATE},
}
LOSSES = {
    "separation": {"waveform_l1": 1.0},
    "denoising": {"noise_l1": 1.0},
    "phase": {"phase_cosine": 1.0, "phase_l1": 0.5},
    "codes": {"waveform_l1": 1.0, "codebook": 1.0, "commitment": 1.0},
}
NETWORKS = {
    "separation": "frame_transformer",
    "denoising": "frame_transformer",
    "phase": "phase_predictor",
    "codes": "vq_frame_transformer",
}


def with_objective(recipe: Recipe, objective: str, **options: Any) -> Recipe:
    """The recipe with a small network for this objective, trained with AdamW."""
    values = recipe.to_dict()
    sized = SIZE | ({"num_embeddings": 16} if objective == "codes" else {})
    stems = {"stems": ["vocals"]} if NETWORKS[objective] == "frame_transformer" else {}
    values["model"] = {
        "architecture": NETWORKS[objective],
        "options": {**sized, **stems, **options},
        "residual": "",
    }
    values["objective"] = {"name": objective}
    values["losses"] = LOSSES[objective]
    values["optimizer"] |= {"name": "adamw", "lr": 1e-3}
    return Recipe.from_dict(values)


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    return replace(recipe, schedule=replace(recipe.schedule, steps=steps))
