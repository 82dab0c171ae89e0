"""Turn a finished training run into a model that travels inside the package.

::

    python docs/models/bundle.py runs/melroformer --text docs/models/melroformer.toml
    stem eval musdb --root FOLDER -m melroformer --store
    stem eval speed -m melroformer --store

The first writes ``model_zoo/cards/NAME.safetensors`` and ``NAME.toml``, the others put scores and
speeds into that card; FOLDER holds MUSDB18, or songs in its form.
"""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from pathlib import Path

import torch

from model_zoo import weights
from model_zoo.blocks.spectral import Band
from model_zoo.card import BUNDLED, Card
from model_zoo.install import put
from model_zoo.separator import Separator
from model_zoo.whereabouts import BEST


def main() -> None:
    """Read the arguments, write the weights and the card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--text", type=Path, required=True, help="TOML with the card's words")
    parser.add_argument("--expander-db", type=float, help="another threshold than the run's")
    arguments = parser.parse_args()
    words = tomllib.loads(arguments.text.read_text("utf-8"))
    card = write(arguments.run, words, arguments.expander_db)
    print(f"{BUNDLED / card.name}.toml; now type stem eval musdb -m {card.name} --store")


def write(run: Path, words: dict[str, str], expander_db: float | None = None) -> Card:
    """Write weights in half precision and a card without scores."""
    separator = weights.load(run / BEST)
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
