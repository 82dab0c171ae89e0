"""Writes names and shapes of the tensors of small networks of msst 0.1.0 (MIT).

    PYTHONPATH=. python tests/golden/msst/make_layouts.py

rewrites ``layouts.txt`` beside this file, on a machine with the package (extra ``peers``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from tests.model_zoo.architectures import msst

LAYOUTS = Path(__file__).parent / "layouts.txt"

SCNET = {
    **{"dims": [4, 8, 12], "num_dplayer": 2, "conv_depths": [2, 1, 1]},
    **{"nfft": 256, "win_size": 256, "hop_size": 64},
}
AUDIO = {"n_fft": 256, "hop_length": 64, "dim_f": 128, "num_channels": 2}
MODEL = {
    **{"act": "gelu", "norm": "InstanceNorm", "num_subbands": 2, "num_scales": 1, "scale": [2, 2]},
    **{"num_blocks_per_scale": 2, "num_channels": 8, "growth": 4, "bottleneck_factor": 2},
}


def networks() -> dict[str, nn.Module]:
    """The networks, by a name for each."""
    return {
        "scnet": msst.scnet(**SCNET),
        "scnet_masked": msst.scnet_masked(**SCNET),
        "mdx23c": msst.mdx23c(AUDIO, MODEL, stems=2),
        "mdx23c_batch": msst.mdx23c(AUDIO, {**MODEL, "norm": "BatchNorm"}, stems=2),
    }


def layout(network: nn.Module) -> list[str]:
    """Name and shape of every tensor of a network."""
    return [f"{key} {'x'.join(map(str, x.shape))}" for key, x in network.state_dict().items()]


def golden(name: str) -> list[str]:
    """Name and shape of every tensor of a network in the golden file."""
    lines = LAYOUTS.read_text("utf-8").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def all_layouts() -> Iterator[str]:
    """Network, name and shape of every tensor, one per line."""
    for name, network in networks().items():
        yield from (f"{name} {line}\n" for line in layout(network))


if __name__ == "__main__":
    LAYOUTS.write_text("".join(all_layouts()), "utf-8")
