"""The nouns of tenancy: keys, projects, budgets, usage, prices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from interplay.client.noun import Noun
from interplay.contracts.http.answers import (
    BudgetPage,
    BudgetPut,
    Key,
    KeyPage,
    KeyWithSecret,
    Period,
    PriceChanged,
    PricePage,
    Project,
    ProjectPage,
    UsageGroup,
    UsagePage,
    UsageRecord,
    UsageRecordPage,
)


class Keys(Noun):
    """Keys of a project."""

    async def create(self, name: str, *, once: str | None = None, **more: Any) -> KeyWithSecret:
        """The key with its `secret`, shown this once. More: scopes, models, flows, limits, budgets, expires_in,
        metadata. `once`: an idempotency key."""
        found: KeyWithSecret = await self._transport.request("POST", "/keys", body={"name": name, **more}, key=once)
        return found

    async def list(self, limit: int = 100, cursor: str | None = None) -> KeyPage:
        """A page of keys, oldest first."""
        found: KeyPage = await self._get("/keys", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Key]:
        """All keys, oldest first."""
        async for key in self._each(self.list, limit=500):
            yield key

    async def get(self, key: str) -> Key:
        """One key, without its secret."""
        found: Key = await self._get(f"/keys/{quote(key, safe='')}")
        return found

    async def change(self, key: str, **fields: Any) -> Key:
        """Fields: name, scopes, models, flows, limits, expires_in, metadata."""
        found: Key = await self._transport.request("PATCH", f"/keys/{quote(key, safe='')}", body=fields)
        return found

    async def rotate(self, key: str, overlap: float = 0.0) -> KeyWithSecret:
        """The key with a new `secret`; the old one is valid for `overlap` seconds more."""
        path = f"/keys/{quote(key, safe='')}/rotate"
        found: KeyWithSecret = await self._transport.request("POST", path, body={"overlap": overlap})
        return found

    async def revoke(self, key: str) -> Key:
        """It is no longer valid; it stays in the list."""
        found: Key = await self._transport.request("POST", f"/keys/{quote(key, safe='')}/revoke")
        return found

    async def delete(self, key: str) -> None:
        """It is no longer valid and no longer listed."""
        await self._transport.request("DELETE", f"/keys/{quote(key, safe='')}")


class Projects(Noun):
    """Projects of the organisation."""

    async def create(self, name: str, limits: Mapping[str, int] | None = None) -> Project:
        """A new project. A name that is taken is a conflict."""
        body = {"name": name, "limits": dict(limits or {})}
        found: Project = await self._transport.request("POST", "/projects", body=body)
        return found

    async def list(self) -> ProjectPage:
        """All projects."""
        found: ProjectPage = await self._get("/projects")
        return found

    async def get(self, project: int) -> Project:
        """One project."""
        found: Project = await self._get(f"/projects/{project}")
        return found

    async def set_limits(self, project: int, **limits: int | None) -> Project:
        """Limits: requests and tokens a minute, concurrency. What is left out is no longer limited."""
        found: Project = await self._transport.request("PUT", f"/projects/{project}/limits", body=limits)
        return found


class Budgets(Noun):
    """Budgets. `subject`: `organisation`, `project`, or a key's id."""

    async def list(self) -> BudgetPage:
        """All budgets that the caller may see, with what is spent of them."""
        found: BudgetPage = await self._get("/budgets")
        return found

    async def put(self, subject: str, usd: float, period: Period = "month") -> BudgetPut:
        """Sets a budget."""
        path = f"/budgets/{quote(subject, safe='')}/{period}"
        found: BudgetPut = await self._transport.request("PUT", path, body={"usd": usd})
        return found

    async def delete(self, subject: str, period: Period = "month") -> None:
        """Lifts a budget."""
        await self._transport.request("DELETE", f"/budgets/{quote(subject, safe='')}/{period}")


class Usage(Noun):
    """What calls used."""

    async def get(self, by: Sequence[UsageGroup] = (), **filters: Any) -> UsagePage:
        """Sums by any of these. Filters: since, until, key, model, flow, everywhere."""
        found: UsagePage = await self._get("/usage", by=list(by) or None, **filters)
        return found

    async def records(self, limit: int = 100, cursor: str | None = None) -> UsageRecordPage:
        """A page of calls, newest first."""
        found: UsageRecordPage = await self._get("/usage/records", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[UsageRecord]:
        """All calls that are kept, newest first."""
        async for record in self._each(self.records, limit=500):
            yield record


class Prices(Noun):
    """The price book of a project."""

    async def list(self) -> PricePage:
        """All prices, by target and time."""
        found: PricePage = await self._get("/prices")
        return found

    async def put(self, target: str, input: float, output: float, **more: float | None) -> PriceChanged:
        """US dollars per million tokens. More: cached, reasoning, image, audio, valid_from."""
        body = {"target": target, "input": input, "output": output, **more}
        found: PriceChanged = await self._transport.request("PUT", "/prices", body=body)
        return found

    async def delete(self, target: str, valid_from: float) -> PriceChanged:
        """Takes a price out of the book; what was used since then is priced anew."""
        params = {"target": target, "valid_from": valid_from}
        found: PriceChanged = await self._transport.request("DELETE", "/prices", params=params)
        return found
