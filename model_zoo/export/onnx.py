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
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo.errors import ExportError, first_line
from model_zoo.export.core import CoreExamples, Tensors, checked_error, replaced_forwards
from model_zoo.export.extras import require_packages
from model_zoo.export.lstm import run_as_one_node, to_onnx

OPSET = 20

MIN_STEPS = 2
"""Smallest size of a dynamic axis; torch treats 1 as a size of its own."""


def export_onnx(examples: CoreExamples, path: Path, precision: str, tolerance: float) -> float:
    """Write a core as an ONNX file with dynamic time; returns its relative error in ONNX Runtime.

    Args:
        examples: of the core.
        path: of the file.
        precision: of weights and computation, ``fp32`` or ``fp16``; inputs and outputs are float32.
        tolerance: largest relative error.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch cannot capture the network, or ONNX Runtime gives other results.
    """
    write_onnx(examples, path)
    if precision == "fp16":
        convert_to_float16(path)
    return checked_error(OnnxCore(path), examples.all, tolerance)


def write_onnx(examples: CoreExamples, path: Path) -> None:
    """Write a core as an ONNX file in float32 with dynamic time, without running it.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch cannot capture the network.
    """
    require_packages("onnx", "onnxscript", "onnxruntime", extra="export")
    with (
        _quiet(),
        replaced_forwards(examples.core, nn.LSTM, run_as_one_node),
        _replaced_group_norm(),
    ):
        try:
            program: Any = torch.onnx.export(
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
        except Exception as error:  # the exporter raises errors of many libraries
            raise ExportError(f"torch cannot export this network: {root_cause(error)}") from error
    program.save(path)


def root_cause(error: BaseException) -> str:
    """First line of the exception at the beginning of a chain."""
    while error.__cause__:
        error = error.__cause__
    return first_line(error)


@contextlib.contextmanager
def _replaced_group_norm() -> Iterator[None]:
    """Have :func:`group_norm` captured in place of torch's function."""
    before = F.group_norm
    F.group_norm = group_norm
    try:
        yield
    finally:
        F.group_norm = before


def group_norm(
    input: Float[Tensor, "batch channel *rest"],
    num_groups: int,
    weight: Float[Tensor, " channel"] | None = None,
    bias: Float[Tensor, " channel"] | None = None,
    eps: float = 1e-5,
) -> Float[Tensor, "batch channel *rest"]:
    """``torch.nn.functional.group_norm`` with means of means.

    The exporter's own translation lets ONNX Runtime add up millions of numbers one after the other,
    which loses digits.
    """
    channels = input.shape[1]
    grouped = input.reshape(input.shape[0], num_groups, channels // num_groups, -1)
    centred = grouped - grouped.mean(-1, keepdim=True).mean(-2, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True).mean(-2, keepdim=True)
    normed = (centred * torch.rsqrt(variance + eps)).reshape(input.shape)
    shape = (channels, *(1,) * (input.ndim - 2))
    if weight is not None:
        normed = normed * weight.view(shape)
    return normed if bias is None else normed + bias.view(shape)


def convert_to_float16(path: Path) -> None:
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

    def __call__(self, inputs: Tensors) -> list[NDArray[np.float32]]:
        """All outputs."""
        values = (each.numpy() for each in inputs)
        return list(self._session.run(None, dict(zip(self._names, values, strict=True))))


def dynamic_shapes(examples: CoreExamples) -> tuple[dict[int, Any], ...]:
    """Dynamic axes of the inputs for ``torch.export``.

    Axes that have the same sizes in both examples have the same number of entries in all.
    """
    named: dict[tuple[int, int], Any] = {}
    shapes = []
    for one, other, axes in zip(
        *(examples.segment.inputs, examples.longer.inputs, examples.dynamic_axes()), strict=True
    ):
        sizes = {axis: (one.shape[axis], other.shape[axis]) for axis in axes}
        for size in sizes.values():
            named.setdefault(size, torch.export.Dim(f"steps_{len(named)}", min=MIN_STEPS))
        shapes.append({axis: named[size] for axis, size in sizes.items()})
    return tuple(shapes)


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
