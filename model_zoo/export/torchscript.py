"""Cores as TorchScript files, traced at the length of a segment.

https://docs.pytorch.org/docs/stable/generated/torch.jit.trace.html
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from model_zoo.export.core import CoreExamples, Tensors, as_tuple, checked_error


def export_torchscript(examples: CoreExamples, path: Path, tolerance: float) -> float:
    """Write a core as a TorchScript file for mixtures of one segment; returns its relative error.

    Raises:
        ExportError: the traced network gives other results.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing fixes sizes, which is what is wanted
        jit: Any = torch.jit  # has no types
        traced = jit.trace(examples.core, examples.segment.inputs, check_trace=False)
        jit.save(jit.freeze(traced), path)
        loaded = jit.load(path)

    def run(inputs: Tensors) -> Tensors:
        with torch.no_grad():
            return as_tuple(loaded(*inputs))

    return checked_error(run, (examples.segment,), tolerance)
