"""Writes ONNX files of a small network as torch exports them, with and without folded constants.

    python -m tests.golden.onnx.make_onnx

needs the package onnx (Apache-2.0) and rewrites the files beside this one. Weights are set by
formula (tests/model_zoo/blocks/weights.py), so that a test builds the same network.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from model_zoo.separator import Separator
from tests.model_zoo.importers.published import MDX23C_AUDIO, NETWORKS

FOLDER = Path(__file__).parent
MDX23C = replace(
    NETWORKS["mdx23c"].with_options(
        {"num_scales": 1, "num_blocks": 1, "hidden_channels": 4, "growth": 2, "num_bins": 32},
        {"num_scales": 1, "num_blocks_per_scale": 1, "num_channels": 4, "growth": 2},
    ),
    audio={**MDX23C_AUDIO, "dim_f": 32},
)
"""A network whose weights have few kilobytes."""

BLOCK = "network.encoder_blocks.0.tfc_tdf.blocks.0"


def build() -> Separator:
    """The network, with two equal parameters, of which an exporter keeps one and copies it."""
    network = MDX23C.network().eval()
    state = network.state_dict()
    state[f"{BLOCK}.tfc2.0.weight"].copy_(state[f"{BLOCK}.tdf.0.weight"])
    return network


def export(path: Path, *, folds: bool) -> None:
    """Export the network between its transforms."""
    network = build()
    inputs: list[tuple[Tensor, ...]] = []
    hook = network.core.register_forward_pre_hook(lambda module, values: inputs.append(values))
    network(torch.linspace(-30, 30, 2 * 2048).sin().reshape(1, 2, -1))
    hook.remove()
    with warnings.catch_warnings(action="ignore"):  # that this exporter will be removed one day
        torch.onnx.export(network.core, inputs[0], path, dynamo=False, do_constant_folding=folds)


if __name__ == "__main__":
    export(FOLDER / "mdx23c.onnx", folds=False)
    export(FOLDER / "mdx23c_folded.onnx", folds=True)
