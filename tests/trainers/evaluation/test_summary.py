"""Summaries of scores, against medians and means by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.errors import DecodeError, UsageError
from trainers.evaluation.comparison import compare, read_runs
from trainers.evaluation.metric_table import METRICS
from trainers.evaluation.scoring import StemScores, TrackScores, load_scores
from trainers.evaluation.summary import (
    published,
    song_value,
    songs_csv,
    summarize,
    summary_document,
)

NAN = math.nan


def song(name: str, sdr: list[float], global_sdr: float, stem: str = "vocals") -> TrackScores:
    frames = {"SDR": sdr, "ISR": sdr, "SIR": [NAN] * len(sdr), "SAR": [7.0] * len(sdr)}
    scores = StemScores(stem, frames, {"global_sdr": global_sdr, "si_sdr": global_sdr - 1})
    return TrackScores(name, 1.0, 1.0, (scores,))


SONGS = {
    "a": song("a", [1.0, NAN, 5.0, 4.0], 3.0),  # median 4
    "b": song("b", [2.0, 6.0], 8.0),  # median 4, the mean of the two in the middle
    "c": song("c", [math.inf, 9.0, NAN], NAN),  # median 9; museval treats infinity as NaN
    "d": song("d", [NAN], 1.0),  # no median
}


def test_medians_over_windows_and_songs_and_means_over_songs() -> None:
    (row,) = summarize({"mine": SONGS})
    assert (row.method, row.stem) == ("mine", "vocals")
    assert row.values["SDR"] == 4.0
    assert row.values["SAR"] == 7.0
    assert math.isnan(row.values["SIR"])
    assert row.values["global_sdr"] == 4.0  # (3 + 8 + 1) / 3
    assert row.values["si_sdr"] == 3.0


def test_songs_are_counted_for_every_metric() -> None:
    """d has no window with an SDR, c no global SDR, and no song an SIR."""
    (row,) = summarize({"mine": SONGS})
    assert row.songs == dict(SDR=3, ISR=3, SIR=0, SAR=4, global_sdr=3, si_sdr=3)
    assert row.counted == "0 to 4"
    (row,) = summarize({"mine": {"z": song("z", [1.0], 1.0, "bass")}})
    assert row.songs["SDR"] == 1


def test_a_song_without_a_stem_has_no_score() -> None:
    assert math.isnan(song_value(SONGS["a"], "drums", "SDR"))
    assert song_value(SONGS["c"], "vocals", "SDR") == 9.0


def test_the_document_has_null_for_missing_values() -> None:
    document = json.loads(json.dumps(summary_document(summarize({"mine": SONGS}), {"window": 1})))
    assert document["rows"][0]["values"]["SIR"] is None
    assert document["metrics"]["SDR"]["how"] == "median over windows, then over songs"
    assert document["metrics"]["global_sdr"]["title"] == "global SDR"


def test_the_table_of_songs() -> None:
    rows = [*csv.DictReader(songs_csv({"mine": SONGS}).splitlines())]
    assert [row["song"] for row in rows] == ["a", "b", "c", "d"]
    assert (rows[0]["SDR"], rows[0]["SIR"], rows[2]["global_sdr"]) == ("4.00000", "", "")


def test_scores_on_disk_equal_those_in_memory(tmp_path: Path) -> None:
    """Infinity becomes NaN, as in museval."""
    rounded = tuple(stem.rounded() for stem in SONGS["c"].stems)
    replace(SONGS["c"], stems=rounded).save(tmp_path / "c.json")
    read = load_scores(tmp_path / "c.json")
    assert math.isnan(read.stems[0].frames["SDR"][0])
    assert read.stems[0].frames["SDR"][1] == 9.0
    assert (read.track, read.window, read.hop) == ("c", 1.0, 1.0)


def test_published_scores_name_kind_and_source() -> None:
    figures = published()
    assert {figure.kind for figure in figures} == {"median", "mean"}
    assert all(
        {"vocals"} < {*figure.sdr} <= {"vocals", "drums", "bass", "other"} for figure in figures
    )
    assert all("http" in figure.source or "arXiv" in figure.source for figure in figures)


def save_scores(
    folder: Path, name: str, songs: dict[str, TrackScores], **provenance: object
) -> Path:
    for title, scores in songs.items():
        file = folder / name / "test" / f"{title}.json"
        replace(scores, provenance=provenance).save(file)
    return folder


GLOBAL = next(metric for metric in METRICS if metric.key == "global_sdr")


def test_differences_by_hand(tmp_path: Path) -> None:
    """Change over the common songs: (3, 8) against (4, 7), the same mean, one better.

    The value of the first run is that of its own table: (3 + 8 + 1) / 3.
    """
    one = save_scores(tmp_path / "one", "mine", SONGS)
    theirs = {"a": song("a", [1.0], 4.0), "b": song("b", [1.0], 7.0)}
    other = save_scores(tmp_path / "other", "theirs", theirs)
    first, second = compare(read_runs([one, other]), GLOBAL)
    assert (first.method, second.method) == ("mine", "theirs")
    assert math.isnan(first.change)
    assert (first.value, first.songs) == (4.0, 3)
    assert (second.value, second.change, second.better, second.shared) == (5.5, 0.0, 1, 2)


def test_the_p_value_of_a_difference(tmp_path: Path) -> None:
    """Six songs, all better: both tails of 1 / 2^6 (Wilcoxon's exact table) are 0.03125."""
    songs = {str(number): song(str(number), [1.0], number) for number in range(6)}
    better = {name: song(name, [1.0], 1.5 * int(name) + 1) for name in songs}
    runs = read_runs(
        [save_scores(tmp_path / "one", "a", songs), save_scores(tmp_path / "two", "b", better)]
    )
    _, second = compare(runs, GLOBAL)
    assert (second.better, second.chance) == (6, pytest.approx(0.03125))


def test_equal_names_in_two_runs(tmp_path: Path) -> None:
    """Models get the names of their runs; oracles that are equal in all appear once, last."""
    for run in ("one", "two"):
        save_scores(tmp_path / run, "a mixture", SONGS, method={"oracle": "mixture"})
        save_scores(tmp_path / run, "mine", SONGS)
    names = [*read_runs([tmp_path / "one", tmp_path / "two"])]
    assert names == [f"{tmp_path}/one/mine", f"{tmp_path}/two/mine", "a mixture"]


def test_the_current_folder_can_be_a_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(save_scores(tmp_path / "one", "mine", SONGS) / "mine")
    assert [*read_runs([Path()])] == ["mine"]


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "empty" / "mine" / "test").mkdir(parents=True)
    for folder in (tmp_path / "empty", tmp_path / "empty" / "mine"):
        with pytest.raises(
            UsageError, match=f"{folder} has no scores. Use the --output folder of stem eval musdb"
        ):
            read_runs([folder])
    one = save_scores(tmp_path / "one", "mine", SONGS)
    longer = {"a": TrackScores("a", 10.0, 10.0, SONGS["a"].stems)}
    with pytest.raises(UsageError, match="Windows of 1 s, 10 s cannot be compared"):
        read_runs([one, save_scores(tmp_path / "two", "mine", longer)])
    (one / "mine" / "test" / "a.json").write_text("{}")
    with pytest.raises(DecodeError, match=r"a\.json is not a valid score file"):
        read_runs([one])
