"""Cores as TensorRT engines, which run only on the kind of GPU that they were built on.

https://docs.nvidia.com/deeplearning/tensorrt/latest/
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from model_zoo.errors import ExportError
from model_zoo.export.core import LARGEST_ERROR, CoreExamples
from model_zoo.export.onnx import export_onnx


def export_tensorrt(examples: CoreExamples, path: Path, onnx_file: Path, precision: str) -> float:
    """Build an engine from an ONNX file; without TensorRT, only the ONNX file is written.

    Args:
        examples: of the core.
        path: of the engine.
        onnx_file: path of the ONNX file, which is removed once the engine is built.
        precision: that layers of the engine may compute in, ``fp32`` or ``fp16``.

    Returns:
        The relative error of the ONNX file in ONNX Runtime. The engine is not run.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch cannot capture the network, or TensorRT cannot build it.
    """
    error = export_onnx(examples, onnx_file, "fp32", LARGEST_ERROR)
    if find_spec("tensorrt"):
        path.write_bytes(_engine(onnx_file, examples, precision))
        onnx_file.unlink()
    return error


def _engine(onnx_file: Path, examples: CoreExamples, precision: str) -> Any:
    import tensorrt

    builder = tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
    network = builder.create_network()
    parser = tensorrt.OnnxParser(network, builder.logger)
    if not parser.parse_from_file(str(onnx_file)):
        raise ExportError(f"TensorRT cannot read this network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    if precision == "fp16":
        config.set_flag(tensorrt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    for name, one, longer in zip(
        examples.input_names, examples.segment.inputs, examples.longer.inputs, strict=True
    ):
        profile.set_shape(name, tuple(one.shape), tuple(one.shape), tuple(longer.shape))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError("TensorRT cannot build an engine for this GPU; its log says why")
    return engine
