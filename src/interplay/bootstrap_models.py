"""The composition root of the model server, apart: a process that serves models needs no ledger."""

from __future__ import annotations

from pathlib import Path

from interplay.adapters.local_models.pool import MachineModels
from interplay.ports.local_models import LocalModels


def machine_models(directory: Path, idle_seconds: float) -> LocalModels:
    return MachineModels(directory, idle_seconds)
