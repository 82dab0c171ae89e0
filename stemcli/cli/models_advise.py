"""``stem models advise``: which model to use, by stem, licence, time and published score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from model_zoo.catalogue.stem_names import distinct
from model_zoo.errors import StemError, UsageError
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import clock, examples, size
from stemcli.cli.models_list import with_licence
from stemcli.cli.options import console_options, device_option
from stemcli.cli.parameter_types import seconds as time_in_a_song

if TYPE_CHECKING:
    from model_zoo.catalogue.advice import Candidate
    from stemcli.engine.network_speed import NetworkSpeeds

SONG = 240.0
"""Seconds of the song whose time is shown."""

DEFAULT = ("vocals",)

UNSTATED = "not stated"
"""Name of the data of a score in the catalogue if its source does not state them."""

MOST = 5
"""Largest number of models that are shown, and of networks that one call measures."""

COLUMNS = ("=model", ">SDR in dB", "measured on", f">{clock(SONG)} takes", "licence", ">size", "")

AFTER_TABLE = (
    "SDR of {stems} as published; only figures on the same data compare. Times of the network on"
    " this machine"
)


@dataclass(frozen=True)
class Advised:
    """A model, and the time that a song would take.

    Attributes:
        candidate: the model.
        seconds: time of the network for a song of :data:`SONG`; None if not known.
    """

    candidate: Candidate
    seconds: float | None

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        one = self.candidate
        return (
            one.name,
            f"{one.score.value:.1f}" if one.score else "",
            one.score.dataset if one.score else "",
            clock(self.seconds) if self.seconds is not None else "",
            one.licence,
            size(one.size) if one.size else "",
            "installed" if one.weights else "",
        )

    def to_dict(self, stems: Sequence[str]) -> dict[str, Any]:
        """Plain values.

        Args:
            stems: the stems that the user named; empty for the default.
        """
        one = self.candidate
        return {
            "name": one.name,
            "outputs": one.outputs,
            "licence": one.licence,
            "consent": one.consent,
            "size": one.size,
            "installed": one.weights is not None,
            "score": asdict(one.score) if one.score else None,
            "song_seconds": SONG,
            "seconds": self.seconds,
            "command": command_line(one, stems),
        }


@dataclass(frozen=True)
class Answer:
    """Models that fit, and how many were looked at.

    Attributes:
        found: models that fit, the best first.
        stems: the stems that the user named; empty for the default.
        count: number of models of any time.
        such: what these models are, in words.
        within: most seconds for a song; None for any.
        not_measured: number of models that were looked at and have no time yet.
    """

    found: Sequence[Advised]
    stems: Sequence[str]
    count: int
    such: str
    within: float | None
    not_measured: int

    @property
    def named(self) -> str:
        """The stems, in words."""
        return " and ".join(self.stems or DEFAULT)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        best = self.found[0]
        return {
            "stems": self.stems or DEFAULT,
            "count": self.count,
            "not_measured": self.not_measured,
            "models": [each.to_dict(self.stems) for each in self.found[:MOST]],
            "advice": {"name": best.candidate.name, "reason": reason(best, self.named)},
        }

    def counts(self) -> str:
        """How many models there are beside those that are shown, in words; empty if none."""
        total = self.count if self.within is None else len(self.found)
        shown = f"the first {MOST} are shown" if total > MOST else ""
        if self.within is None:
            return f"There are {self.count} {self.such}; {shown}" if shown else ""
        fast = f"{total} of {self.count} {self.such} are fast enough"
        return "; ".join(filter(None, (fast, shown, left_out(self.not_measured))))


@click.command(
    "advise",
    epilog=examples(
        ("stem models advise", "for vocals, with the time of a song on this machine"),
        ("stem models advise --stem drums --commercial", "drums, with a licence for any use"),
        ("stem models advise --within 2:00", "not slower than two minutes for a song of four"),
    ),
)
@click.option(
    "--stem",
    "stems",
    multiple=True,
    shell_complete=candidates.all_stems,
    help="Stem that you want; may be repeated.  [default: vocals]",
)
@click.option("--licence", metavar="NAME", help="Only models whose licence starts with NAME.")
@click.option(
    "--commercial", is_flag=True, help="Only models with a licence that allows commercial use."
)
@click.option(
    "--within",
    type=time_in_a_song,
    metavar="TIME",
    help=f"Only models that take no longer than this for a song of {clock(SONG)}.",
)
@click.option(
    "--no-measure",
    is_flag=True,
    help="Do not run networks; show only times that were measured before.",
)
@device_option
@console_options
def command(
    *,
    stems: tuple[str, ...],
    licence: str | None,
    commercial: bool,
    within: float | None,
    no_measure: bool,
    device: str,
    console: Console,
) -> None:
    """Say which model to use for a stem.

    Models come in the order of their published scores. The time of a song is measured on this
    machine, with networks of the same size and random weights, once: it is kept in your cache.
    One call measures up to five networks, also with --within. Nothing is downloaded.
    """
    from model_zoo.catalogue.advice import candidates as all_candidates

    stems = distinct(stems)
    fitting = licensed(all_candidates(stems or DEFAULT), licence, commercial)
    timer = Timer(device, may_measure=not no_measure, console=console)
    with console:
        found = timer.timed(fitting, within)
    if not found:
        raise UsageError(nothing_in(within, no_measure, timer.not_measured))
    such = f"models that give {' and '.join(stems or DEFAULT)}"
    such += " under such a licence" if licence or commercial else ""
    show(Answer(found, stems, len(fitting), such, within, timer.not_measured), console)


def licensed(
    found: Sequence[Candidate], licence: str | None, commercial: bool
) -> Sequence[Candidate]:
    """Models with a licence, or one for commercial use.

    Raises:
        UnknownNameError: no model has that licence; the message names the nearest.
        UsageError: no licence allows commercial use.
    """
    found = with_licence(found, licence)
    if commercial:
        found = [one for one in found if one.is_commercial]
        if not found:
            raise UsageError(
                "No such model has a stated licence that allows commercial use. "
                "Leave --commercial out, or ask for fewer stems"
            )
    return found


def left_out(not_measured: int) -> str:
    """How many models have no time yet, in words; empty if none."""
    return f"{not_measured} more were not measured" if not_measured else ""


def nothing_in(within: float | None, no_measure: bool, not_measured: int) -> str:
    """The sentence if no model is fast enough."""
    time = clock(within or 0.0)
    if no_measure:
        return f"No time of {time} or less was measured before. Leave --no-measure out"
    if not_measured:
        return (
            f"No model that was measured separates a song of {clock(SONG)} in {time} here; "
            f"{left_out(not_measured)}. Run the command again to measure {MOST} of them, or allow "
            "more time"
        )
    return f"No such model separates a song of {clock(SONG)} in {time} here. Allow more time"


class Timer:
    """Times of a song by models, measured where none is kept.

    Args:
        device: name of the device.
        may_measure: whether networks may run.
        console: shows what is measured.

    Attributes:
        not_measured: models without a time, because no more networks may be measured.
    """

    def __init__(self, device: str, *, may_measure: bool, console: Console) -> None:
        self._device, self._console = device, console
        self._speeds: NetworkSpeeds | None = None
        self._left = MOST if may_measure else 0
        self._is_announced = False
        self.not_measured = 0

    def timed(self, found: Sequence[Candidate], within: float | None) -> list[Advised]:
        """Models that are fast enough. No more are measured than are shown.

        Args:
            found: models, the best first.
            within: most seconds for a song; None for any, which gives the first few models.

        Raises:
            DeviceError: the device is not available.
        """
        fast: list[Advised] = []
        for one in found if within is not None else found[:MOST]:
            time = self.seconds(one, may_measure=len(fast) < MOST)
            if within is None or (time is not None and time <= within):
                fast.append(Advised(one, time))
        return fast

    def seconds(self, one: Candidate, *, may_measure: bool = True) -> float | None:
        """Time of the network for a song; None if it is not known.

        Raises:
            DeviceError: the device is not available.
        """
        with self._console.busy("Looking for the device"):
            network, speeds = network_of(one), self.speeds
        if network is None:
            return None
        speed = speeds.kept(*network)
        if speed is None and may_measure and self._left:
            speed = self._measured(one.name, network)
        elif speed is None:
            self.not_measured += 1
        return None if speed is None else round(speed * SONG / (1 - one.overlap), 1)

    def _measured(self, name: str, network: tuple[str, dict[str, Any]]) -> float | None:
        """Measure a network. One that cannot run here is not counted: later ones get their turn."""
        self._announce()
        with self._console.busy(f"Measuring the network of {name}, once"):
            speed = measured(self.speeds, network)
        self._left -= speed is not None
        return speed

    def _announce(self) -> None:
        """Say once what takes time."""
        if not self._is_announced:
            self._console.line("Measuring networks on this machine, once; --no-measure skips that")
        self._is_announced = True

    @property
    def speeds(self) -> NetworkSpeeds:
        """Speeds on the device, opened on first use."""
        from stemcli.engine.device import resolve_device
        from stemcli.engine.network_speed import NetworkSpeeds

        if self._speeds is None:
            self._speeds = NetworkSpeeds(resolve_device(self._device))
        return self._speeds


def measured(speeds: NetworkSpeeds, network: tuple[str, dict[str, Any]]) -> float | None:
    """Measure a network; None if it cannot run here."""
    try:
        return speeds.measure(*network)
    except (StemError, MemoryError):
        return None


def network_of(one: Candidate) -> tuple[str, dict[str, Any]] | None:
    """Architecture and options of a network of this size; None if the size is not known."""
    from model_zoo.importers.published import network_options
    from model_zoo.weights import read_network

    if one.weights:
        try:
            return read_network(one.weights)
        except StemError:
            return None
    options = network_options(one.public) if one.public else None
    return (one.public.architecture, options) if one.public and options else None


def command_line(one: Candidate, stems: Sequence[str]) -> str:
    """The command that separates a song with a model; ``stems`` are those that the user named."""
    chosen = f" --stems {quoted(','.join(stems))}" if stems else ""
    return f"stem separate SONG --model {quoted(one.name)}{chosen}"


def show(answer: Answer, console: Console) -> None:
    """Print the models, and which to take."""
    best = answer.found[0]
    console.document(answer.to_dict())
    console.table(COLUMNS, [each.row() for each in answer.found[:MOST]])
    console.line()
    console.line(AFTER_TABLE.format(stems=answer.named))
    if counts := answer.counts():
        console.line(counts)
    console.line(f"Take {best.candidate.name}: {reason(best, answer.named)}")
    console.line(f"Try: {command_line(best.candidate, answer.stems)}")


def reason(best: Advised, named: str) -> str:
    """Why a model comes first, and what it takes, in a phrase."""
    one = best.candidate
    why = why_first(one, named)
    return "; ".join(filter(None, (why, time_of(best), fetch_of(one), consent_of(one))))


def why_first(one: Candidate, named: str) -> str:
    """Why a model comes before the others, in words."""
    if one.score and one.score.dataset == UNSTATED:
        return f"of these, it has the highest published SDR of {named}, on data that nobody states"
    if one.score:
        return f"of these, it has the highest SDR of {named} on {one.score.dataset}"
    if one.weights:
        return "no published SDR; this one is installed"
    return "no published SDR; this one is the smallest" if one.size else "no published SDR"


def time_of(best: Advised) -> str:
    """The time of a song, in words; empty if not known."""
    return "" if best.seconds is None else f"a song of {clock(SONG)} takes {clock(best.seconds)}"


def fetch_of(one: Candidate) -> str:
    """What is downloaded before the first song, in words; empty if nothing is."""
    if one.weights:
        return ""
    return f"it needs a download of {size(one.size)}" if one.size else "it needs a download"


def consent_of(one: Candidate) -> str:
    """What the user is asked to agree to, in words; empty if nothing."""
    from stemcli.cli.models_public import CONSENT

    return f"you must first {CONSENT[one.consent]}" if one.consent and not one.weights else ""
