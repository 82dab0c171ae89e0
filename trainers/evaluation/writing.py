"""What an evaluation leaves behind, beside the scores of each song."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_zoo.files import staged
from trainers.evaluation.scores import TrackScores
from trainers.evaluation.summary import Row, songs_csv, summary_document

SUMMARY, SONGS = "summary.json", "songs.csv"


def write_summary(
    output: Path,
    rows: list[Row],
    scores: Mapping[str, Mapping[str, TrackScores]],
    rules: Mapping[str, Any],
) -> None:
    """``summary.json`` and ``songs.csv``; each is complete or as it was.

    Raises:
        OutputError: they cannot be written.
    """
    texts = {
        SUMMARY: json.dumps(summary_document(rows, rules), indent=2) + "\n",
        SONGS: songs_csv(scores),
    }
    for name, text in texts.items():
        with staged(output / name) as place:
            place.write_text(text, encoding="utf-8")
