"""The inputs of a schedule's run: as they are written, or worked out of the fire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interplay.core.errors import InvalidInput
from interplay.core.failures import StepFailure
from interplay.core.flows.expressions import ExpressionProblem
from interplay.core.flows.types import STRING, Type
from interplay.core.flows.values import SecretText, ValueProblem, compile_value
from interplay.core.schedules.fires import shown
from interplay.core.schedules.zones import zone_of

_FIELDS: Final = ("at", "name", "scheduled_for", "zone")
FIRE: Final = Type("object", None, dict.fromkeys(_FIELDS, STRING), (), frozenset(_FIELDS))


def fire_of(name: str, zone: str, scheduled_for: float, at: float) -> dict[str, str]:
    """What expressions see as `fire`: for when it is, when it was made, both as the clocks of its zone say it."""
    where = zone_of(zone)
    return {"scheduled_for": shown(scheduled_for, where), "at": shown(at, where), "name": name, "zone": zone}


def inputs_of(written: Mapping[str, Any], fire: Mapping[str, str]) -> dict[str, Any]:
    """Raises InvalidInput, with the path of what does not compile or cannot be evaluated."""
    found: dict[str, Any] = {}
    for name, raw in written.items():
        try:
            value, _ = compile_value(raw, {"fire": FIRE})
            found[name] = value.evaluate({"fire": fire})
        except (ValueProblem, ExpressionProblem) as wrong:
            advice = getattr(wrong, "suggestion", None) or "Expressions see `fire`: `${ fire.scheduled_for }`."
            raise InvalidInput(f"{wrong.message}.", where=f"inputs.{name}", advice=advice) from None
        except StepFailure as wrong:
            raise InvalidInput(f"{wrong.failure.detail}", where=f"inputs.{name}") from None
        if isinstance(found[name], SecretText):
            raise InvalidInput(
                "A secret is revealed in the flow's own text only, never in inputs.",
                where=f"inputs.{name}",
                advice="Name `secret://…` in the step that needs it.",
            )
    return found
