"""Exports the core of a network in a format of other programs.

The STFT stays outside: these differ in what they know of it, and few have complex numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_zoo.errors import ExportError, OutputError, StemError, UsageError, first_line
from model_zoo.export.core import LARGEST_ERROR, CoreExamples, core_examples
from model_zoo.export.description import description
from model_zoo.export.extras import require_packages
from model_zoo.export.onnx import export_onnx
from model_zoo.export.openvino import export_openvino
from model_zoo.export.tensorrt import export_tensorrt
from model_zoo.export.torchscript import export_torchscript
from model_zoo.files import replace_file
from model_zoo.option_names import option
from model_zoo.separator import Separator

Format = Literal["onnx", "openvino", "torchscript", "tensorrt"]
Precision = Literal["fp32", "fp16"]

LARGEST_FP16_ERROR = 1e-2
"""Largest relative error of a core in float16, 40 dB."""


@dataclass(frozen=True)
class Exported:
    """An exported core.

    Attributes:
        files: the network, its weights where they have a file of their own, and the description.
        error: largest relative error against torch in float32; for TensorRT, of the ONNX file that
            the engine was built from.
        note: what is missing for the format; empty if nothing is.
    """

    files: tuple[Path, ...]
    error: float
    note: str = ""


NO_TENSORRT = (
    "TensorRT is not installed, so this is the ONNX file, in float32, that it builds engines from."
    " On the machine with the GPU, try: pip install tensorrt"
)


def check_request(
    to: Format, folder: Path, name: str, precision: Precision, *, overwrite: bool
) -> None:
    """Refuse what cannot be exported, before any work is done.

    Args:
        to: the format.
        folder: for the files.
        name: of the files.
        precision: of the weights.
        overwrite: whether files of an earlier export may be replaced.

    Raises:
        UsageError: the format has no such precision.
        MissingExtraError: a package is not installed.
        OutputError: a file exists.
    """
    if precision == "fp16" and to == "torchscript":
        raise UsageError(
            f"TorchScript files have float32 weights; leave out {option('precision')}, or export"
            " to onnx, openvino or tensorrt"
        )
    if to != "torchscript":
        require_packages("onnx", "onnxscript", "onnxruntime", extra="export")
    if to == "openvino":
        require_packages("openvino", extra="openvino")
    found = [path for path in _files(folder, name, to) if path.exists()]
    if found and not overwrite:
        raise OutputError(
            f"{found[0]} exists. Add {option('overwrite')}, or choose another {option('output')}"
        )


def _files(folder: Path, name: str, to: Format) -> tuple[Path, ...]:
    """Paths of all files of an export, the description last."""
    endings = {
        "onnx": (".onnx",),
        "openvino": (".xml", ".bin"),
        "torchscript": (".pt",),
        "tensorrt": (".engine", ".trt.onnx"),
    }[to]
    return tuple(folder / f"{name}{ending}" for ending in (*endings, f".{to}.json"))


def export(
    separator: Separator,
    to: Format,
    folder: Path,
    name: str,
    precision: Precision = "fp32",
    samples: int | None = None,
) -> Exported:
    """Export the core of a separator, and compare it with torch before it gets its name.

    Files of an earlier export are replaced.

    Args:
        separator: a network on the CPU.
        to: the format.
        folder: for the files ``NAME.*``; made if missing.
        name: of the files, without their ending.
        precision: of the weights.
        samples: length of the mixture that the network is captured with; None for the segment.

    Raises:
        UsageError: the format has no such precision.
        MissingExtraError: a package is not installed.
        ExportError: the network cannot be exported, or its results differ.
        OutputError: a file cannot be written.
    """
    check_request(to, folder, name, precision, overwrite=True)
    examples = core_examples(separator.eval(), samples)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as temporary:
            paths = _files(Path(temporary), name, to)
            difference = _write(to, examples, paths, precision)
            written = [path for path in paths[:-1] if path.exists()]
            is_missing = to == "tensorrt" and not paths[0].exists()
            text = description(
                separator,
                examples,
                [path.name for path in written],
                "fp32" if is_missing else precision,
                difference,
            )
            paths[-1].write_text(text, encoding="utf-8")
            # Without a description, nobody takes the files for complete.
            (folder / paths[-1].name).unlink(missing_ok=True)
            for path in (*written, paths[-1]):
                replace_file(path, folder / path.name)
    except OSError as error:
        raise OutputError(f"Cannot write to {folder} ({error.strerror or error})") from error
    files = tuple(folder / path.name for path in (*written, paths[-1]))
    return Exported(files, difference, NO_TENSORRT if is_missing else "")


def _write(
    to: Format, examples: CoreExamples, paths: Sequence[Path], precision: Precision
) -> float:
    """Write the files of a format; returns the largest relative error.

    Raises:
        ExportError: the network cannot be exported, or its results differ.
    """
    tolerance = LARGEST_FP16_ERROR if precision == "fp16" else LARGEST_ERROR
    try:
        if to == "onnx":
            return export_onnx(examples, paths[0], precision, tolerance)
        if to == "openvino":
            return export_openvino(examples, paths[0], precision, tolerance)
        if to == "torchscript":
            return export_torchscript(examples, paths[0], tolerance)
        return export_tensorrt(examples, paths[0], paths[1], precision)
    except (StemError, OSError, MemoryError):
        raise
    except Exception as error:  # each engine has errors of its own
        raise ExportError(f"{to} cannot compute this network: {first_line(error)}") from error
