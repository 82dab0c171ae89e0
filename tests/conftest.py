"""What holds for every test: no stopwatch, one thread, signals that arrive, real recordings."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("stem", deadline=None, max_examples=50)
settings.load_profile("stem")

# A shell starts background jobs with these ignored, and their children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

torch.set_num_threads(1)  # networks in tests are so small that threads only cost


@pytest.fixture(scope="session")
def real_audio() -> Path:
    """The folder of real recordings that STEM_TEST_AUDIO names (``-m audio`` asks for it)."""
    return Path(os.environ["STEM_TEST_AUDIO"])
