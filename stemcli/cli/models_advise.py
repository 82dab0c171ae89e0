"""``stem models advise``: which model to use, by stem, licence, time and published score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from model_zoo.errors import StemError, UnknownNameError, UsageError
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import clock, examples, size
from stemcli.cli.models_list import simple
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
"""Number of models that are shown."""

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
@click.option("--licence", metavar="NAME", help="Only models whose licence begins so.")
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
    Nothing is downloaded.
    """
    from model_zoo.catalogue.advice import candidates as all_candidates

    stems = tuple(dict.fromkeys(stems))
    fitting = licensed(all_candidates(stems or DEFAULT), licence, commercial)
    timer = Timer(device, may_measure=not no_measure, console=console)
    with console:
        found = [*islice(timer.timed(fitting, within), MOST)]
    if not found:
        raise UsageError(nothing_in(within, no_measure))
    show(found, stems, len(fitting), console)


def licensed(
    found: Sequence[Candidate], licence: str | None, commercial: bool
) -> Sequence[Candidate]:
    """Models with a licence, or one for commercial use.

    Raises:
        UnknownNameError: no model has that licence; the message names the nearest.
        UsageError: no licence allows commercial use.
    """
    if licence:
        known = {one.licence for one in found}
        found = [one for one in found if simple(one.licence).startswith(simple(licence))]
        if not found:
            raise UnknownNameError("licence", licence, known)
    if commercial:
        found = [one for one in found if one.is_commercial]
        if not found:
            raise UsageError(
                "No such model has a stated licence that allows commercial use. "
                "Leave --commercial out, or ask for fewer stems"
            )
    return found


def nothing_in(within: float | None, no_measure: bool) -> str:
    """The sentence if no model is fast enough."""
    time = clock(within or 0.0)
    if no_measure:
        return f"No time of {time} or less was measured before. Leave --no-measure out"
    return f"No such model separates a song of {clock(SONG)} in {time} here. Allow more time"


class Timer:
    """Times of a song by models, measured where none is kept.

    Args:
        device: name of the device.
        may_measure: whether networks may run.
        console: shows what is measured.
    """

    def __init__(self, device: str, *, may_measure: bool, console: Console) -> None:
        self._device, self._may_measure, self._console = device, may_measure, console
        self._speeds: NetworkSpeeds | None = None
        self._is_measuring = False

    def timed(self, found: Sequence[Candidate], within: float | None) -> Iterator[Advised]:
        """Yield the models that are fast enough.

        Args:
            found: models, the best first.
            within: most seconds for a song; None for any.
        """
        for one in found:
            time = self.seconds(one)
            if within is None or (time is not None and time <= within):
                yield Advised(one, time)

    def seconds(self, one: Candidate) -> float | None:
        """Time of the network for a song; None if it is not known.

        Raises:
            DeviceError: the device is not available.
        """
        with self._console.busy("Looking for the device"):
            network, speeds = network_of(one), self.speeds
        if network is None:
            return None
        speed = speeds.kept(*network)
        if speed is None and self._may_measure:
            self._announce()
            with self._console.busy(f"Measuring the network of {one.name}, once"):
                speed = measured(speeds, network)
        return None if speed is None else round(speed * SONG / (1 - one.overlap), 1)

    def _announce(self) -> None:
        """Say once what takes time."""
        if not self._is_measuring:
            self._console.line("Measuring networks on this machine, once; --no-measure skips that")
        self._is_measuring = True

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


def show(found: Sequence[Advised], stems: Sequence[str], count: int, console: Console) -> None:
    """Print the models, and which to take."""
    best, named = found[0], " and ".join(stems or DEFAULT)
    console.document(
        {
            "stems": stems or DEFAULT,
            "count": count,
            "models": [each.to_dict(stems) for each in found],
            "advice": {"name": best.candidate.name, "reason": reason(best, named)},
        }
    )
    console.table(COLUMNS, [each.row() for each in found])
    console.line()
    console.line(AFTER_TABLE.format(stems=named))
    if count > len(found):
        console.line(f"There are {count} such models; the first {len(found)} are shown")
    console.line(f"Take {best.candidate.name}: {reason(best, named)}")
    console.line(f"Try: {command_line(best.candidate, stems)}")


def reason(best: Advised, named: str) -> str:
    """Why a model comes first, and what it takes, in a phrase."""
    one = best.candidate
    if one.score:
        data = one.score.dataset if one.score.dataset != UNSTATED else "data that nobody states"
        why = f"of these, it has the highest SDR of {named} on {data}"
    else:
        why = "none of them has a published SDR, and it is installed or the smallest"
    return "; ".join(filter(None, (why, time_of(best), fetch_of(one), consent_of(one))))


def time_of(best: Advised) -> str:
    """The time of a song, in words; empty if not known."""
    return "" if best.seconds is None else f"a song of {clock(SONG)} takes {clock(best.seconds)}"


def fetch_of(one: Candidate) -> str:
    """What is downloaded before the first song, in words; empty if nothing is."""
    if one.weights:
        return ""
    return f"{size(one.size)} are downloaded first" if one.size else "it is downloaded first"


def consent_of(one: Candidate) -> str:
    """What the user is asked to agree to, in words; empty if nothing."""
    from stemcli.cli.models_public import CONSENT

    return f"before that {CONSENT[one.consent]}" if one.consent and not one.weights else ""
