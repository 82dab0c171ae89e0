"""Exports the core of a network in a format of other engines.

The STFT stays outside: engines differ in what they know of it, and few have complex numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_zoo.errors import OutputError, UsageError
from model_zoo.export.core import LARGEST_ERROR, CoreExamples, core_examples
from model_zoo.export.description import description
from model_zoo.files import replace_file
from model_zoo.option_names import option
from model_zoo.separator import Separator

Format = Literal["onnx", "openvino", "torchscript", "tensorrt"]
Precision = Literal["fp32", "fp16"]

LARGEST_FP16_ERROR = 1e-2
"""Largest relative error of a core in float16, 40 dB."""

Exporter = Callable[[CoreExamples, Path, str], tuple[list[Path], float]]
"""Writes files with a stem of their own; returns them and the largest relative error."""


@dataclass(frozen=True)
class Exported:
    """An exported core.

    Attributes:
        files: the network, its weights where they have a file of their own, and the description.
        error: largest relative error against torch in float32.
        note: what is missing for the format; empty if nothing is.
    """

    files: tuple[Path, ...]
    error: float
    note: str = ""


def export(
    separator: Separator,
    to: Format,
    folder: Path,
    name: str,
    precision: Precision = "fp32",
    samples: int | None = None,
) -> Exported:
    """Export the core of a separator, and compare it with torch before it gets its name.

    Args:
        separator: a network on the CPU.
        to: the format.
        folder: where the files ``NAME.*`` are written; made if missing.
        name: of the files, without their ending.
        precision: of the weights.
        samples: length of the mixture that the network is captured with; None for the segment.

    Raises:
        MissingExtraError: a package is not installed.
        ExportError: the network cannot be exported, or its results differ.
        OutputError: a file cannot be written.
    """
    if precision == "fp16" and to == "torchscript":
        raise UsageError(
            f"TorchScript files have float32 weights; leave out {option('precision')}, or export"
            " to onnx, openvino or tensorrt"
        )
    examples = core_examples(separator.eval(), samples)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as temporary:
        written, error = EXPORTERS[to](examples, Path(temporary, name), precision)
        names = [each.name for each in written]
        text = description(separator, examples, names, precision, error)
        described = Path(temporary, f"{name}.json")
        described.write_text(text, encoding="utf-8")
        for each in (*written, described):
            replace_file(each, folder / each.name)
    note = NO_TENSORRT if to == "tensorrt" and names == [f"{name}.onnx"] else ""
    return Exported(tuple(folder / each for each in (*names, described.name)), error, note)


NO_TENSORRT = (
    "TensorRT is not installed, so this is the ONNX file that it builds engines from. On the"
    " machine with the GPU, try: pip install tensorrt"
)

ENDINGS: Mapping[Format, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "torchscript": (".pt",),
    "tensorrt": (".engine", ".onnx"),
}
"""Endings of the files of each format; all have a ``.json`` too."""


def refuse_existing(folder: Path, name: str, to: Format) -> None:
    """Refuse to replace files of an earlier export.

    Raises:
        OutputError: a file exists.
    """
    for ending in (*ENDINGS[to], ".json"):
        path = folder / f"{name}{ending}"
        if path.exists():
            raise OutputError(
                f"{path} exists. Add {option('overwrite')}, or choose another {option('output')}"
            )


def _most(precision: str) -> float:
    return LARGEST_FP16_ERROR if precision == "fp16" else LARGEST_ERROR


def _to_onnx(examples: CoreExamples, base: Path, precision: str) -> tuple[list[Path], float]:
    from model_zoo.export.onnx import export_onnx

    path = base.with_name(f"{base.name}.onnx")
    return [path], export_onnx(examples, path, precision, _most(precision))


def _to_openvino(examples: CoreExamples, base: Path, precision: str) -> tuple[list[Path], float]:
    from model_zoo.export.openvino import export_openvino

    graph, weights = (base.with_name(base.name + ending) for ending in (".xml", ".bin"))
    return [graph, weights], export_openvino(examples, graph, precision, _most(precision))


def _to_torchscript(examples: CoreExamples, base: Path, precision: str) -> tuple[list[Path], float]:
    from model_zoo.export.torchscript import export_torchscript

    path = base.with_name(f"{base.name}.pt")
    return [path], export_torchscript(examples, path, _most(precision))


def _to_tensorrt(examples: CoreExamples, base: Path, precision: str) -> tuple[list[Path], float]:
    from model_zoo.export.tensorrt import export_tensorrt

    path = base.with_name(f"{base.name}.engine")
    written, error = export_tensorrt(examples, path, precision, _most(precision))
    return [written], error


EXPORTERS: Mapping[Format, Exporter] = {
    "onnx": _to_onnx,
    "openvino": _to_openvino,
    "torchscript": _to_torchscript,
    "tensorrt": _to_tensorrt,
}
