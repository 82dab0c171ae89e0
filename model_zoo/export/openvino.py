"""Cores as OpenVINO's intermediate representation: a file of the graph and one of the weights.

https://docs.openvino.ai/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.export.core import CoreExamples, Tensors, verified
from model_zoo.export.extras import installed
from model_zoo.export.onnx import write_onnx


def export_openvino(examples: CoreExamples, path: Path, precision: str, most: float) -> float:
    """Write a core for OpenVINO by way of ONNX; returns the relative error on the CPU.

    Args:
        examples: of the core.
        path: of the graph, ``NAME.xml``; the weights are written beside it as ``NAME.bin``.
        precision: of the weights, ``fp32`` or ``fp16``; OpenVINO computes in what it is told.
        most: largest relative error.

    Raises:
        MissingExtraError: openvino, or what writes ONNX, is not installed.
        ExportError: torch cannot capture the network, or OpenVINO gives other results.
    """
    installed("openvino", extra="openvino")
    import openvino

    onnx_file = path.with_suffix(".onnx")
    write_onnx(examples, onnx_file)
    model = openvino.convert_model(onnx_file)
    openvino.save_model(model, path, compress_to_fp16=precision == "fp16")
    del model
    onnx_file.unlink()
    return verified(OpenVinoCore(path), examples.all, most)


class OpenVinoCore:
    """An exported core in OpenVINO, on the CPU.

    Args:
        path: the graph, or an ONNX file.
        precision: ``fp32`` or ``bf16``, in which it multiplies where the processor can.
        threads: of one run; 0 for all cores.
    """

    def __init__(self, path: Path, precision: str = "fp32", threads: int = 0) -> None:
        import openvino
        from openvino import properties

        settings = {
            properties.hint.inference_precision: {
                "fp32": openvino.Type.f32,
                "bf16": openvino.Type.bf16,
            }[precision],
            properties.inference_num_threads: threads,
        }
        self._request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def __call__(self, inputs: Tensors) -> list[np.ndarray[Any, Any]]:
        """All outputs."""
        results = self._request.infer([each.numpy() for each in inputs])
        return [results[number].copy() for number in range(len(results))]
