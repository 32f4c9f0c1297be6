"""The meters of a model's and a deployment's own limits."""

from __future__ import annotations

from interplay.core.models.registry import Deployment, Model
from interplay.core.tenancy.limits import Meter, limit_meters


def model_meters(project_id: int, model: Model, deployment: Deployment | None = None) -> tuple[Meter, ...]:
    """Those of the alias, or of one of its deployments."""
    if deployment is None:
        return limit_meters("model", f"{project_id}/{model.name}", model.limits, f"the model {model.name!r}")
    upstream = f"{deployment.connection}/{deployment.model}"
    return limit_meters(
        "deployment", f"{project_id}/{model.name}/{upstream}", deployment.limits, f"the deployment {upstream!r}"
    )
