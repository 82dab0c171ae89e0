"""Laws are checked without a stopwatch: the time of one example says nothing on a busy machine."""

from hypothesis import settings

settings.register_profile("engine", deadline=None, max_examples=50)
settings.load_profile("engine")
