"""Cores as ONNX files.

https://onnx.ai/onnx/ and, for the capture, https://docs.pytorch.org/docs/stable/onnx.html
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model_zoo.errors import ExportError
from model_zoo.export.core import CoreExamples, Tensors, replaced_forwards, verified
from model_zoo.export.extras import installed
from model_zoo.export.lstm import run_as_one_node, to_onnx

OPSET = 20

FEWEST_STEPS = 2
"""Smallest size of a dynamic axis; torch treats 1 as a size of its own."""


def export_onnx(examples: CoreExamples, path: Path, precision: str, most: float) -> float:
    """Write a core as an ONNX file with dynamic time; returns its relative error in ONNX Runtime.

    Args:
        examples: of the core.
        path: of the file.
        precision: of weights and computation, ``fp32`` or ``fp16``; inputs and outputs are float32.
        most: largest relative error.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch cannot capture the network, or ONNX Runtime gives other results.
    """
    write_onnx(examples, path)
    if precision == "fp16":
        narrow(path)
    return verified(OnnxCore(path), examples.all, most)


def write_onnx(examples: CoreExamples, path: Path) -> None:
    """Write a core as an ONNX file in float32 with dynamic time, without running it.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch cannot capture the network.
    """
    installed("onnx", "onnxscript", "onnxruntime", extra="export")
    with _quiet(), replaced_forwards(examples.core, nn.LSTM, run_as_one_node):
        try:
            program = torch.onnx.export(
                examples.core,
                examples.segment.inputs,
                dynamo=True,
                input_names=examples.input_names,
                output_names=examples.output_names,
                dynamic_shapes=dynamic_shapes(examples),
                custom_translation_table=to_onnx(),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # its exporter raises errors of many libraries
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise ExportError(f"torch cannot export this network: {reason}") from error
    assert program is not None, "with dynamo=True and no file"
    program.save(path)


def narrow(path: Path) -> None:
    """Convert a float32 file to float16, but for its inputs and outputs."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _quiet():
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


class OnnxCore:
    """An exported core in ONNX Runtime, on the CPU.

    Args:
        path: the ONNX file.
        threads: of one run; 0 for all cores.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, inputs: Tensors) -> list[np.ndarray[Any, Any]]:
        """All outputs."""
        values = (each.numpy() for each in inputs)
        return list(self._session.run(None, dict(zip(self._names, values, strict=True))))


def dynamic_shapes(examples: CoreExamples) -> tuple[dict[int, Any], ...]:
    """Dynamic axes of the inputs for ``torch.export``: all are linear functions of one number.

    A hybrid network has a fixed number of samples per frame.
    """
    sizes = sorted(
        {
            (one.shape[axis], other.shape[axis])
            for one, other, axes in zip(
                examples.segment.inputs,
                examples.longer.inputs,
                examples.dynamic_axes(),
                strict=True,
            )
            for axis in axes
        }
    )
    if not sizes:
        return tuple({} for _ in examples.segment.inputs)
    least = torch.export.Dim("steps", min=FEWEST_STEPS)
    first, longer = sizes[0]
    dims = {}
    for one, other in sizes:
        slope = (other - one) // (longer - first)
        dims[one, other] = linear(least, slope, one - slope * first)
    return tuple(
        {axis: dims[one.shape[axis], other.shape[axis]] for axis in axes}
        for one, other, axes in zip(
            examples.segment.inputs, examples.longer.inputs, examples.dynamic_axes(), strict=True
        )
    )


def linear(dim: Any, slope: int, offset: int) -> Any:
    """``slope * dim + offset``, without factors of 1 and sums with 0."""
    scaled = dim if slope == 1 else slope * dim
    return scaled + offset if offset else scaled


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, warnings and logs from the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
