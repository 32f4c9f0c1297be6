"""The price book: prices set and removed, and the past priced again by them."""

from __future__ import annotations

from typing import Final

from interplay.core.models.pricing import PriceBook, PricePoint, cost
from interplay.core.models.registry import Price, Registry
from interplay.ports.model_registry import ModelRegistry
from interplay.ports.price_store import PriceStore
from interplay.ports.usage_store import Priced, RecordQuery, UsageStore

_PAGE: Final = 1000


class SetPrice:
    """A price in the book goes before the one that a deployment has in the registry, which is valid for all time."""

    def __init__(self, prices: PriceStore, usage: UsageStore, models: ModelRegistry) -> None:
        self._prices = prices
        self._usage = usage
        self._models = models

    async def put(self, point: PricePoint) -> int:
        """How many records were priced anew. Raises NotFound."""
        await self._prices.put(point)
        return await self.derive(point.project_id, point.target, point.valid_from)

    async def delete(self, project_id: int, target: str, valid_from: float) -> int:
        await self._prices.delete(project_id, target, valid_from)
        return await self.derive(project_id, target, valid_from)

    async def derive(self, project_id: int, target: str, since: float) -> int:
        """The cost of every record of the target from then on, from its raw counts and the book as it is now.

        The same again changes nothing, so it may be cut off and begun again.
        """
        book = PriceBook(await self._prices.prices(project_id))
        registry = await self._models.load(project_id)
        query, changed = RecordQuery(project_id, target, since, limit=_PAGE), 0
        while records := await self._usage.of_target(query):
            priced = []
            for record in records:
                price = price_of(book, registry, (project_id, record.alias, record.deployment), record.at)
                usd = cost(record.usage, price) if not record.cached else record.usage.usd
                if usd != record.usage.usd:
                    priced.append(Priced(record.record_id, usd))
            if priced:
                await self._usage.reprice(priced)
            changed += len(priced)
            query = RecordQuery(project_id, target, since, after=records[-1].record_id, limit=_PAGE)
        return changed


def price_of(book: PriceBook, registry: Registry, called: tuple[int, str, str], at: float) -> Price | None:
    """What applied then. `called`: project, the alias that was asked for, and deployment as `connection/model`.

    One that the alias has not answered in its place: the price is that of a fallback which has it.
    """
    project_id, alias, upstream = called
    booked = book.at(project_id, upstream, at)
    if booked is not None:
        return booked
    having = {
        name: [d.price for d in model.deployments if f"{d.connection}/{d.model}" == upstream]
        for name, model in registry.models.items()
    }
    names = [alias] if having.get(alias) or not any(having.values()) else sorted(n for n in having if having[n])
    for name in names:
        price = book.at(project_id, name, at) or next(iter(having.get(name, ())), None)
        if price is not None:
            return price
    return None
