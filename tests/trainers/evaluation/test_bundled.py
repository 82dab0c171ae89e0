"""The table of bundled models in docs/results.md. Reference: the scores stored in their cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.catalogue.cards import BUNDLED, Card
from stemcli.cli.formatting import size

RESULTS = Path(__file__).parents[3] / "docs" / "results.md"
STEMS = ("vocals", "accompaniment")


def expected_row(card: Card) -> str:
    """The row of a model in docs/results.md."""
    values = {(score.stem, score.metric): f"{score.value:.2f}" for score in card.scores}
    scores = [f"{values[stem, 'SDR']} / {values[stem, 'global SDR']}" for stem in STEMS]
    (speed,) = card.speeds
    speed_columns = (
        f"{speed.times_real_time:.1f} | {size(speed.memory)} | {speed.start_seconds:.1f} s"
    )
    return f"| `{card.name}` | {scores[0]} | {scores[1]} | {speed_columns} |"


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.toml")), ids=lambda path: path.stem)
def test_results_list_scores_and_speed_of_every_bundled_model(path: Path) -> None:
    card = Card.from_toml(path)
    assert expected_row(card) in RESULTS.read_text(encoding="utf-8").splitlines()
    assert all("BSSEval" in record.definition for record in card.scores if record.metric == "SDR")
    assert {record.dataset for record in card.scores} == {"Sodium in the form of MUSDB18-HQ test"}
