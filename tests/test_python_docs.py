"""Every Python block of ``docs/python.md`` runs, one after the other as in one program.

Reference: the assertions in the blocks themselves, and the options of :class:`stemcli.Options`.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import soundfile

import stemcli
from stemcli.engine.options import OptionFields

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/python.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.slow
def test_every_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The song is three seconds of the demo; the config of the training loop is on the page."""
    monkeypatch.chdir(tmp_path)
    wave, rate = soundfile.read(ROOT / "docs/demo/real/song.flac", frames=3 * 44100)
    soundfile.write("song.flac", wave, rate)
    (config,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)
    Path("my_model").mkdir()
    Path("my_model/config.json").write_text(json.dumps(json.loads(config)))
    names: dict[str, object] = {"__name__": "page"}
    assert len(BLOCKS) == 8
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("stems/song/vocals.flac\n")
    assert "separating: 100%" in printed
    assert "shifts must be at least 1, found 0; depth must be one of 'auto'" in printed
    assert Path("my_model/checkpoint").is_dir()


def test_public_names_are_on_the_page() -> None:
    for name in [*stemcli.__all__, "__version__"]:
        assert re.search(rf"\b{name}\b", PAGE), name


def test_options_are_on_the_page() -> None:
    """Each field stands in the table; the keyword arguments are typed as the same fields."""
    table = PAGE[PAGE.index("| field |") : PAGE.index("## Errors")]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    named = {
        name for row in rows for cell in (row[1], row[3]) for name in re.findall(r"`(\w+)`", cell)
    }
    known = {field.name for field in fields(stemcli.Options)}
    assert named == known == OptionFields.__annotations__.keys()
