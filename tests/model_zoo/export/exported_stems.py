"""Exports a small network, and compares the stems of the exported core with those of torch.

    python -m tests.model_zoo.export.exported_stems FOLDER ARCHITECTURE FORMAT...

Prints one line for each format, ``FORMAT ERROR STEMS_ERROR``: the error that the exporter measured,
and that of the stems of a mixture that it has not seen. Run as a program of its own, because
checked shapes (jaxtyping) cannot be captured.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from model_zoo.export.core import Tensors
from model_zoo.export.export import Format, export
from model_zoo.registry import architecture
from model_zoo.separator import CoreFunction, Separator
from tests.model_zoo.blocks.weights import fill, pattern

WINDOWS = 4
"""Windows of the shortest mixture."""


def small(name: str) -> tuple[Separator, int]:
    """A network with synthetic weights, and the length of a short mixture."""
    kind = architecture(name)
    separator = fill(kind(**kind.small_options))
    window = separator.config.to_dict().get("window_size", 2048)
    # An odd number of samples more than a multiple of every hop.
    return separator, max(min(separator.segment, 8192), WINDOWS * window) + 13


def runner(path: Path) -> CoreFunction:
    """What runs an exported file with the package of its format, without code of the exporters."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        names = [each.name for each in session.get_inputs()]
        return lambda *inputs: tensors(
            session.run(None, dict(zip(names, arrays(inputs), strict=True)))
        )
    if path.suffix == ".xml":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.compile_model(path, "CPU", settings)
        return lambda *inputs: tensors(compiled(arrays(inputs)).to_tuple())
    return cast(CoreFunction, torch.jit.load(path))


def arrays(inputs: Tensors) -> list[np.ndarray[Any, Any]]:
    return [each.numpy() for each in inputs]


def tensors(outputs: Any) -> Tensor | Tensors:
    found = tuple(torch.from_numpy(np.array(each)) for each in outputs)
    return found[0] if len(found) == 1 else found


def error_of_stems(separator: Separator, core: CoreFunction, samples: int) -> float:
    """Relative error of the stems of a mixture of this length."""
    mixture = pattern(1, separator.channels, samples, phase=0.5)
    with torch.inference_mode():
        expected = separator(mixture)
        separator.use_core(core)
        found = separator(mixture)
        separator.use_core(None)
    return float((found - expected).norm() / expected.norm())


def main() -> None:
    """Export and compare."""
    folder, name, *formats = sys.argv[1:]
    separator, samples = small(name)
    for to in formats:
        exported = export(separator, cast(Format, to), Path(folder), name, samples=samples)
        is_fixed = to == "torchscript" or separator.core_has_fixed_length
        length = samples if is_fixed else samples * 5 // 4
        stems_error = error_of_stems(separator, runner(exported.files[0]), length)
        print(to, exported.error, stems_error, flush=True)


if __name__ == "__main__":
    main()
