from __future__ import annotations

import json

from stemcli.engine.events import ModelLoaded, Progress, TrackFinished


def test_events_are_plain_data() -> None:
    """By hand: the event's name in snake case, then its fields."""
    assert Progress("a.mp3", "separating", 1.5, None).to_dict() == {
        "event": "progress",
        "track": "a.mp3",
        "stage": "separating",
        "seconds_done": 1.5,
        "seconds_total": None,
    }


def test_events_survive_json() -> None:
    for event in [
        ModelLoaded("net", "cpu", "fp32", "asked for", ("larger", "newer")),
        TrackFinished("a.mp3", {"vocals": "out/vocals.wav"}, 10.0, 2.0),
    ]:
        assert json.loads(json.dumps(event.to_dict())) == event.to_dict()
    assert TrackFinished("a", {}, 0, 0).to_dict()["event"] == "track_finished"
