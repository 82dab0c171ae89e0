"""The metrics of museval, without the dependencies of its other modules.

``import museval`` imports musdb, which needs ffprobe. Its metrics are one file that needs only
numpy and scipy: museval 0.4, https://github.com/sigsep/sigsep-mus-eval.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

package = importlib.util.find_spec("museval")
assert package
assert package.submodule_search_locations
file = Path(package.submodule_search_locations[0]) / "metrics.py"
spec = importlib.util.spec_from_file_location("museval_metrics", file)
assert spec
assert spec.loader
metrics = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)


def museval_scores(
    estimate: Float[Tensor, "stem channel time"],
    reference: Float[Tensor, "stem channel time"],
    window: int,
    hop: int,
) -> Float[Tensor, "ratio stem frame"]:
    """SDR, ISR, SIR and SAR as museval computes them."""
    sides = (np.asarray(side.double().movedim(1, 2)) for side in (reference, estimate))
    *ratios, _ = metrics.bss_eval(*sides, window=window, hop=hop)
    return torch.from_numpy(np.stack(ratios))
