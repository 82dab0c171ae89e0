"""A tiny separation model, and a loop around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.model_zoo.blocks.weights import pattern
from trainers.separation_model import SpectrogramMaskModel

Sections = dict[str, dict[str, Any]]


def sections(folder: Path, **training: Any) -> Sections:
    """A U of two levels for 33 frequencies and 13 frames."""
    return {
        "model_params": {
            **{"model_type": "SpectrogramNetSimple", "model_name": "tiny"},
            **{"save_dir": str(folder), "hidden_channels": 4, "num_levels": 2, "dropout_p": 0.0},
        },
        "dataset_params": {
            **{"sample_length": 0.1, "sample_rate": 2000, "num_fft": 64, "window_size": 64},
            **{"hop_length": 16, "targets": ["vocals"]},
        },
        "training_params": {"lr": 0.01, **training},
    }


def model(folder: Path, **training: Any) -> SpectrogramMaskModel:
    torch.manual_seed(0)
    return SpectrogramMaskModel(sections(folder, **training), device="cpu")


def voice(length: int = 200) -> Tensor:
    return torch.sin(0.3 * torch.arange(length))[None, None]


def song(number: int = 0, length: int = 200) -> Tensor:
    return voice(length) + pattern(1, 1, length, phase=number)


def learn(one: SpectrogramMaskModel, *numbers: int) -> list[float]:
    """Losses of one step each."""
    losses = []
    for number in numbers:
        one.train()
        one.set_data(song(number), voice())
        one.forward()
        losses.append(one.compute_loss())
        one.backward()
        one.optimizer_step()
    return losses


def validate(one: SpectrogramMaskModel) -> float:
    one.set_data(song(99), voice())
    one.test()
    return one.compute_loss()


def open_masks(one: SpectrogramMaskModel) -> SpectrogramMaskModel:
    """Let everything through."""
    with torch.no_grad():
        one.separator.network.soft_conv.weight.zero_()
        one.separator.network.soft_conv.bias.fill_(20.0)
    return one
