"""Names that reverse text, clear a terminal or become a formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from model_zoo import weights
from model_zoo.architectures.melrnn import MelRNN
from tests.hostile.table import Row, song
from tests.model_zoo.blocks.weights import fill
from tests.model_zoo.small import SMALL_CONFIG

OVERRIDE = "\N{RIGHT-TO-LEFT OVERRIDE}"
ESCAPE = "\x1b]0;owned\x07\x1b[2J"
ISOLATE = "\N{RIGHT-TO-LEFT ISOLATE}"
CALL = '=HYPERLINK("http://host/","vocals")'
BATCH = "batch songs --output out --model m.safetensors --precision fp32 --segment 1"


def named_stem(folder: Path, stem: str) -> None:
    """A valid network with a stem of this name."""
    network = fill(MelRNN(**{**SMALL_CONFIG, "stems": (stem,)}))
    weights.save(folder / "m.safetensors", network, {"residual": "rest"})


def named_song(folder: Path, title: str, subfolder: str = "songs/") -> None:
    """A valid network and a song of this name."""
    named_stem(folder, "vocals")
    song(folder, f"{subfolder}{title}.wav")


def unknown_option(folder: Path, option: str) -> None:
    named_stem(folder, "vocals")
    tensors, texts = weights.read_safetensors(folder / "m.safetensors")
    config: dict[str, Any] = json.loads(texts["config"]) | {option: 1}
    texts |= {"config": json.dumps(config)}
    weights.write_safetensors(folder / "m.safetensors", tensors, texts)


def damaged_song(folder: Path, title: str) -> None:
    named_stem(folder, "vocals")
    (folder / "songs" / f"{title}.wav").write_text("no sound")


Make = Callable[[Path], object]
NAMES: dict[str, tuple[Make, int, str]] = {
    "a stem that turns the name around": (
        partial(named_stem, stem=f"voc{OVERRIDE}gpj"),
        0,
        "1 song",
    ),
    "a stem that clears the screen": (partial(named_stem, stem=f"voc{ESCAPE}"), 0, "1 song"),
    "a stem of several lines": (partial(named_stem, stem="voc\nError: all is lost"), 0, "1 song"),
    "a stem that is a formula": (partial(named_stem, stem=CALL), 0, "1 song"),
    "a stem that leaves the folder": (partial(named_stem, stem="../../user/thesis"), 0, "1 song"),
    "a song that turns the line around": (
        partial(named_song, title=f"a{OVERRIDE}3pm"),
        0,
        "2 songs",
    ),
    "a song that clears the screen": (partial(named_song, title=f"b{ESCAPE}"), 0, "2 songs"),
    "a damaged song with an isolate": (partial(damaged_song, title=f"c{ISOLATE}"), 1, "c.*wav"),
    "an option that clears the screen": (partial(unknown_option, option=ESCAPE), 1, "unknown key"),
}
NAMED = [
    Row(kind, make, f"{BATCH} --report report.csv", says, code, stems=2 if "damaged" in kind else 0)
    for kind, (make, code, says) in NAMES.items()
] + [
    Row(
        f"a song that is called {title}",
        partial(named_song, title=title, subfolder=""),
        f"{BATCH.replace('songs', '. --no-recursive')} --report report.csv",
        "1 song",
        0,
    )
    for title in ("=1+2", "-1+2", "@SUM(1)", "+1")
]
