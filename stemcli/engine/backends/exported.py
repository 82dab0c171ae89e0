"""Networks whose core is computed by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.export.core import Tensors
from model_zoo.export.export import export
from model_zoo.export.onnx import OnnxCore
from model_zoo.export.openvino import OpenVinoCore
from model_zoo.files import cache_home
from model_zoo.registry import name_of
from model_zoo.separator import CoreFunction, Separator
from stemcli.engine.backends.base import BackendName
from stemcli.engine.device import Precision
from stemcli.version import version


class ExportedBackend:
    """Runs a separator with transforms in torch and a core in another backend.

    Args:
        separator: the network, on the CPU.
        core: computes its core, for one item.
    """

    def __init__(self, separator: Separator, core: CoreFunction) -> None:
        self._separator = copy.copy(separator)
        self._separator.use_core(core)

    @torch.inference_mode()
    def run(
        self, items: Float[Tensor, "item channel time"]
    ) -> Float[Tensor, "item stem channel time"]:
        """Stems of a batch, one item after the other: exported cores have a batch of one."""
        return torch.cat([self._separator(item[None]) for item in items])


def open_exported(
    name: BackendName, separator: Separator, precision: Precision, sha256: str
) -> ExportedBackend:
    """Open the exported core of a network; export it if that has not been done yet.

    Raises:
        ExportError: the network cannot be exported.
        MissingExtraError: a package is not installed.
        OutputError: the cache cannot be written.
    """
    path = exported_file(separator, sha256)
    threads = torch.get_num_threads()
    try:
        if name == "onnxruntime":
            return ExportedBackend(separator, core_function(OnnxCore(path, threads)))
        core = OpenVinoCore(path, precision.name, threads)
        return ExportedBackend(separator, core_function(core))
    except Exception:  # a damaged file; the next run exports it again
        path.unlink(missing_ok=True)
        raise


def exported_file(separator: Separator, sha256: str) -> Path:
    """Path of the ONNX file of a network in the cache folder.

    Its name stands for the weights, the options and the versions that wrote it.

    Raises:
        ExportError: the network cannot be exported.
        MissingExtraError: a package is not installed.
        OutputError: the cache cannot be written.
    """
    options = json.dumps(separator.config.to_dict(), sort_keys=True, default=str)
    weights = sha256 or _checksum(separator)
    key = "\n".join((name_of(separator), options, weights, torch.__version__, version()))
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = cache_home() / "exported" / f"{name}.onnx"
    if not path.exists():
        export(separator, "onnx", path.parent, name)
    return path


def _checksum(separator: Separator) -> str:
    digest = hashlib.sha256()
    for name, tensor in separator.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def core_function(run: Callable[[Tensors], list[Any]]) -> CoreFunction:
    """An exported core as a function of tensors."""

    def core(*inputs: Tensor) -> Tensor | Tensors:
        outputs = tuple(map(torch.from_numpy, run(tuple(each.contiguous() for each in inputs))))
        return outputs[0] if len(outputs) == 1 else outputs

    return core
