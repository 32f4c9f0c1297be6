"""Flows, versions and channels in memory."""

from __future__ import annotations

from interplay.core.errors import Conflict, NotFound
from interplay.core.flows.canonical import versions_advice
from interplay.ports.clock import Clock
from interplay.ports.flow_store import FlowSummary, FlowVersion

_DEFAULT_CHANNELS = ("prod", "staging", "dev")


class MemoryFlowStore:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[tuple[int, str], list[FlowVersion]] = {}
        self._channels: dict[tuple[int, str], dict[str, str]] = {}
        self._about: dict[tuple[int, str], str | None] = {}
        self._latest: dict[tuple[int, str], str] = {}

    async def put(
        self, project_id: int, name: str, version: str, ir: bytes, source: str, about: str | None = None
    ) -> bool:
        key = (project_id, name)
        known = self._versions.setdefault(key, [])
        self._about[key], self._latest[key] = about, version
        if any(v.version == version for v in known):
            return False
        known.append(FlowVersion(name, version, ir, source, self._clock.now()))
        return True

    async def get(self, project_id: int, version: str, name: str | None = None) -> FlowVersion:
        found = [
            v
            for (project, flow), versions in self._versions.items()
            for v in versions
            if project == project_id
            and name in (None, flow)
            and (v.version == version or (name is not None and len(version) >= 6 and v.version.startswith(version)))
        ]
        if len(found) > 1 and name is not None:
            raise Conflict(f"More than one version of {name!r} begins with {version!r}.")
        if not found:
            of = f" of {name!r}" if name else ""
            raise NotFound(f"There is no version {version!r}{of}.", where="version", advice=versions_advice(name))
        return found[0]

    async def load(self, version: str) -> bytes:
        for versions in self._versions.values():
            for known in versions:
                if known.version == version:
                    return known.ir
        raise NotFound(f"There is no flow version {version[:12]}.", where="version")

    async def versions(self, project_id: int, name: str, limit: int, before: float | None = None) -> list[FlowVersion]:
        self._known(project_id, name)
        newest = reversed(self._versions[(project_id, name)])
        return [v for v in newest if before is None or v.created_at < before][:limit]

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[FlowSummary]:
        names = sorted(
            name for project, name in self._versions if project == project_id and (not after or name > after)
        )
        return [
            FlowSummary(
                name,
                self._about[(project_id, name)],
                self._latest[(project_id, name)],
                dict(self._channels.get((project_id, name), {})),
                self._versions[(project_id, name)][-1].created_at,
            )
            for name in names[:limit]
        ]

    async def set_channel(
        self, project_id: int, name: str, channel: str, version: str, expected: str | None = None
    ) -> str | None:
        full = (await self.get(project_id, version, name)).version
        channels = self._channels.setdefault((project_id, name), {})
        before = channels.get(channel)
        if expected is not None and expected != (before or ""):
            raise Conflict(f"The channel {channel!r} of {name!r} points elsewhere.", where="If-Match")
        channels[channel] = full
        return before

    async def channels(self, project_id: int, name: str) -> dict[str, str]:
        self._known(project_id, name)
        return dict(self._channels.get((project_id, name), {}))

    async def resolve(self, project_id: int, name: str, channel: str | None = None) -> str:
        self._known(project_id, name)
        channels = self._channels.get((project_id, name), {})
        if channel is not None:
            if channel not in channels:
                raise NotFound.named(f"channel of {name!r}", channel, channels)
            return channels[channel]
        chosen = next((channels[known] for known in _DEFAULT_CHANNELS if known in channels), None)
        return chosen or self._latest[(project_id, name)]

    def _known(self, project_id: int, name: str) -> None:
        if (project_id, name) not in self._versions:
            raise NotFound.named("flow", name, [flow for project, flow in self._versions if project == project_id])
