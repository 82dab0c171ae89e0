"""The source tree stays readable: no import cycles, unique class names, short files.

Checked on the syntax trees of the sources.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("model_zoo", "stemcli", "trainers")
LONGEST = 400  # lines

RAY_ADAPTER = "stemcli.cluster.ray_private"

_RETIRED = re.compile(
    "(?:muster|crew|recruiter|roster|whereabouts|weightless|adopt|anatomy|conveyor|tape|letter"
    "|mailbox|hush|shelf|shelves|door|knock|forget_gradients|add_gradient)"
    "(?:s|ed|ion)?"
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def sources() -> dict[str, ast.Module]:
    """The syntax tree of every module, by its dotted name."""
    return {
        _dotted(path): ast.parse(path.read_text("utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(tree: ast.Module, modules: set[str]) -> set[str]:
    """Our modules that this module imports at its top level."""
    names = {name for node in tree.body for name in _imported(node)}
    parents = {name.rpartition(".")[0] for name in names}
    return {name for name in names | parents if name in modules}


def test_there_are_no_import_cycles() -> None:
    trees = sources()
    graph = {name: imports(tree, set(trees)) - {name} for name, tree in trees.items()}
    packages = {name for name in graph if any(other.startswith(f"{name}.") for other in graph)}
    for name, needs in graph.items():
        # A package imports what it re-exports, and its modules may import it. Only the latter
        # makes a cycle, and only if the package has code of its own.
        graph[name] = {each for each in needs if not (each in packages and name.startswith(each))}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from error


def test_no_file_is_long() -> None:
    long = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if len(path.read_text("utf-8").splitlines()) > LONGEST
    }
    assert long == set()


def test_class_names_are_unique() -> None:
    places = defaultdict(set)
    for module, tree in sources().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(module)
    assert {name for name, modules in places.items() if len(modules) > 1} == set()


def test_private_names_of_ray_are_imported_in_one_module() -> None:
    users = {
        module
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in _imported(node)
        if name.startswith("ray.") and is_private(name)
    }
    assert users == {RAY_ADAPTER}


def is_private(name: str) -> bool:
    """Whether a dotted name of Ray has a part outside its public API."""
    return any(part.startswith("_") or part in {"v2", "internal"} for part in name.split("."))


def test_retired_words_are_in_no_name() -> None:
    """Words that nobody would search for were replaced by the field's words."""
    retired = {
        word
        for module, tree in sources().items()
        for name in [*module.split("."), *_names(tree)]
        for word in [name, *map(str.lower, _WORDS.findall(name))]
        if _RETIRED.fullmatch(word)
    }
    assert retired == set()


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_first_lines_of_modules_are_not_questions() -> None:
    """The first line of a module's docstring must not start with a question word."""
    riddles = {
        name
        for name, tree in sources().items()
        if re.match(r"(?:What|Who|Whoever|Whether|How|Where)\b", ast.get_docstring(tree) or "")
    }
    assert riddles == set()
