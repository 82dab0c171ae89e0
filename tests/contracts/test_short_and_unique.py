"""Short files and no duplicate code in the zoo.

Checked on the syntax trees. Two functions or classes are duplicates if they differ only in their
names, the names of their arguments and variables, and their docstrings.
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
SMALLEST = 4  # smallest number of statements that counts

Block = ast.FunctionDef | ast.ClassDef


@pytest.mark.parametrize(
    "path", sorted(ZOO.glob("architectures/**/*.py")), ids=lambda path: path.stem
)
def test_no_architecture_is_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST


def test_there_is_no_duplicate_code() -> None:
    locations = defaultdict(list)
    for path in sorted(ZOO.rglob("*.py")):
        for location, block in blocks(
            ast.parse(path.read_text("utf-8")), str(path.relative_to(ZOO))
        ):
            locations[normalized(block)].append(location)
    assert [duplicates for duplicates in locations.values() if len(duplicates) > 1] == []


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("def g(b, a):\n  'Another.'\n  x = a + b\n  x *= 2\n  y = x\n  return y", True),
        ("def g(a, b):\n  x = a + b\n  x *= 2\n  y = x\n  return x", False),
        ("def g(a, b):\n  x = a + b\n  x *= 3\n  y = x\n  return y", False),
    ],
)
def test_duplicates_by_hand(other: str, is_same: bool) -> None:
    one = "def f(v, w):\n  'One.'\n  s = w + v\n  s *= 2\n  r = s\n  return r"
    first, second = (next(blocks(ast.parse(text), ""))[1] for text in (one, other))
    assert (normalized(first) == normalized(second)) is is_same


def blocks(tree: ast.AST, location: str) -> Iterator[tuple[str, Block]]:
    """Every function and class of more than a few statements, with its location."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Block):
            statements = sum(isinstance(each, ast.stmt) for each in ast.walk(node)) - 1
            if statements - (ast.get_docstring(node) is not None) >= SMALLEST:
                yield f"{location}:{node.name}", node
            yield from blocks(node, f"{location}:{node.name}")


class Anonymous(ast.NodeTransformer):
    """Replaces the names that a function or class defines by numbers, and drops docstrings."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        annotation = self.visit(node.annotation) if node.annotation else None
        return ast.arg(self._names[node.arg], annotation)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, Block):
            node.name = self._names.get(node.name, node.name)
            node.body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        return node


def normalized(block: Block) -> str:
    """The syntax tree as text, without what may differ; fields and methods keep their names."""
    names: dict[str, str] = {block.name: "itself"}
    functions = [node for node in ast.walk(block) if isinstance(node, ast.FunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.arg):
            names.setdefault(node.arg, f"name {len(names)}")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, f"name {len(names)}")
    copy = ast.parse(ast.unparse(block)).body[0]
    return ast.dump(Anonymous(names).visit(copy))
