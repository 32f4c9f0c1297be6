"""How one of several usable deployments is chosen: one function for each strategy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from math import inf, log
from typing import Final

from interplay.core.models.health import LiveDeployment
from interplay.core.models.policy import Strategy
from interplay.core.models.registry import Deployment

Choose = Callable[[Sequence[LiveDeployment], float], LiveDeployment]
INPUT_SHARE: Final = 0.75  # of the tokens, when costs are compared: three asked for one answered


def expected_price(deployment: Deployment) -> float:
    """US dollars for a million tokens, three of four asked; endless where the price is not known."""
    price = deployment.price
    return inf if price is None else price.input * INPUT_SHARE + price.output * (1 - INPUT_SHARE)


def _first(usable: Sequence[LiveDeployment], draw: float) -> LiveDeployment:
    """In the order of the list."""
    del draw
    return usable[0]


def _weighted(usable: Sequence[LiveDeployment], draw: float) -> LiveDeployment:
    total = sum(live.deployment.weight for live in usable)
    if not total:  # a condition chose among those that get no share otherwise
        return usable[int(draw * len(usable))]
    rest = draw * total
    for live in usable:
        rest -= live.deployment.weight
        if rest < 0.0:
            return live
    return usable[-1]


def _less_loaded_of_two(usable: Sequence[LiveDeployment], draw: float) -> LiveDeployment:
    """Two at random, the one with less `ewma × (inflight + 1)`: as good as looking at all, without the herd."""
    count = len(usable)
    if count == 1:
        return usable[0]
    place = draw * count
    one = int(place)
    other = int((place - one) * (count - 1))  # the rest of the draw chooses among the others
    a, b = usable[one], usable[other + (other >= one)]
    return a if a.ewma * (a.inflight + 1) <= b.ewma * (b.inflight + 1) else b


def _cheapest(usable: Sequence[LiveDeployment], draw: float) -> LiveDeployment:
    del draw
    return min(usable, key=lambda live: expected_price(live.deployment))


CHOOSE: Final[Mapping[Strategy, Choose]] = {
    "priority": _first,
    "weighted": _weighted,
    "least_latency": _less_loaded_of_two,
    "lowest_cost": _cheapest,
}


def closest(usable: Sequence[LiveDeployment], value: str) -> LiveDeployment:
    """The same one for the same value as long as it is there, and a share by weight of all values: weighted
    rendezvous hashing, so that one that leaves moves only its own."""
    return max(usable, key=lambda live: _affinity(live, value))


def _affinity(live: LiveDeployment, value: str) -> float:
    digest = hashlib.blake2b(f"{live.name}\0{value}".encode("utf-8", "replace"), digest_size=8).digest()
    drawn = (int.from_bytes(digest, "big") + 1) / 2.0**64
    return inf if drawn >= 1.0 else max(live.deployment.weight, 1e-9) / -log(drawn)
