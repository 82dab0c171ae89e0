"""Workflows: files that say which networks run on which stems of others.

A workflow is a TOML file with one ``[[steps]]`` table per network or ensemble::

    [[steps]]
    model = "mel_band_roformer_kim"
    outputs = { vocals = "vocals", rest = "instrumental" }

    [[steps]]
    input = "vocals"
    model = "karaoke"
    outputs = { lead_vocals = "lead", karaoke = "backing" }

The left side of ``outputs`` is a stem of the model, or ``rest`` for the input without the other
stem; the right side is its name in the workflow. Outputs that are no input of a later step are
written; ``keep`` lists them otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_zoo.config import Config
from model_zoo.errors import ConfigError, UsageError, nearest
from model_zoo.grids import Combination
from model_zoo.parsing import parse_toml, read_toml
from stemcli.engine.options import GridName, Options

MIXTURE = "mixture"
"""The input of the first step."""

REST = "rest"
"""In place of a stem: the input of the step without its other output."""


@dataclass(frozen=True, kw_only=True)
class WorkflowStep(Config):
    """One network of a workflow, or several that are combined.

    Attributes:
        model: names of models, folders of runs or weights files.
        outputs: stem of the models to its name in the workflow.
        input: the mixture, or an output of an earlier step.
        weights: weight of each model; equal if empty.
        combine: how several models are combined.
        overlap: fraction of a chunk that overlaps the next one; the model's if None.
        segment: length of a chunk in seconds; the model's if None.
        shifts: number of chunk grids whose estimates are averaged.
        grid: how the input is cut into chunks.
    """

    model: tuple[str, ...]
    outputs: dict[str, str] = field(hash=False)
    input: str = MIXTURE
    weights: tuple[float, ...] = ()
    combine: Combination = "mean"
    overlap: float | None = None
    segment: float | None = None
    shifts: int = 1
    grid: GridName = "model"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WorkflowStep:
        """Build a step from a mapping; one model may be a string.

        Raises:
            ConfigError: unknown keys or invalid values, all of them together.
        """
        model = values.get("model")
        return super().from_dict({**values, "model": [model]} if isinstance(model, str) else values)

    def mistakes(self) -> list[str]:
        """Every mistake, a sentence each."""
        wrong = [] if self.model else ["model names no model"]
        if not self.outputs:
            wrong.append('outputs names no stem; write e.g. outputs = { vocals = "vocals" }')
        if REST in self.outputs and len(self.outputs) != 2:
            wrong.append(
                f"{REST} needs exactly one stem beside it, found {', '.join(self.outputs)}"
            )
        return wrong

    def options(self, options: Options) -> Options:
        """The options of a separation by this step.

        Args:
            options: choices of the user for the whole workflow.

        Raises:
            ConfigError: a value is invalid.
        """
        stems = tuple(stem for stem in self.outputs if stem != REST)
        of_step = {name: getattr(self, name) for name in OF_STEPS}
        if REST in self.outputs:
            return replace(options, workflow="", two_stems=stems[0], **of_step)
        return replace(options, workflow="", stems=stems, **of_step)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs in the order in which they are computed: stems, then the rest."""
        return tuple(self.outputs[stem] for stem in sorted(self.outputs, key=REST.__eq__))


OF_STEPS = ("model", "weights", "combine", "overlap", "segment", "shifts", "grid")
"""Options that each step has for itself."""


@dataclass(frozen=True)
class Workflow(Config):
    """Steps of a workflow, in the order in which they run.

    Attributes:
        steps: the networks.
        keep: outputs to write; by default those that are no input of a later step.
        description: one sentence.
    """

    steps: tuple[WorkflowStep, ...]
    keep: tuple[str, ...] = ()
    description: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs of all steps."""
        return tuple(name for step in self.steps for name in step.names)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs to write, in the order of the steps."""
        inputs = {step.input for step in self.steps}
        kept = self.keep or tuple(name for name in self.outputs if name not in inputs)
        return tuple(name for name in self.outputs if name in kept)

    def mistakes(self) -> list[str]:
        """Every mistake, a sentence each."""
        return [*self._step_mistakes(), *self._keep_mistakes()]

    def _step_mistakes(self) -> Iterator[str]:
        if not self.steps:
            yield "there is no step; add a table [[steps]] with model and outputs"
        known = [MIXTURE]
        for number, step in enumerate(self.steps, start=1):
            if step.input not in known:
                near = nearest(step.input, known)
                hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
                yield f"step {number} has an unknown input {step.input!r}; {hint}"
            known += step.names
        for name, count in Counter(known).items():
            if count > 1:
                yield f"two outputs are called {name!r}; give each its own name"

    def _keep_mistakes(self) -> Iterator[str]:
        for name in self.keep:
            if name not in self.outputs:
                near = nearest(name, self.outputs)
                hint = f"did you mean {near!r}?" if near else f"known: {', '.join(self.outputs)}"
                yield f"keep names an unknown output {name!r}; {hint}"


def read_workflow(source: str) -> Workflow:
    """Read a workflow.

    Args:
        source: path of a TOML file, or the text of one, which has several lines.

    Raises:
        UsageError: there is no such file, or it is not a workflow; the message says why.
    """
    try:
        values = parse_toml(source) if "\n" in source else read_toml(Path(source))
        return Workflow.from_dict(values)
    except OSError as error:
        raise UsageError(
            f"The workflow {source} cannot be read ({error.strerror}). Name a TOML file"
        ) from error
    except (ConfigError, ValueError) as error:
        file = "The workflow" if "\n" in source else f"The workflow {source}"
        why = "; ".join(error.mistakes) if isinstance(error, ConfigError) else error
        raise UsageError(f"{file} cannot be used ({why})") from error
