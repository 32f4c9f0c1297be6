"""Schedules as a file holds them: `schedules:`, a mapping of names to what each is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.ir import Flow
from interplay.core.flows.named_things import NamedThings
from interplay.core.flows.types import check_inputs
from interplay.core.schedules.inputs import fire_of, inputs_of
from interplay.core.schedules.schedule import Schedule, checked, checked_name

_SOME_DAY: Final = 1_774_746_000.0


class WrittenSchedule(msgspec.Struct, frozen=True):
    """One of a file. `paused` None: the file does not say."""

    name: str
    schedule: Schedule
    paused: bool | None
    where: str  # file, line, column

    def checked_for(self, flow: Flow) -> None:
        """Raises InvalidInput when its inputs do not fit the flow."""
        fire = fire_of(self.name, self.schedule.zone, _SOME_DAY, _SOME_DAY)
        try:
            check_inputs(flow, inputs_of(self.schedule.inputs, fire))
        except InvalidInput as wrong:
            raise InvalidInput(f"{self.name}: {wrong.detail}", where=self.where, advice=wrong.advice) from None


def _made(name: str, body: dict[str, Any], paused: bool | None, where: str) -> WrittenSchedule:
    try:
        schedule = checked(msgspec.convert(body, Schedule))
    except msgspec.ValidationError as wrong:
        raise InvalidInput(f"{wrong}.", advice="See docs/howto/schedules.md.") from None
    return WrittenSchedule(checked_name(name), schedule, paused, where)


SCHEDULES: Final = NamedThings("schedules", Schedule.__struct_fields__, _made)
