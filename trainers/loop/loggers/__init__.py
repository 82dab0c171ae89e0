"""Logs of a run for people: curves, audio, images and texts."""

from trainers.loop.loggers.backends import RunLogger as RunLogger
from trainers.loop.loggers.run_log import open_run_log as open_run_log
