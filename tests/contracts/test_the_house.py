"""What keeps the zoo readable: short files, and no code twice.

Truth: the syntax trees of the sources. Two functions or classes are the same when nothing but
their names, those of their arguments and variables, and their docstrings tells them apart.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import model_zoo

ZOO = Path(model_zoo.__file__).parent
LONGEST = 400  # lines
FEW = 4  # statements that two may share by chance

Block = ast.FunctionDef | ast.ClassDef


@pytest.mark.parametrize(
    "path", sorted(ZOO.glob("architectures/**/*.py")), ids=lambda path: path.stem
)
def test_no_architecture_is_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST


def test_no_code_has_two_names() -> None:
    places = defaultdict(list)
    for path in sorted(ZOO.rglob("*.py")):
        for place, block in blocks(ast.parse(path.read_text("utf-8")), str(path.relative_to(ZOO))):
            places[essence(block)].append(place)
    assert [twins for twins in places.values() if len(twins) > 1] == []


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("def g(b, a):\n  'Another.'\n  x = a + b\n  x *= 2\n  y = x\n  return y", True),
        ("def g(a, b):\n  x = a + b\n  x *= 2\n  y = x\n  return x", False),
        ("def g(a, b):\n  x = a + b\n  x *= 3\n  y = x\n  return y", False),
    ],
)
def test_twins_by_hand(other: str, is_same: bool) -> None:
    one = "def f(v, w):\n  'One.'\n  s = w + v\n  s *= 2\n  r = s\n  return r"
    first, second = (next(blocks(ast.parse(text), ""))[1] for text in (one, other))
    assert (essence(first) == essence(second)) is is_same


def blocks(tree: ast.AST, place: str) -> Iterator[tuple[str, Block]]:
    """Every function and class of more than a few statements, with where it stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Block):
            inside = sum(isinstance(each, ast.stmt) for each in ast.walk(node)) - 1
            if inside - (ast.get_docstring(node) is not None) >= FEW:
                yield f"{place}:{node.name}", node
            yield from blocks(node, f"{place}:{node.name}")


class Anonymous(ast.NodeTransformer):
    """Numbers in the place of names that a function or class gives, no docstrings."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._given.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        annotation = self.visit(node.annotation) if node.annotation else None
        return ast.arg(self._given[node.arg], annotation)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, Block):
            node.name = self._given.get(node.name, node.name)
            node.body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        return node


def essence(block: Block) -> str:
    """The syntax tree as text, without what may differ; fields and methods keep their names."""
    given: dict[str, str] = {block.name: "itself"}
    functions = [node for node in ast.walk(block) if isinstance(node, ast.FunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.arg):
            given.setdefault(node.arg, f"name {len(given)}")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.setdefault(node.id, f"name {len(given)}")
    copy = ast.parse(ast.unparse(block)).body[0]
    return ast.dump(Anonymous(given).visit(copy))
