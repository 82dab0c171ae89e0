"""The table of public models in the documentation is what its script writes from the catalogue."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_table_in_the_documentation_is_up_to_date() -> None:
    """To write it: python docs/models/public_table.py."""
    script = runpy.run_path(str(ROOT / "docs/models/public_table.py"))
    page = script["PAGE"].read_text("utf-8")
    assert script["with_table"](page) == page
    assert page.count("| `htdemucs` |") == 1
