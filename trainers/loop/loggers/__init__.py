"""What is kept of a run for people to look at: curves, sound, pictures and texts."""

from trainers.loop.loggers.backends import RunLogger as RunLogger
from trainers.loop.loggers.run_log import open_run_log as open_run_log
