"""Loads what a session runs: the models of its options, or those of a workflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemcli.engine.chain import ModelChain, Networks
from stemcli.engine.ensemble import Ensemble, assemble
from stemcli.engine.members import members_of
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.workflow import Workflow, read_workflow

Load = Callable[[str], LoadedModel]


@dataclass(frozen=True)
class LoadedNetworks:
    """Networks on a device, and the models that they come from.

    Attributes:
        networks: ready to run.
        models: in the order of the options or of the steps.
        phase: model that predicts the phase of the stems; None if there is none.
        workflow: the workflow; None without one.
    """

    networks: Networks
    models: tuple[LoadedModel, ...]
    phase: LoadedModel | None = None
    workflow: Workflow | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the sound of the stems, as plain values: models by name and SHA-256."""
        chosen: dict[str, Any] = {"model": [[each.name, each.sha256] for each in self.models]}
        if self.phase:
            chosen["phase_model"] = [self.phase.name, self.phase.sha256]
        if self.workflow:
            chosen["workflow"] = self.workflow.to_dict()
        return chosen


def load_networks(options: Options, device: torch.device, load: Load) -> LoadedNetworks:
    """Load networks and put them on a device; a model that several steps use is loaded once.

    Args:
        options: choices of the user.
        device: where all networks run.
        load: loads a model by name.

    Raises:
        UsageError: a model or stem does not exist, or the workflow cannot be used.
        WeightsError: weights cannot be used.
    """
    if not options.workflow:
        return _ensemble(options, device, load)
    workflow = read_workflow(options.workflow)
    loaded: dict[str, LoadedModel] = {}

    def load_once(name: str) -> LoadedModel:
        if name not in loaded:
            loaded[name] = load(name)
        return loaded[name]

    steps = [_ensemble(step.options(options), device, load_once) for step in workflow.steps]
    ensembles = tuple(step.networks for step in steps if isinstance(step.networks, Ensemble))
    models = tuple(model for step in steps for model in step.models)
    chain = ModelChain(workflow_name(options.workflow), workflow, ensembles)
    return LoadedNetworks(chain, models, workflow=workflow)


def workflow_name(source: str) -> str:
    """Name of a workflow for file names: that of its file, without its extension."""
    return "workflow" if "\n" in source else Path(source).stem


def _ensemble(options: Options, device: torch.device, load: Load) -> LoadedNetworks:
    models = tuple(load(name) for name in members_of(options).models)
    phase = load(options.phase_model) if options.phase_model else None
    return LoadedNetworks(assemble(models, options, device, phase), models, phase)
