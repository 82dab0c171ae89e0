"""Tables and trees in terminals of any width.

Properties: no line is wider than the terminal, and no word of the content is broken.
"""

from __future__ import annotations

import io

import pytest
from rich.console import Console as Terminal

from model_zoo.introspection import LayerInfo
from stemcli.cli import console
from stemcli.cli.console import LONGEST_WORD, HumanConsole
from stemcli.cli.models_info import tree

INNER = LayerInfo("att_norm_of_all", "MultichannelLayerNorm", (1, 2, 801), (), 2048)
BLOCK = LayerInfo("0-11", "RoFormerBlock", (257, 64), ("batch", "feature"), 748_224, 12, (INNER,))
LAST = LayerInfo("last", "TransformerDecoderLayer", (1, 801), (), 12, 1, (INNER,))
ROOT = LayerInfo("", "MelRoFormer", (1, 1, 409_600), ("batch", "stem", "time"), 9, 1, (BLOCK, LAST))

COLUMNS = ("=name", ">size", "purpose of it", "=class")
ROWS = [
    (
        "a name with 28 letters in it",
        "12,345",
        "as long a sentence as one cell has",
        "RoFormerBlock",
    ),
    ("b", "7", "short", "MultichannelLayerNorm"),
]
CHECKSUM = "0123456789abcdef" * 4

WIDTHS = [40, 50, 60, 70, 78, 79, 80, 90, 96, 97, 98, 100, 120]


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drawing:
    return Drawing(monkeypatch, capsys)


class Drawing:
    """Draws in a terminal of the given width and returns the lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def _resize(self, width: int) -> HumanConsole:
        screen = Terminal(width=width, file=io.StringIO(), markup=False, highlight=False)
        self.monkeypatch.setattr(console, "terminal_of", lambda stream: screen)
        return HumanConsole()

    def table(
        self, width: int, columns: tuple[str, ...] = COLUMNS, rows: list[tuple[str, ...]] = ROWS
    ) -> list[str]:
        self._resize(width).table(columns, rows)
        return self.capsys.readouterr().out.splitlines()

    def tree(self, width: int, depth: int) -> list[str]:
        self._resize(width).draw(tree(ROOT, depth))
        return self.capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_names_are_not_broken(drawing: Drawing, width: int) -> None:
    lines = drawing.table(width)
    assert max(map(len, lines)) <= width
    words = {word.strip(";:") for line in lines for word in line.split()}
    for cell in (cell for row in ROWS for cell in row):
        assert {*cell.split()} <= words


def test_a_table_as_wide_as_its_terminal(drawing: Drawing) -> None:
    """By hand: columns of 28, 6, 34 and 21 with three gaps of 3 take 98."""
    assert drawing.table(98) == [
        "name                             size   purpose of it                        class",
        "a name with 28 letters in it   12,345   as long a sentence as one cell has   "
        "RoFormerBlock",
        "b                                   7   short                                "
        "MultichannelLayerNorm",
    ]


def test_the_longest_column_is_wrapped(drawing: Drawing) -> None:
    """By hand: it gets 16 columns if there are just 80."""
    assert drawing.table(80) == [
        "name                             size   purpose of it      class",
        "a name with 28 letters in it   12,345   as long a          RoFormerBlock",
        "                                        sentence as one",
        "                                        cell has",
        "b                                   7   short              MultichannelLayerNorm",
    ]


def test_in_a_narrow_terminal_cells_are_below_the_name(drawing: Drawing) -> None:
    """By hand: one column less than the table needs is available."""
    assert drawing.table(79) == [
        "a name with 28 letters in it",
        "   size: 12,345; purpose of it: as long a sentence as one cell has; class:",
        "   RoFormerBlock",
        "b",
        "   size: 7; purpose of it: short; class: MultichannelLayerNorm",
    ]


def test_a_number_in_the_first_column_keeps_its_title(drawing: Drawing) -> None:
    columns = (">done", ">failed", ">music")
    assert drawing.table(15, columns, [("12", "0", "0:06")]) == [
        "done: 12",
        "   failed: 0;",
        "   music: 0:06",
    ]


def test_checksums_are_wrapped(drawing: Drawing) -> None:
    """They have no spaces, so they break anywhere; cards stay tables at common widths."""
    lines = drawing.table(60, ("=card", ""), [("sha256", CHECKSUM), ("file", "a.safetensors")])
    assert lines[0] == "card"
    assert [line[9:] for line in lines[1:3]] == [CHECKSUM[:51], CHECKSUM[51:]]
    (narrowest,) = [
        width
        for width in (38, 39)
        if drawing.table(width, ("=card", ""), [("sha256", CHECKSUM)])[0] == "card"
    ]
    assert narrowest == len("sha256") + 3 + LONGEST_WORD


def test_an_empty_cell_has_no_line(drawing: Drawing) -> None:
    assert drawing.table(10, ("=card", ""), [("architecture", "")]) == ["architectu", "re"]


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("width", WIDTHS)
def test_trees_fit_and_show_the_total(drawing: Drawing, width: int, depth: int) -> None:
    lines = drawing.tree(width, depth)
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    expected = "MelRoFormer (stem 409600) 9 parameters"
    if depth:
        expected += " 0-11 x12 RoFormerBlock 62,352 last TransformerDecoderLayer 12"
    if depth > 1:
        expected += " att_norm_of_all MultichannelLayerNorm 2,048"
    assert {*expected.split()} <= words


def test_a_tree_by_hand(drawing: Drawing) -> None:
    assert drawing.tree(60, 3) == [
        "MelRoFormer  (stem 1, time 409600)  9 parameters",
        "├── 0-11 x12  RoFormerBlock  (batch 257, feature 64)  12 x",
        "│   62,352",
        "│   └── att_norm_of_all  MultichannelLayerNorm  (1 x 2 x",
        "│       801)  2,048",
        "└── last  TransformerDecoderLayer  (1 x 801)  12",
        "    └── att_norm_of_all  MultichannelLayerNorm  (1 x 2 x",
        "        801)  2,048",
    ]


def test_a_very_deep_tree_in_a_very_narrow_terminal(drawing: Drawing) -> None:
    lines = drawing.tree(8, 3)
    assert max(map(len, lines)) <= 8
    assert "9" in "".join(lines)
