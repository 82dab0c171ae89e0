"""The tables of public models in the documentation are what their script writes."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_zoo.catalogue.public import DATASETS, public_models
from model_zoo.catalogue.scores import CardScore

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """To write the tables: python docs/models/public_table.py."""
    return runpy.run_path(str(ROOT / "docs/models/public_table.py"))


def test_the_tables_in_the_documentation_are_up_to_date(script: dict[str, Any]) -> None:
    page = script["PAGE"].read_text("utf-8")
    assert script["with_table"](page) == page
    assert page.count("| `htdemucs` |") == 1


def test_scores_on_all_data_have_a_letter_that_the_page_explains(script: dict[str, Any]) -> None:
    """By hand: letters in the order of the ranks, from a to f."""
    page, model = script["PAGE"].read_text("utf-8"), public_models()["umxhq"]
    for letter, name in zip("abcdef", DATASETS, strict=True):
        score = CardScore(name, "vocals", "SDR", "", 6.2)
        assert script["score"](replace(model, scores=(score,))) == f"vocals 6.2 {letter}"
        assert f"{letter} = " in page
