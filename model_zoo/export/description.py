"""The JSON file beside an exported core, with what another program needs to use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_type_hints

from torch import Tensor

from model_zoo.blocks.spectral import Fourier
from model_zoo.export.core import CoreExamples
from model_zoo.registry import name_of
from model_zoo.separator import Separator

VERSION = 1
"""Of the layout of this file."""


def description(
    separator: Separator, examples: CoreExamples, files: Sequence[str], precision: str, error: float
) -> str:
    """The JSON text.

    Args:
        separator: the network.
        examples: of its core.
        files: names of the files that belong together.
        precision: of the exported weights.
        error: largest relative error of the exported core.
    """
    fourier = next(each for each in separator.modules() if isinstance(each, Fourier))
    content = {
        "version": VERSION,
        "files": files,
        "architecture": name_of(separator),
        "options": separator.config.to_dict(),
        "precision": precision,
        "largest_relative_error": error,
        "sample_rate": separator.sample_rate,
        "channels": separator.channels,
        "stems": separator.stems,
        "segment_samples": separator.segment,
        "transform": fourier.conventions(),
        "inputs": _described(examples.input_names, examples, "inputs"),
        "outputs": _described(examples.output_names, examples, "outputs"),
        **separator.core_texts(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _described(names: Sequence[str], examples: CoreExamples, side: str) -> list[dict[str, Any]]:
    """Name, axes and shape of tensors; dynamic sizes are null."""
    core = examples.core
    hints = list(get_type_hints(type(core).forward).items())
    shorter: Sequence[Tensor] = getattr(examples.segment, side)
    longer: Sequence[Tensor] = getattr(examples.longer, side)
    described = []
    for number, (name, one, other) in enumerate(zip(names, shorter, longer, strict=True)):
        hint: Any = hints[number][1] if side == "inputs" else hints[-1][1]
        if side == "outputs" and len(shorter) > 1:
            hint = hint.__args__[number]
        shape = [a if a == b else None for a, b in zip(one.shape, other.shape, strict=True)]
        described.append(
            {"name": name, "axes": getattr(hint, "dim_str", ""), "shape": shape, "type": "float32"}
        )
    return described
