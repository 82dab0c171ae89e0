"""Tables in terminals of any width.

Truth: no line is wider than the terminal, and every word of the table is found whole.
"""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console as Terminal

from model_zoo.introspection import LayerInfo
from stemcli.cli import tables
from stemcli.cli.drawing import COLUMNS, rows

INNER = LayerInfo("att_norm_of_all", "MultichannelLayerNorm", (1, 2, 801), (), 2048)
BLOCK = LayerInfo("0-11", "RoFormerBlock", (257, 64), ("batch", "feature"), 748_224, 12, (INNER,))
LAST = LayerInfo("last", "TransformerDecoderLayer", (1, 801), (), 12, 1, (INNER,))
ROOT = LayerInfo("", "MelRoFormer", (1, 1, 409_600), ("batch", "stem", "time"), 9, 1, (BLOCK, LAST))


def printed(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    screen = Terminal(width=width, file=io.StringIO(), markup=False, highlight=False)
    monkeypatch.setattr(tables, "terminal_of", lambda stream: screen)
    tables.print_table(COLUMNS, [*rows(ROOT, 3)], sys.stdout)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 90, 100, 120])
def test_names_stay_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(width, monkeypatch, capsys)
    assert max(map(len, lines)) <= width
    words = {word.strip(";,") for line in lines for word in line.split()}
    for cell in (cell for row in rows(ROOT, 3) for cell in row):
        assert {word.strip(",") for word in cell.split()} <= words


def test_a_narrow_terminal_has_the_cells_of_a_row_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand; the lines of the tree go on."""
    assert printed(60, monkeypatch, capsys) == [
        "MelRoFormer",
        "   gives: stem 1, time 409600; parameters: 9",
        "├─ 0-11 x12",
        "│     class: RoFormerBlock; gives: batch 257, feature 64;",
        "│     parameters: 12 x 62,352",
        "│  └─ att_norm_of_all",
        "│        class: MultichannelLayerNorm; gives: 1 x 2 x 801;",
        "│        parameters: 2,048",
        "└─ last",
        "      class: TransformerDecoderLayer; gives: 1 x 801;",
        "      parameters: 12",
        "   └─ att_norm_of_all",
        "         class: MultichannelLayerNorm; gives: 1 x 2 x 801;",
        "         parameters: 2,048",
    ]


@pytest.mark.parametrize(
    ("width", "widths"), [(43, [4, 30, 3]), (42, [4, 29, 3]), (29, [4, 16, 3]), (28, None)]
)
def test_widths_by_hand(width: int, widths: list[int] | None) -> None:
    """Three columns have two gaps of 3; only the second may be folded, into 16 or more."""
    cells = ("name", "thirty letters in several word", "one")
    assert tables.fitted(("=a", "b", "=c"), [cells], width) == widths
