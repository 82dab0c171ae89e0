"""Cores as OpenVINO's intermediate representation: a file of the graph and one of the weights.

https://docs.openvino.ai/
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.export.core import CoreExamples, Tensors, checked_error
from model_zoo.export.extras import require_packages
from model_zoo.export.onnx import write_onnx


def export_openvino(examples: CoreExamples, path: Path, precision: str, tolerance: float) -> float:
    """Write a core for OpenVINO by way of ONNX; returns the relative error on the CPU.

    Args:
        examples: of the core.
        path: of the graph, ``NAME.xml``; the weights are written beside it as ``NAME.bin``.
        precision: of the weights, ``fp32`` or ``fp16``; that of the computation is chosen when the
            file is loaded.
        tolerance: largest relative error.

    Raises:
        MissingExtraError: openvino, or what writes ONNX, is not installed.
        ExportError: torch cannot capture the network, or OpenVINO gives other results.
    """
    require_packages("openvino", extra="openvino")
    import openvino

    onnx_file = path.with_suffix(".onnx")
    write_onnx(examples, onnx_file)
    model = openvino.convert_model(onnx_file)
    openvino.save_model(model, path, compress_to_fp16=precision == "fp16")
    del model
    onnx_file.unlink()
    return checked_error(OpenVinoCore(path), examples.all, tolerance)


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
        self._model = openvino.Core().compile_model(path, "CPU", settings)
        self._local = threading.local()  # one request per thread

    def __call__(self, inputs: Tensors) -> list[NDArray[np.float32]]:
        """All outputs, for inputs of the shapes that the file states."""
        if not hasattr(self._local, "request"):
            self._local.request = self._model.create_infer_request()
        results = self._local.request.infer([each.numpy() for each in inputs])
        return [results[number].copy() for number in range(len(results))]
