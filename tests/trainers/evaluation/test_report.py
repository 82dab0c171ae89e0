"""The HTML report of an evaluation: its numbers equal the files, and it is self-contained.

With ``-m browser`` it is opened in Debian's Chromium.
"""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stemcli.plots import to_png
from tests.browser import browser
from tests.trainers.evaluation.songs import RATE, LeakingMethod, NoiseTrack
from trainers.data.multitrack import loudest
from trainers.evaluation.evaluate import Evaluation, ScoringSettings
from trainers.evaluation.folder import SECONDS, Excerpt, spread
from trainers.evaluation.methods import MixtureMethod
from trainers.evaluation.report import boxes, curves
from trainers.evaluation.results import Heading, write_results
from trainers.evaluation.summary import METRICS, published
from trainers.plots import spectrograms

NAMES = ['A <b>& "B"', "Plain", "Zwölf"]


class Tables(HTMLParser):
    """Cells of all tables by table id, and the text of the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.script = ""
        self._table = self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "table":
            self._table = dict(attributes)["id"] or ""
            self.rows[self._table] = []
        if tag == "tr":
            self.rows[self._table].append([])
        if tag in ("td", "th"):
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag in ("td", "th"):
            self.rows[self._table][-1][-1] += data
        if self._tag == "script":
            self.script += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three songs of eight seconds, with two methods and the mixture."""
    output = tmp_path_factory.mktemp("scores")
    tracks = [NoiseTrack(name, 10 * number, 8.0) for number, name in enumerate(NAMES)]
    methods = [LeakingMethod(), LeakingMethod("worse $x_$ <!--<script>", 0.5), MixtureMethod()]
    evaluation = Evaluation(tracks, methods, ScoringSettings(window=0.5), output, pieces=2)  # type: ignore[arg-type]
    evaluation.run()
    return write_results(evaluation, Heading("Noise & more", "three songs", published()))


@pytest.fixture(scope="module")
def tables(page: Path) -> Tables:
    return Tables(page.read_text(encoding="utf-8"))


def formatted(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def test_scores_equal_the_summary(page: Path, tables: Tables) -> None:
    document = json.loads((page.parent / "summary.json").read_text())
    expected = {
        (row["stem"], row["method"], *(formatted(row["values"][each.key]) for each in METRICS), "3")
        for row in document["rows"]
    }
    assert {tuple(row) for row in tables.rows["scores"][2:]} == expected
    assert json.loads(tables.script) == document


def test_the_table_of_songs_is_complete(page: Path, tables: Tables) -> None:
    """The same rows as in songs.csv."""
    table = (page.parent / "songs.csv").read_text(encoding="utf-8")
    assert table.startswith("\ufeffmethod,song,stem,")  # Excel needs the byte order mark
    lines = table.count("\n") - 1
    assert lines == len(tables.rows["songs"]) - 1 == 3 * 3 * 2
    assert {row[0] for row in tables.rows["songs"][1:]} == {*NAMES}


def test_the_report_is_self_contained(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', text))
    assert not re.search(r"@import|url\((?!#)|<link|fetch\(", text)


def test_published_scores_show_their_metric(tables: Tables) -> None:
    header, *rows = tables.rows["published"]
    assert header == ["system", "metric", "vocals", "source"]
    assert [row[:3] for row in rows] == [
        [each.name, "SDR" if each.kind == "median" else "global SDR", formatted(each.sdr["vocals"])]
        for each in published()
    ]


def test_excerpts_are_spread_over_all_songs() -> None:
    names = [*"abcdefg"]
    assert spread(names, 3) == ["a", "d", "g"]
    assert spread(names, 1) == ["a"]
    assert spread(names, 0) == []
    assert spread(names, 9) == names


def test_an_excerpt_is_where_all_stems_are_audible() -> None:
    """One stem is audible in seconds 0 to 12, the other in 6 to 20: both are in 6 to 12."""
    one, other = torch.ones(2, 1, 20 * RATE)
    one[:, 12 * RATE :] = 0
    other[:, : 6 * RATE] = 0
    length = round(SECONDS * RATE)
    for step in (1, RATE):
        found = loudest([one, other], length, step)
        assert (len(found), found.stop <= 12 * RATE + length) == (length, True)
    assert loudest([one, other], length, RATE) == range(6 * RATE, 6 * RATE + length)
    assert loudest([one[:, :RATE]], length) == range(RATE)


def test_missing_excerpts_are_rendered_again(tmp_path: Path) -> None:
    tracks = [NoiseTrack("one"), NoiseTrack("two", 5)]
    Evaluation(tracks, [LeakingMethod()], ScoringSettings(), tmp_path, pieces=0).run()
    again = LeakingMethod()
    evaluation = Evaluation(tracks, [again], ScoringSettings(), tmp_path, pieces=1)
    evaluation.run()
    assert again.calls == ["one"]
    excerpt = load_excerpt(evaluation)
    assert {*excerpt.truth} == {"mixture", "vocals", "accompaniment"}
    assert {*excerpt.estimates["leaking"]} == {"vocals", "accompaniment"}
    audio = tracks[0].load()
    kept = excerpt.estimates["leaking"]["vocals"] - 0.1 * audio.references["accompaniment"]
    torch.testing.assert_close(kept, audio.references["vocals"], atol=1e-4, rtol=0)


def load_excerpt(evaluation: Evaluation) -> Excerpt:
    """The excerpt of the song "one" that belongs to its scores."""
    provenance = evaluation.results.scores["leaking"]["one"].provenance
    excerpt = evaluation.excerpts.load("one", {"leaking": provenance, "nobody": {}})
    assert excerpt
    return excerpt


def test_excerpts_belong_to_the_current_scores(tmp_path: Path) -> None:
    """New scores are not shown with excerpts of earlier estimates or true stems."""
    for share, seed, pieces in ((0.1, 0, 1), (0.9, 5, 0), (0.9, 5, 1)):
        track = NoiseTrack("one", seed)
        evaluation = Evaluation(
            [track], [LeakingMethod(share=share)], ScoringSettings(), tmp_path, pieces
        )
        evaluation.run()
    excerpt, audio = load_excerpt(evaluation), track.load()
    torch.testing.assert_close(excerpt.truth["mixture"], audio.mixture, atol=1e-4, rtol=0)
    error = excerpt.estimates["leaking"]["vocals"] - audio.references["vocals"]
    torch.testing.assert_close(error, 0.9 * audio.references["accompaniment"], atol=1e-4, rtol=0)
    assert evaluation.excerpts.load("one", {"leaking": {"share": 0.1}}) is None


def test_missing_values_are_not_drawn() -> None:
    """A NaN leaves a gap, so the path begins twice; without any number there is no path."""
    (line,) = paths(curves("SDR", 1.0, {"a": [1.0, 2.0, math.nan, 3.0, 4.0]}))
    assert line.count("M") == 2
    for no_numbers in ([math.nan, math.inf], []):
        assert not paths(curves("SDR", 1.0, {"a": no_numbers}))
    numbers = [1.0, 2.0, 3.0, 9.0]
    with_values, without_values = (
        boxes("SDR", {"a": {"vocals": values}}, ["vocals"]) for values in (numbers, [math.nan])
    )
    assert len(paths(with_values)) > len(paths(without_values)) == 0
    assert ">vocals<" in without_values


def paths(drawn: str) -> list[str]:
    """Paths of the lines of methods: all clipped paths except the gray grid."""
    return re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="(?!.*#b0b0b0)', drawn)


def test_characters_missing_from_our_font_are_kept() -> None:
    """The browser's font draws them; matplotlib would warn, and warnings are errors here."""
    assert "\N{GUITAR}" in boxes("SDR", {"\N{GUITAR}": {"vocals": [1.0]}}, ["vocals"])
    figure = spectrograms({"\N{GUITAR}": np.zeros((1, 100), np.float32)}, RATE)
    assert to_png(figure).startswith(b"\x89PNG")


def test_a_box_plot_names_its_stems_and_methods() -> None:
    drawn = boxes("SDR (BSSEval v4)", {"mine": {"vocals": [1.0, 2.0, 3.0]}}, ["vocals"])
    assert all(f">{word}<" in drawn for word in ("mine", "vocals", "SDR (BSSEval v4)", "dB"))


PLAY = """
Promise.all([...document.querySelectorAll("audio")].map(async audio => {
  audio.muted = true;
  await audio.play();
  while (audio.currentTime < 0.05) await new Promise(done => setTimeout(done, 20));
  audio.pause();
  return [audio.duration, audio.currentTime];
}))
"""
SCORE_CELLS = """
[...document.querySelectorAll("#scores tbody tr")].map(
  row => [...row.cells].map(cell => cell.innerText))
"""
WIDTHS = """
[...document.querySelectorAll("figure > *")].map(one => one.getBoundingClientRect().width)
"""


@pytest.mark.browser
def test_a_browser_opens_and_plays_the_report_offline(
    page: Path, tmp_path: Path, tables: Tables
) -> None:
    """Two songs, each with the mixture, two true stems, and two estimates and errors per stem."""
    with browser(tmp_path) as page_in_browser:
        page_in_browser.open(page.as_uri())
        played: list[list[Any]] = page_in_browser.evaluate(PLAY)
        assert len(played) == 2 * (1 + 2 + 8)
        assert all(duration == pytest.approx(SECONDS, abs=0.1) for duration, _ in played)
        assert all(reached > 0 for _, reached in played)
        assert page_in_browser.evaluate(SCORE_CELLS) == tables.rows["scores"][2:]
        widths = page_in_browser.evaluate(WIDTHS)
        assert len(widths) == len(METRICS) + 2 * 2 * (1 + 2)
        assert min(widths) > 300
        schemes = {address.partition(":")[0] for address in page_in_browser.requested}
        assert schemes <= {"file", "data"}
