"""The composition root of the gateway: what calls of models work with, over a platform."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

from interplay.adapters.http.guard import EgressGuard
from interplay.adapters.openai_http.pool import UpstreamPool
from interplay.adapters.openai_http.targets import Targets
from interplay.bootstrap import Platform, local_server, new_id
from interplay.use_cases.forward_cache import ForwardCache
from interplay.use_cases.forward_flow import FlowModels, ForwardFlow
from interplay.use_cases.forward_parts import ForwardParts, RequestIds
from interplay.use_cases.forward_shadow import Shadows
from interplay.use_cases.submit_run import SubmitRun


@contextlib.asynccontextmanager
async def open_gateway(platform: Platform) -> AsyncIterator[ForwardParts]:
    """Over the snapshot, the limits and the usage of the platform; its connections are closed at the end."""
    settings, tenancy = platform.settings, platform.tenancy
    guard = EgressGuard(settings.allowed_hosts)
    targets = Targets(platform.secrets, lambda: local_server(settings, platform.model_server), guard.address)
    pool = UpstreamPool(targets)
    try:
        yield ForwardParts(
            tenancy.admit,
            lambda: tenancy.snapshots.current,
            pool,
            tenancy.writer.record,
            platform.clock,
            random.random,
            RequestIds(platform.clock),
            platform.providers.of,
            ForwardCache(platform.cache, platform.meanings, platform.calls.run),
            Shadows(platform.comparisons),
            _flows(platform),
        )
    finally:
        await pool.close()


def _flows(platform: Platform) -> ForwardFlow:
    submit = SubmitRun(platform.runs, platform.flows, platform.plans, platform.bus, new_id)
    models = FlowModels(submit, platform.runs, platform.history(), platform.bus)
    return ForwardFlow(models, platform.flows, platform.plans, new_id)
