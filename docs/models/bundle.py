"""Turn a finished training run into a model that travels inside the package.

::

    python docs/models/bundle.py runs/melroformer --text docs/models/melroformer.toml \
        --score "Sodium excerpt=FOLDER"

writes ``model_zoo/cards/NAME.safetensors`` and ``NAME.toml``. FOLDER holds ``mixture.*`` and one
file per stem; the scores in the card are measured by the separation engine itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from pathlib import Path

import torch

from model_zoo import weights
from model_zoo.blocks.spectral import Band
from model_zoo.card import BUNDLED, Card, Score
from model_zoo.install import put
from model_zoo.separator import Separator
from model_zoo.whereabouts import BEST
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from trainers.data.files import find_stem, read_wave
from trainers.metrics.sdr import global_sdr

OTHER_NAMES = {"instrumental": "accompaniment"}  # what some data sets call a stem
DEFINITION = "global: 10 log10 of energy of reference over energy of error, whole excerpt, dB"


def main() -> None:
    """Read the arguments, write the weights, measure, write the card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--text", type=Path, required=True, help="TOML with the card's words")
    parser.add_argument("--expander-db", type=float, help="another threshold than the run's")
    parser.add_argument("--score", action="append", default=[], help="NAME=FOLDER")
    arguments = parser.parse_args()
    words = tomllib.loads(arguments.text.read_text("utf-8"))
    card = write(arguments.run, words, arguments.expander_db)
    scores: list[Score] = []
    for entry in arguments.score:
        dataset, _, folder = entry.partition("=")
        scores += measure(card.name, dataset, Path(folder))
    card = dataclasses.replace(card, scores=tuple(scores))
    (BUNDLED / f"{card.name}.toml").write_text(card.to_toml(), "utf-8")
    for score in scores:
        print(f"{score.dataset}, {score.stem}: {score.value:.2f} dB")


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


def measure(name: str, dataset: str, folder: Path) -> list[Score]:
    """Global SDR of every output whose true stem lies in ``folder``, to two decimals."""
    session = Session(Options(model=(name,), device="cpu", precision="fp32"))
    mixture, rate = read_wave(find_stem(folder, "mixture"))
    estimates = session.separate_array(mixture.T, rate)
    scores = []
    for stem, estimate in estimates.items():
        names = (stem, OTHER_NAMES.get(stem, stem))
        present = [name for name in names if any(folder.glob(f"{name}.*"))]
        if present:
            reference, _ = read_wave(find_stem(folder, present[0]))
            waves = (torch.from_numpy(wave.copy()) for wave in (estimate.T, reference))
            value = round(float(global_sdr(*waves)), 2)
            scores.append(Score(dataset, stem, "SDR", DEFINITION, value))
    return scores


if __name__ == "__main__":
    main()
