"""Writes names and shapes of the tensors of Open-Unmix's published networks, one per target.

    python -m tests.golden.open_unmix.make_layouts

needs openunmix 1.3.0 (MIT) and rewrites ``layouts.json`` beside this file. The sizes are those of
``openunmix.umxhq_spec``, ``umxl_spec`` and ``umxse_spec``; ``umx`` has the size of ``umxhq``.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from model_zoo.ops import torchaudio_functions

LAYOUTS = Path(__file__).parent / "layouts.json"
SIZES: dict[str, dict[str, Any]] = {
    "umxhq": {"nb_bins": 2049, "nb_channels": 2, "hidden_size": 512, "max_bin": 1487},
    "umxl": {"nb_bins": 2049, "nb_channels": 2, "hidden_size": 1024, "max_bin": 1487},
    "umxse": {"nb_bins": 513, "nb_channels": 1, "hidden_size": 256, "max_bin": 513},
}


def layout(**size: Any) -> dict[str, list[int]]:
    """Shape of each tensor of one target, in order."""
    assert torchaudio_functions.functional, "imported first, so that openunmix can be imported"
    with torch.device("meta"):
        network = import_module("openunmix.model").OpenUnmix(**size)
    return {name: [*tensor.shape] for name, tensor in network.state_dict().items()}


def main() -> None:
    """Write the file."""
    lines = (f'"{name}": {json.dumps(layout(**size))}' for name, size in SIZES.items())
    LAYOUTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
