"""Every error that a user may see.

    InterplayError
    ├── InvalidInput             what the caller sent is wrong
    │   ├── InvalidFlow          a flow with problems (carries all of them)
    │   ├── InvalidModels        connections or models with problems (carries all of them)
    │   ├── InvalidRunInputs     inputs that do not fit the flow's input types
    │   └── InputTooLarge        over a size limit
    ├── NotFound                 no such thing; near names in the advice
    ├── Conflict                 the thing is not in a state that allows this
    │   └── IdempotencyConflict  one key, two different requests
    ├── Unauthorized             no key, or one that is not valid
    ├── Forbidden                the caller may not do this
    ├── LimitReached             over a limit for now (carries its name and when to come back)
    ├── BudgetReached            the money for this day, month or for good is spent
    ├── Unavailable              a part is away; the same request may work later
    │   └── LeaseLost            this worker no longer owns what it worked on
    ├── SetupError               the installation or its settings are wrong
    └── StepFailure              a step failed (see `core.failures`)

A sentence says what happened (`detail`), `where` it happened (a path, a file
with line and column, a setting's name), and what to do (`advice`). How an
error becomes an HTTP status or an exit code is decided in one table at each
edge (`services/api/problems.py`, `cli/exit_codes.py`), not here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_BEGINNING: Final = 3  # letters of a name that may stand for a longer one
_LONGEST: Final = 256  # letters of a name that is worth comparing


class InterplayError(Exception):
    """The root: anything that Interplay says no to, in words for people."""

    title = "Something went wrong"

    def __init__(self, detail: str, *, where: str | None = None, advice: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        parts = [self.detail]
        if self.where:
            parts.insert(0, f"{self.where}:")
        if self.advice:
            parts.append(self.advice)
        return " ".join(parts)


class InvalidInput(InterplayError):
    title = "The request is not valid"


class InvalidRunInputs(InvalidInput):
    title = "The inputs do not fit the flow"


class InputTooLarge(InvalidInput):
    title = "The request is too large"


class NotFound(InterplayError):
    title = "Not found"

    @classmethod
    def named(cls, noun: str, name: str, known: Iterable[str] = ()) -> NotFound:
        """The usual sentence for a missing thing, with the names nearest to what was asked for."""
        near = near_names(name, known)
        advice = f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else None
        return cls(f"There is no {noun} named {name!r}.", where=noun, advice=advice)


class Conflict(InterplayError):
    title = "Not possible in this state"


class IdempotencyConflict(Conflict):
    title = "The idempotency key was used for another request"


class Unauthorized(InterplayError):
    title = "Not signed in"


class Forbidden(InterplayError):
    title = "Not allowed"


class LimitReached(InterplayError):
    """`limit`: its name, like `requests of key 'app'`. `left`: what there still is. `retry_after` in seconds; None: the
    call does not fit at any time."""

    title = "Over a limit"

    def __init__(
        self, detail: str, *, limit: str, retry_after: float | None, left: int = 0, advice: str | None = None
    ) -> None:
        super().__init__(detail, where=limit, advice=advice)
        self.limit = limit
        self.retry_after = retry_after
        self.left = left


class BudgetReached(InterplayError):
    """`retry_after`: seconds until the budget begins anew; None for one that never does. `left` in US dollars."""

    title = "Over the budget"

    def __init__(
        self, detail: str, *, limit: str, retry_after: float | None, left: float = 0.0, advice: str | None = None
    ) -> None:
        super().__init__(detail, where=limit, advice=advice)
        self.limit = limit
        self.retry_after = retry_after
        self.left = left


class Unavailable(InterplayError):
    """Something is away for now. `retry_after` is in seconds."""

    title = "Not available right now"

    def __init__(
        self,
        detail: str,
        *,
        where: str | None = None,
        advice: str | None = None,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(detail, where=where, advice=advice)
        self.retry_after = retry_after


class LeaseLost(Unavailable):
    title = "This worker lost its lease"


class SetupError(InterplayError):
    title = "The set-up is not right"


def near_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The names most like `name`, best first, for suggestions; then those that `name` is the beginning of."""
    if len(name) > _LONGEST:
        return []
    names = list(known)
    alike = difflib.get_close_matches(name, names, n=most, cutoff=0.6)
    longer = [one for one in names if len(name) >= _BEGINNING and one.startswith(name) and one not in alike]
    return [*alike, *longer][:most]
