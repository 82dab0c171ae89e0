"""Models, cards and checkpoints from strangers: one error message, in bounded time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.checkpoints import BOMBS, TENSORFLOW
from tests.hostile.discriminators import DISCRIMINATORS
from tests.hostile.models import CARDS, PICKLES, RECIPES, SUMMARIES, WEIGHTS
from tests.hostile.table import Row, attack, params


@pytest.mark.parametrize("row", params(TENSORFLOW + BOMBS))
def test_a_malicious_checkpoint_is_refused(row: Row, tmp_path: Path) -> None:
    attack(row, tmp_path)


@pytest.mark.parametrize("row", params(DISCRIMINATORS))
def test_malicious_discriminators_are_refused(row: Row, tmp_path: Path) -> None:
    attack(row, tmp_path)


@pytest.mark.parametrize("row", params(WEIGHTS + CARDS + SUMMARIES + PICKLES + RECIPES))
def test_a_malicious_model_is_refused(row: Row, tmp_path: Path) -> None:
    attack(row, tmp_path)
