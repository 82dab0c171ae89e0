"""Batch reports: sums worked by hand, files read back with the standard library."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from model_zoo.errors import OutputError
from stemcli.batch.report import CSV_COLUMNS, BatchReport, TrackReport, check_report

REPORT = BatchReport(
    (
        TrackReport(
            "a, b.mp3",
            "done",
            "",
            {"vocals": "out/a/v.wav", "rest": "o/r.wav"},
            60.0,
            15.0,
            picture="out/a/spectrograms.png",
        ),
        TrackReport("b.mp3", "failed", 'it said "no"', {}, 0.0, 1.0, "Traceback ..."),
        TrackReport(
            "c.mp3",
            "skipped",
            "all stems exist",
            {"vocals": "out/c/v.wav"},
            notices=("it ends early", "it has no tags"),
        ),
    ),
    wall_seconds=20.0,
)


def test_sums() -> None:
    values = REPORT.to_dict()
    assert (values["done"], values["failed"], values["skipped"]) == (1, 1, 1)
    assert (values["audio_seconds"], values["speed"]) == (60.0, 3.0)
    assert [track.song for track in REPORT.failures] == ["b.mp3"]


def test_json_report_is_read_back(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written == json.loads(json.dumps(REPORT.to_dict()))
    assert [track["picture"] for track in written["tracks"]] == [
        "out/a/spectrograms.png",
        None,
        None,
    ]
    assert written["tracks"][2]["notices"] == ["it ends early", "it has no tags"]


def test_csv_report_is_read_back(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "report.CSV")
    with (tmp_path / "report.CSV").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    files = ["out/a/v.wav | o/r.wav", "", "out/a/spectrograms.png"]
    assert rows[1] == ["a, b.mp3", "done", "", "60.000", "15.000", *files]
    assert [row[7] for row in rows[2:]] == ["", ""]
    assert rows[3][6] == "it ends early | it has no tags"
    assert rows[2][2] == 'it said "no"'


def test_csv_report_for_excel(tmp_path: Path) -> None:
    """Without the byte order mark EF BB BF, Excel reads CSV in the code page of the system."""
    report = BatchReport((TrackReport("Björk.mp3", "done", "", {}),), 1.0)
    for name in ("report.csv", "report.json"):
        report.write(tmp_path / name)
    written = (tmp_path / "report.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfsong,outcome,")
    assert "\nBjörk.mp3,done,".encode() in written.replace(b"\r\n", b"\n")
    assert (tmp_path / "report.json").read_bytes().startswith(b"{")


def test_an_undecodable_name_does_not_lose_the_report(tmp_path: Path) -> None:
    report = BatchReport((TrackReport("\udcff.mp3", "failed", "bad", {}),), 1.0)
    report.write(tmp_path / "report.csv")
    assert "\\udcff.mp3,failed" in (tmp_path / "report.csv").read_text()


@pytest.mark.parametrize(
    ("name", "sentence"), [("", "is a folder"), ("no/r.csv", "does not exist")]
)
def test_an_invalid_report_path_is_refused_before_work(
    tmp_path: Path, name: str, sentence: str
) -> None:
    with pytest.raises(OutputError, match=sentence):
        check_report(tmp_path / name)


def test_an_unwritable_folder_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="is not writable"):
        check_report(tmp_path / "r.csv")
