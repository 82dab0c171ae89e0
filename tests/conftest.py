"""Settings for all tests: no deadlines, one thread, default signal handlers, real recordings."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("stem", deadline=None, max_examples=50)
settings.load_profile("stem")

# Shells start background jobs with these ignored, and child processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

torch.set_num_threads(1)  # threads only slow down networks as small as those in tests


@pytest.fixture(scope="session")
def real_audio() -> Path:
    """The folder of real recordings in STEM_TEST_AUDIO, for tests marked ``audio``."""
    return Path(os.environ["STEM_TEST_AUDIO"])
