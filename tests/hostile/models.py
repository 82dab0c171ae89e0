"""Malicious models, cards, checkpoints and recipes."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from model_zoo import registry, weights
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import put
from tests.hostile.table import Row
from tests.model_zoo.small import small_network

MODEL = "m.safetensors"
SEPARATE = f"separate songs/a.wav --model {MODEL} --output made"
ADD = f"models add {MODEL} --name mine"
INFO = f"models info {MODEL}"
CONVERT = "models convert Guitar.pth --name mine"
TOO_LONG = "9" * 5000
"""Python does not parse integers of more than 4300 digits."""

DEEP = "[" * 100_000
BACKSLASH = "\\"


def safetensors(path: Path, header: bytes, size: int = 0) -> None:
    """Write a file with a header and ``size`` sparse bytes of tensors."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)


def asking(architecture: str, options: dict[str, Any] | str, folder: Path) -> None:
    """A file with a single number whose config describes a large network."""
    default = registry.architecture(architecture).Config().to_dict()
    config = options if isinstance(options, str) else json.dumps(default | options)
    texts = {"architecture": architecture, "config": config}
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": texts, "x": tensor}).encode()
    safetensors(folder / MODEL, header, 4)


def altered(folder: Path, **options: Any) -> None:
    """A valid network except for these values of its config."""
    weights.save(folder / MODEL, small_network())
    tensors, texts = weights.read_safetensors(folder / MODEL)
    config = json.loads(texts["config"]) | options
    weights.write_safetensors(folder / MODEL, tensors, texts | {"config": json.dumps(config)})


def many_entries(folder: Path) -> None:
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    entries = ",".join(entry % number for number in range(1_000_000))
    safetensors(folder / MODEL, b"{" + entries.encode() + b"}")


def hundred_gigabytes(folder: Path) -> None:
    """A network of sparse zeros."""
    size = 10**11
    texts = {"architecture": "melrnn", "config": json.dumps(small_network().config.to_dict())}
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    safetensors(folder / MODEL, json.dumps({"__metadata__": texts, "x": tensor}).encode(), size)


def named(name: str, folder: Path) -> None:
    """A file with a tensor of a malicious name."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    config = json.dumps(small_network().config.to_dict())
    texts = {"architecture": "melrnn", "config": config}
    safetensors(folder / MODEL, json.dumps({"__metadata__": texts, name: tensor}).encode(), 4)


def installed(folder: Path, change: Callable[[str], str]) -> None:
    """A model in the zoo with a changed card."""
    (folder / "zoo").mkdir()
    put(small_network(), Card("mine", "melrnn", stems=("vocals",)), folder / "zoo")
    card = folder / "zoo" / "mine.toml"
    card.write_text(change(card.read_text()))


def a_pipe_as_card(folder: Path) -> None:
    (folder / "zoo").mkdir()
    os.mkfifo(folder / "zoo" / "mine.toml")


def run_folder(folder: Path, summary: str) -> None:
    """The folder of a run with a malicious summary."""
    (folder / "run").mkdir()
    weights.save(folder / "run" / "best.safetensors", small_network())
    (folder / "run" / "summary.json").write_text(summary)


def recipe(folder: Path, text: str) -> None:
    (folder / "hostile.yaml").write_text(text)


def pickled(content: Callable[[], Any], folder: Path) -> None:
    torch.save(content(), folder / "Guitar.pth")


def compressed(folder: Path) -> None:
    """256 MiB of zeros, compressed to a quarter of a megabyte."""
    torch.save({"x": torch.zeros(2**26)}, folder / "large.pth")
    with (
        zipfile.ZipFile(folder / "large.pth") as large,
        zipfile.ZipFile(folder / "Guitar.pth", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for record in large.infolist():
            with small.open(record.filename, "w") as target:
                target.write(large.read(record))
    (folder / "large.pth").unlink()


def views() -> dict[str, torch.Tensor]:
    """Terabytes by strides of zero, with the tensor names of a known network."""
    return {
        "band.pre_bandnet.weight": torch.zeros(1).expand(10_000, 5_000, 5_000),
        "freq_blocks.0.att.c_attn.weight": torch.zeros(1).expand(30_000, 10_000_000),
        "fourier.window": torch.zeros(1).expand(100_000_000),
        "band.filterbanks": torch.zeros(1).expand(100_000, 50_000_001),
    }


def banks() -> dict[str, torch.Tensor]:
    """A few megabytes that imply mel bands of terabytes."""
    return {
        "band.pre_bandnet.weight": torch.zeros(100_000, 1, 1),
        "freq_blocks.0.att.c_attn.weight": torch.zeros(1, 1),
        "fourier.window": torch.zeros(2_000_000),
        "band.filterbanks": torch.zeros(100_000, 1),
    }


def nested() -> list[Any]:
    """Nested lists, 200 levels deep."""
    content: list[Any] = []
    for _ in range(200):
        content = [content]
    return content


def deep_pickle(folder: Path) -> None:
    """A million nested lists as pickle opcodes: EMPTY_LIST, and APPEND for each level."""
    levels = 1_000_000
    code = b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b"."
    with zipfile.ZipFile(folder / "Guitar.pth", "w") as archive:
        archive.writestr("Guitar/data.pkl", code)
        archive.writestr("Guitar/byteorder", "little")
        archive.writestr("Guitar/version", "3\n")


def prefixed() -> dict[str, torch.Tensor]:
    return {"module." * 200_000 + "x": torch.zeros(1)}


DAMAGED = "is damaged"
MEL = partial(asking, "melroformer")
GIANTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "30,000 channels": (partial(MEL, {"hidden_channels": 30_000}), DAMAGED),
    "a billion layers": (partial(MEL, {"num_layers": 10**9}), DAMAGED),
    "a million layers": (partial(MEL, {"num_layers": 10**6}), DAMAGED),
    "a segment of 10^13 samples": (partial(MEL, {"segment": 10**13}), DAMAGED),
    "a window of 10^13 samples": (partial(MEL, {"window_size": 10**13}), DAMAGED),
    "a window of a million samples": (partial(MEL, {"window_size": 10**6}), DAMAGED),
    "a million bands": (partial(MEL, {"num_bands": 10**6}), DAMAGED),
    "no hop": (partial(MEL, {"hop_size": 0}), DAMAGED),
    "a hop of -1": (partial(MEL, {"hop_size": -1}), DAMAGED),
    "a boolean for a width": (partial(MEL, {"hidden_channels": True}), DAMAGED),
    "a list for a width": (partial(MEL, {"hidden_channels": [64]}), DAMAGED),
    "100,000 stems": (partial(MEL, {"stems": [f"s{n}" for n in range(100_000)]}), DAMAGED),
    "a stem of a megabyte": (partial(MEL, {"stems": ["s" * 10**6]}), DAMAGED),
    "a number of 5,000 digits": (partial(MEL, f'{{"num_layers": {TOO_LONG}}}'), DAMAGED),
    "lists without end": (partial(MEL, f'{{"stems": {DEEP}'), DAMAGED),
    "a dropout of NaN": (
        partial(asking, "frame_transformer", '{"dropout": NaN}'),
        DAMAGED,
    ),
    "an infinite dropout": (
        partial(asking, "frame_transformer", '{"dropout": Infinity}'),
        DAMAGED,
    ),
    "an architecture of a megabyte": (
        lambda folder: asking_for_unknown(folder, "a" * 10**6),
        DAMAGED,
    ),
    "an architecture that is an escape": (
        lambda folder: asking_for_unknown(folder, "\x1b]0;x\x07\x1b[2J"),
        DAMAGED,
    ),
    "a segment of an hour": (partial(altered, segment=16_000 * 3600), DAMAGED),
    "a sample rate of a megahertz": (partial(altered, sample_rate=1_000_000), DAMAGED),
    "a sample rate of 1 Hz": (partial(altered, sample_rate=1), DAMAGED),
    "a million entries": (many_entries, "is damaged or is not a safetensors file"),
    "a header of an exabyte": (
        lambda folder: (folder / MODEL).write_bytes(struct.pack("<Q", 2**60) + b"{}"),
        "is damaged or is not a safetensors file",
    ),
    "100 GB of zeros": (hundred_gigabytes, DAMAGED),
    "a tensor named by a megabyte": (partial(named, "t" * 10**6), DAMAGED),
    "a tensor named by an escape": (partial(named, "\x1b[2J\nError: all is well"), DAMAGED),
    "a pipe in its place": (lambda folder: os.mkfifo(folder / MODEL), DAMAGED),
}


def asking_for_unknown(folder: Path, architecture: str) -> None:
    texts = {"architecture": architecture, "config": "{}"}
    safetensors(folder / MODEL, json.dumps({"__metadata__": texts}).encode())


WEIGHTS = [
    Row(
        f"a model with {kind}: {command.split()[0]}",
        make,
        command,
        says,
        slow=command == ADD or kind.startswith("a million"),
    )
    for command in (SEPARATE, ADD)
    for kind, (make, says) in GIANTS.items()
    if command == SEPARATE or "layers" in kind or "channels" in kind
] + [Row("a model with 30,000 channels: info", GIANTS["30,000 channels"][0], INFO, DAMAGED)]

CARD = "separate songs/a.wav --model mine --output made"
CARDS = [
    Row(f"a card with {kind}", make, CARD, r"The card .* cannot be used")
    for kind, make in {
        "a number of 5,000 digits": partial(
            installed, change=lambda text: text.replace("44100", TOO_LONG) + f"\nx = {TOO_LONG}\n"
        ),
        "lists without end": partial(installed, change=lambda text: f"x = {DEEP}\n{text}"),
        "an overlap of nearly all": partial(
            installed, change=lambda text: text.replace("overlap = 0.25", "overlap = 0.9999999")
        ),
        "an overlap that is no number": partial(
            installed, change=lambda text: text.replace("overlap = 0.25", "overlap = nan")
        ),
        "a key of 500,000 parts": partial(
            installed, change=lambda text: f"{'a.' * 500_000}a = 1\n{text}"
        ),
        "a key of 30,000 parts": partial(
            installed, change=lambda text: f"{'a.' * 30_000}a = 1\n{text}"
        ),
        "a table of 500,000 parts": partial(
            installed, change=lambda text: f"{text}\n[{'a.' * 500_000}a]\n"
        ),
        "tables without end": partial(
            installed, change=lambda text: f"x = {'{a=' * 20_000}\n{text}"
        ),
        "a text of 100 MB": partial(
            installed, change=lambda text: f'description = "{"x" * 10**8}"\n{text}'
        ),
        "a text of 28,000 escapes": partial(
            installed, change=lambda text: text + 'x = "' + 2 * BACKSLASH * 28_000 + '"'
        ),
        "20 MB of comments": partial(installed, change=lambda text: text + "#" * 20_000_000),
        "a text of a megabyte for a number": partial(
            installed, change=lambda text: text.replace("0.25", '"' + "9" * 10**6 + '"')
        ),
    }.items()
] + [Row("a card that is a pipe", a_pipe_as_card, CARD, r"The card .* cannot be used")]

SUMMARIES = [
    Row(f"a run whose summary has {kind}", partial(run_folder, summary=text), f"models {words}", s)
    for kind, text, words, s in (
        ("a number of 5,000 digits", f'{{"step": {TOO_LONG}}}', "add run --name mine", "cannot be"),
        ("lists without end", f'{{"step": {DEEP}', "add run --name mine", "cannot be used"),
        ("a text of a megabyte", json.dumps({"step": "x" * 10**6}), "info run", "cannot be used"),
    )
]

PICKLES = [
    Row(
        f"a checkpoint {kind}",
        make,
        CONVERT,
        says,
        2 if "bands" in kind or "pipe" in kind else 1,
        slow="unpacks" in kind,
    )
    for kind, make, says in (
        ("that unpacks to a thousand times its size", compressed, "damaged or unsafe"),
        ("of a terabyte by strides of zero", partial(pickled, views), "damaged or unsafe"),
        ("with bands for a terabyte", partial(pickled, banks), "mel bands are not those"),
        ("of lists in lists", partial(pickled, nested), "holds no tensors by name"),
        ("of lists without end", deep_pickle, "damaged|holds no tensors"),
        ("with a prefix 200,000 times", partial(pickled, prefixed), "is damaged"),
        (
            "of sparse tensors",
            partial(pickled, lambda: {"x": torch.zeros(10**6, 10**6, layout=torch.sparse_coo)}),
            "damaged or unsafe",
        ),
        (
            "that is a pipe",
            lambda folder: os.mkfifo(folder / "Guitar.pth"),
            "does not exist|is not a regular file",
        ),
    )
]

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in pairwise("abcdefghijk")
)
"""Ten levels of lists, each with ten references to the last: ten billion texts."""

TRAIN = "train --recipe hostile.yaml --data songs --output run"
RECIPES = [
    Row(f"a recipe {kind}", partial(recipe, text=text), TRAIN, says, 2)
    for kind, text, says in (
        ("of lists of lists of lists", LAUGHS, "it holds too many values"),
        ("that holds itself", "a: &a [*a]", "it is nested too deeply"),
        ("nested without end", "a: " + DEEP, "it is nested too deeply"),
        ("with a number of 5,000 digits", f"seed: {TOO_LONG}", "not valid YAML"),
        ("with a date that is none", "seed: 2001-99-99", "not valid YAML"),
        ("with a tag and nothing in it", "seed: !!int ''", "not valid YAML"),
        ("of 20 MB", "#" * 20_000_000, "it has 20,000,000 bytes"),
        ("of 15 MB", "a: [" + "x, " * 5_000_000 + "]", "it has 15,000,005 characters"),
        (
            "of a billion layers",
            "base: melroformer\nmodel: {options: {num_layers: 1000000000}}",
            "too large",
        ),
        (
            "of 10^13 channels",
            "base: melroformer\nmodel: {options: {hidden_channels: 10000000000000}}",
            "cannot be built|too large",
        ),
    )
]
