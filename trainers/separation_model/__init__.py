"""Networks with a full training interface: data, forward, loss, backward, step, save and load.

A facade for programs with their own training loop. It is built on the parts of ``stem train`` and
``stem separate``: the :class:`~trainers.loop.optimizer.NetworkOptimizer`, the progress counters and
schedule of the training loop, the separation engine, and safetensors.
"""

from __future__ import annotations

from trainers.separation_model.config import SeparationConfig, load_config
from trainers.separation_model.lifecycle import SeparationModel
from trainers.separation_model.masks import SpectrogramMaskModel

__all__ = ["SeparationConfig", "SeparationModel", "SpectrogramMaskModel", "load_config"]
