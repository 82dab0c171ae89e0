"""Whose BSSEval measures: ours, or the reference implementation itself."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.errors import DecodeError, require_package
from stemcli.engine.device import resolve_device
from trainers.data.layouts.musdb18 import require_ffprobe
from trainers.evaluation.judge import Measure
from trainers.metrics.bsseval import FrameScores, bss_eval

Backend = Literal["torch", "museval"]


def find_measure(backend: Backend) -> Measure:
    """BSSEval by its name.

    Raises:
        MissingExtraError: museval is not installed.
        FfmpegMissingError: museval does not work without ffmpeg and ffprobe.
    """
    if backend == "torch":
        return bss_eval
    require_package("museval", "eval")
    require_ffprobe("museval")
    return by_museval


def measuring_device(device: str) -> str:
    """Where our BSSEval computes beside a network: on its GPU, if that has double precision.

    Args:
        device: as ``--device`` has it.
    """
    found = resolve_device(device)
    return str(found) if found.type == "cuda" else "cpu"


def by_museval(
    estimate: Float[Tensor, "stem channel time"],
    reference: Float[Tensor, "stem channel time"],
    window: int,
    hop: int,
) -> FrameScores:
    """BSSEval version 4 by museval (https://github.com/sigsep/sigsep-mus-eval).

    Raises:
        DecodeError: a stem is silent from beginning to end, or true stems depend on each other,
            where museval has no answer.
    """
    import museval

    sides = (np.asarray(side.cpu().double().movedim(1, 2)) for side in (reference, estimate))
    try:
        ratios = museval.evaluate(*sides, win=window, hop=hop)
    except (ValueError, np.linalg.LinAlgError, AttributeError) as error:
        # AttributeError: museval 0.4.1 looks for np.linalg.linalg, which is gone from NumPy 2.
        raise DecodeError(f"museval has no scores of it ({error}): type --backend torch") from error
    return FrameScores(*map(torch.from_numpy, ratios))
