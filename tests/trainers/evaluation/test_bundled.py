"""Table of bundled models in docs/results.md. Truth: their cards, by ``stem eval --store``."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.catalogue.cards import BUNDLED, Card
from stemcli.cli.formatting import size

RESULTS = Path(__file__).parents[3] / "docs" / "results.md"
STEMS = ("vocals", "accompaniment")


def row(card: Card) -> str:
    """As docs/results.md has it."""
    values = {(score.stem, score.metric): f"{score.value:.2f}" for score in card.scores}
    scores = [f"{values[stem, 'SDR']} / {values[stem, 'global SDR']}" for stem in STEMS]
    (speed,) = card.speeds
    work = f"{speed.times_real_time:.1f} | {size(speed.memory)} | {speed.start_seconds:.1f} s"
    return f"| `{card.name}` | {scores[0]} | {scores[1]} | {work} |"


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_bundled_model_has_its_scores_and_its_speed_in_the_results(path: Path) -> None:
    card = Card.from_toml(path)
    assert row(card) in RESULTS.read_text(encoding="utf-8").splitlines()
    assert all("BSSEval" in each.definition for each in card.scores if each.metric == "SDR")
    assert {each.dataset for each in card.scores} == {"Sodium in the form of MUSDB18-HQ test"}
