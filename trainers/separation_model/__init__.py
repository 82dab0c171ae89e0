"""Networks as objects with a life: data in, forward, loss, backward, step, save and load.

A facade for programs that write their own loop. Everything behind it is what ``stem train`` and
``stem separate`` use: the :class:`~trainers.loop.optimizer.NetworkOptimizer`, the counters and the
schedule of the loop, the separation engine, and safetensors.
"""

from __future__ import annotations

from trainers.separation_model.config import SeparationConfig, load_config
from trainers.separation_model.lifecycle import SeparationModel
from trainers.separation_model.masks import SpectrogramMaskModel

__all__ = ["SeparationConfig", "SeparationModel", "SpectrogramMaskModel", "load_config"]
