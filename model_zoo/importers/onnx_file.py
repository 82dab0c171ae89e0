"""Reads the weights of ONNX files: their initializers, by the names of parameters.

An exporter keeps the names of parameters unless it folds constants: then a transposed matrix is
called ``onnx::MatMul_123`` and the weights of an LSTM ``onnx::LSTM_45``, and no name tells which
parameters they were. A network that lacks such a parameter is refused. Initializers under other
names are constants of the graph if no parameter is missing.

A file is a protocol buffer, whose fields are described in onnx/onnx.proto (github.com/onnx/onnx,
Apache-2.0). Only initializers and a few nodes are looked at. Nothing is run, and parts of no use
take no memory, unlike in a parser that builds an object of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model_zoo.errors import CheckpointError, MisfitError
from model_zoo.importers.other_files import require_file
from model_zoo.importers.protobuf import Message, fields, signed, varint
from model_zoo.importers.unpickle import plain_names
from model_zoo.parsing import shortened
from model_zoo.weight_checks import check_tensors, shapes_of

ENDING = ".onnx"

LARGEST = 2**31
"""Largest file in bytes, which is a limit of protocol buffers."""

MOST_FIELDS = 2_000_000
"""Most fields that are looked at; a node or an initializer has about ten."""

KINDS = {1: torch.float32, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16}
"""Types of weights, by their numbers in ``TensorProto.DataType``."""

KEY = re.compile(r"\w+(\.\w+)+|[a-z]+(_[a-z]+)*")
"""Names of parameters: those inside of parts have dots, the others no digits."""

UNNAMED = "unnamed"
"""Key of the notes with the largest initializer that might be a folded parameter."""

_GRAPH = 7  # of ModelProto
_NODE, _INITIALIZER = 1, 5  # of GraphProto
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
_ATTRIBUTE_NAME, _INTEGER = 1, 3  # of AttributeProto
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _EXTERNAL = 1, 2, 4, 8, 9, 13  # of TensorProto


class Initializer(NamedTuple):
    """A constant of a graph.

    Attributes:
        name: its name.
        shape: its shape.
        kind: type of its values, as in :data:`KINDS`.
        values: their bytes, lowest first.
        is_elsewhere: whether another file has them.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    values: memoryview
    is_elsewhere: bool


class Node(NamedTuple):
    """An operation of a graph.

    Attributes:
        operator: what it does.
        inputs: names of its inputs.
        outputs: names of its outputs.
        transposes: whether it transposes its second input.
    """

    operator: str
    inputs: list[str]
    outputs: list[str]
    transposes: bool


Content = dict[int, list[int | Message]]
"""Values of a message by the numbers of their fields."""


class Parser:
    """Reads messages until there have been too many fields.

    Args:
        most: number of fields in all messages together.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def fields(self, message: int | Message) -> Iterator[tuple[int, int | Message]]:
        """Fields of a message, one after the other.

        Raises:
            ValueError: it is damaged, or there have been too many.
            IndexError: it ends within a field.
        """
        for each in fields(message):
            self._left -= 1
            if self._left < 0:
                raise ValueError("it has too many parts")
            yield each

    def content(self, message: int | Message) -> Content:
        """All fields of a message; raises as :meth:`fields` does."""
        found: Content = {}
        for number, value in self.fields(message):
            found.setdefault(number, []).append(value)
        return found

    def initializer(self, message: int | Message) -> Initializer:
        """An initializer; raises as :meth:`fields` does."""
        content = self.content(message)
        return Initializer(
            _text(content.get(_NAME, [])),
            _sizes(content.get(_DIMS, [])),
            _number(content.get(_TYPE, [])),
            _joined(content.get(_RAW) or content.get(_FLOATS) or []),
            _EXTERNAL in content,
        )

    def node(self, message: int | Message) -> Node:
        """A node; raises as :meth:`fields` does."""
        content = self.content(message)
        attributes = [self.content(each) for each in content.get(_ATTRIBUTE, [])]
        numbers = {
            _text(each.get(_ATTRIBUTE_NAME, [])): _number(each.get(_INTEGER, []))
            for each in attributes
        }
        inputs, outputs = (content.get(number, []) for number in (_INPUT, _OUTPUT))
        return Node(
            _text(content.get(_OPERATOR, [])),
            [_text([each]) for each in inputs],
            [_text([each]) for each in outputs],
            numbers.get("transB") == 1,
        )


def is_onnx(path: Path) -> bool:
    """Whether a file is called an ONNX file; it has no mark inside."""
    return path.suffix.lower() == ENDING


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights, without prefixes of wrappers in their names, and notes.

    Raises:
        NoModelError: there is no such file.
        CheckpointError: it is damaged or unsafe, or has its weights in another file.
    """
    require_file(path)
    size = path.stat().st_size
    try:
        if size > LARGEST:
            raise ValueError(f"it has {size:,} bytes")
        weights, nodes = _graph(memoryview(path.read_bytes()))
        _require_values(path, weights)
        named, unnamed = _named(weights, nodes)
        tensors = {name: _tensor(each) for name, each in named.items()}
    except (ValueError, IndexError, OSError, OverflowError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is damaged or is not an ONNX file ({shortened(str(error), 200)}). "
            "Copy or download it again"
        ) from error
    check_tensors(path, shapes_of(tensors), sum(x.nbytes for x in tensors.values()), size)
    return plain_names(tensors), {UNNAMED: unnamed} if unnamed else {}


@contextmanager
def folding_explained(sources: Sequence[Path]) -> Iterator[None]:
    """Errors about missing tensors inside say that an exporter has folded them, where it has.

    Args:
        sources: files that are converted.

    Raises:
        CheckpointError: instead of another one, if a file has initializers under other names.
    """
    try:
        yield
    except MisfitError as error:
        for path in filter(is_onnx, sources):
            if name := _unnamed(path):
                raise CheckpointError(
                    f"{path} has weights without their names, because constants were folded in "
                    f"its export (initializer {shortened(name)}). Convert the checkpoint that it "
                    "was exported from, or export it with do_constant_folding=False"
                ) from error
        raise


def _unnamed(path: Path) -> str:
    """The largest initializer of a file that might be a folded parameter; empty if none is."""
    try:
        return str(read(path)[1].get(UNNAMED, ""))
    except CheckpointError:  # the error of the file itself says more
        return ""


def _graph(data: Message) -> tuple[list[Initializer], list[Node]]:
    """Initializers with the types of weights, and nodes."""
    parser = Parser(MOST_FIELDS)
    initializers, nodes = list[Initializer](), list[Node]()
    for number, graph in parser.fields(data):
        for part, value in parser.fields(graph) if number == _GRAPH else ():
            if part == _INITIALIZER:
                initializers.append(parser.initializer(value))
            elif part == _NODE:
                nodes.append(parser.node(value))
    if not initializers and not nodes:
        raise ValueError("it has no graph")
    return [each for each in initializers if each.kind in KINDS], nodes


def _require_values(path: Path, weights: Sequence[Initializer]) -> None:
    if any(each.is_elsewhere for each in weights):
        raise CheckpointError(
            f"{path} has its weights in another file, which is not read. "
            "Export it again with external_data=False"
        )


def _named(
    weights: Sequence[Initializer], nodes: Sequence[Node]
) -> tuple[dict[str, Initializer], str]:
    """Initializers that are parameters, and the name of the largest that may be a folded one."""
    turned = {
        node.inputs[1]
        for node in nodes
        if node.operator in ("MatMul", "Gemm") and len(node.inputs) > 1 and not node.transposes
    }
    named = {each.name: each for each in weights if KEY.fullmatch(each.name) and each.values}
    others = [each for each in weights if each.name not in named or each.name in turned]
    named = {name: each for name, each in named.items() if name not in turned}
    for node in nodes:  # exporters keep one of several equal parameters
        source = named.get(node.inputs[0]) if node.operator == "Identity" and node.inputs else None
        if source:
            named |= {name: source for name in node.outputs if KEY.fullmatch(name)}
    largest = max(others, key=lambda each: len(each.values), default=None)
    return named, largest.name if largest else ""


def _tensor(weights: Initializer) -> Tensor:
    """Values of an initializer, whose number must be that of its shape."""
    kind, values = KINDS[weights.kind], bytearray(weights.values)
    flat = torch.frombuffer(values, dtype=kind) if values else torch.empty(0, dtype=kind)
    return flat.reshape(weights.shape)


def _text(values: Sequence[int | Message]) -> str:
    """The last value of a field as a text; empty without one."""
    return _joined(values[-1:]).tobytes().decode()


def _number(values: Sequence[int | Message]) -> int:
    """The last value of a field as a number; 0 without one."""
    value = values[-1] if values else 0
    if not isinstance(value, int):
        raise ValueError("bytes are where a number should be")
    return value


def _sizes(values: Sequence[int | Message]) -> tuple[int, ...]:
    """Lengths of axes, one by one or several in a row."""
    found = list[int]()
    for value in values:
        found += [value] if isinstance(value, int) else _row(value)
    sizes = tuple(map(signed, found))
    if min(sizes, default=0) < 0:
        raise ValueError("a tensor has an axis of negative length")
    return sizes


def _row(data: Message) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = varint(data, at)
        yield number


def _joined(values: Sequence[int | Message]) -> memoryview:
    """Pieces of bytes in a row."""
    pieces = [value for value in values if not isinstance(value, int)]
    if len(pieces) < len(values):
        raise ValueError("a number is where bytes should be")
    return memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
