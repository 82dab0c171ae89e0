"""Networks whose core is computed by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.export.core import Tensors
from model_zoo.files import cache_home
from model_zoo.separator import CoreFunction, Separator
from stemcli.engine.backends.base import BackendName
from stemcli.engine.device import Precision


class ExportedBackend:
    """Runs a separator with transforms in torch and a core in another engine.

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
    """
    path = exported_file(separator, sha256)
    if name == "onnxruntime":
        from model_zoo.export.onnx import OnnxCore

        return ExportedBackend(separator, core_function(OnnxCore(path)))
    from model_zoo.export.openvino import OpenVinoCore

    return ExportedBackend(separator, core_function(OpenVinoCore(path, precision.name)))


def exported_file(separator: Separator, sha256: str) -> Path:
    """Path of the ONNX file of a network in the cache folder.

    Its name stands for the weights, the options and the version of torch that wrote it.

    Raises:
        ExportError: the network cannot be exported.
    """
    from model_zoo.export.export import export

    options = json.dumps(separator.config.to_dict(), sort_keys=True, default=str)
    key = "\n".join((sha256 or _checksum(separator), options, version("torch")))
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
