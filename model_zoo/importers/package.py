"""Packages of Demucs: a network's state beside its class and arguments, without importing any.

A ``.th`` file is a pickle of a mapping with ``klass``, ``args``, ``kwargs`` and ``state``; a
safetensors file has class and arguments as JSON in its metadata (demucs 4.1.0, demucs/states.py and
demucs/hf.py, MIT).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_zoo.errors import CheckpointError
from model_zoo.importers.stand_ins import HYBRIDS, WAVEFORM, Ratio
from model_zoo.parsing import parse_json, require_bounded, shortened, shown

QUANTIZED = "__quantized"
"""Key of a state that diffq has quantized (github.com/facebookresearch/diffq)."""


def from_package(path: Path, content: Any) -> dict[str, Any]:
    """Arguments of the network in a package; empty for other checkpoints.

    Raises:
        CheckpointError: the class does not exist here, or the state is quantized.
    """
    if not isinstance(content, Mapping):
        return {}
    state = content.get("state")
    if QUANTIZED in content or (isinstance(state, Mapping) and QUANTIZED in state):
        raise CheckpointError(
            f"{path} is quantized with diffq, which cannot be read ({QUANTIZED}). Convert the "
            "network that is not quantized: mdx instead of mdx_q, mdx_extra instead of mdx_extra_q"
        )
    return _notes(path, content) if "klass" in content else {}


def from_metadata(path: Path, texts: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of the network in a safetensors file of Demucs; empty for other files.

    Raises:
        CheckpointError: the class does not exist here, or the metadata are damaged.
    """
    if "klass" not in texts:
        return {}
    try:
        values = {name: parse_json(texts.get(name, "null")) for name in ("args", "kwargs")}
    except ValueError as error:
        raise _damaged(path, error) from error
    return _notes(path, {**values, "klass": texts["klass"]})


def _notes(path: Path, content: Mapping[Any, Any]) -> dict[str, Any]:
    kind = content["klass"]
    if kind not in HYBRIDS:
        found = "networks on the waveform alone" if kind in WAVEFORM else "networks of this class"
        raise CheckpointError(
            f"{path} holds a {shown(kind)}; {found} do not exist here. "
            "Convert htdemucs or hdemucs_mmi instead"
        )
    try:
        args, kwargs = (_plain(require_bounded(content.get(name))) for name in ("args", "kwargs"))
    except ValueError as error:
        raise _damaged(path, error) from error
    return {
        "args": args if isinstance(args, list) else [],
        "kwargs": kwargs if isinstance(kwargs, dict) else {},
    }


def _damaged(path: Path, why: ValueError) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged (the arguments of its network: {shortened(str(why))}). "
        "Download it again"
    )


def _plain(value: Any) -> Any:
    """Plain data: texts, numbers, fractions, and lists and mappings of them; None for others."""
    if isinstance(value, Ratio):
        return value.value
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return None
    if value.get("_type") == "fraction":
        return Ratio(value.get("numerator"), value.get("denominator")).value
    return {key: _plain(item) for key, item in value.items() if isinstance(key, str)}
