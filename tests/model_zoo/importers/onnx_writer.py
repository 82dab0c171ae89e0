"""Writes ONNX files by hand, from the description of their fields in onnx/onnx.proto."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

KINDS = {torch.float32: 1, torch.int64: 7, torch.float16: 10, torch.float64: 11}
KINDS |= {torch.bfloat16: 16}


def varint(number: int) -> bytes:
    """A number in groups of seven bits, lowest first."""
    rest, low = divmod(number % 2**64, 128)
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a message: a number, or bytes after their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def raw(value: Tensor) -> bytes:
    """Bytes of a tensor in row order."""
    return value.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def initializer(name: str, value: Tensor, *, packs: bool = False, more: bytes = b"") -> bytes:
    """A tensor: its axes one by one, as torch writes them, or in a row, as others do."""
    sizes = [varint(size) for size in value.shape]
    axes = field(1, b"".join(sizes)) if packs else b"".join(field(1, each) for each in value.shape)
    return (
        axes + field(2, KINDS[value.dtype]) + field(8, name.encode()) + field(9, raw(value)) + more
    )


def node(operator: str, inputs: Iterable[str], output: str, more: bytes = b"") -> bytes:
    """An operation."""
    names = b"".join(field(1, each.encode()) for each in inputs)
    return names + field(2, output.encode()) + field(4, operator.encode()) + more


def model(initializers: Iterable[bytes], nodes: Iterable[bytes] = ()) -> bytes:
    """A file with these initializers and operations."""
    parts = [field(1, each) for each in nodes] + [field(5, each) for each in initializers]
    return field(1, 8) + field(2, b"by hand") + field(7, b"".join(parts))


def write(path: Path, tensors: Mapping[str, Tensor], nodes: Iterable[bytes] = ()) -> Path:
    """Write a file with these initializers and operations."""
    path.write_bytes(model([initializer(name, x) for name, x in tensors.items()], nodes))
    return path
