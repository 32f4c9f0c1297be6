"""`approve` and `wait`: steps that are done by somebody, or by time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.durations import LONGEST
from interplay.core.runs.decisions import Deciders, verdict
from interplay.core.runs.events import StepRetrying, StepSucceeded, StepWaiting, decode_value
from interplay.core.runs.signals import DECISIONS, Signal
from interplay.core.runs.state import StepState
from interplay.core.runs.values import surely_over

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine


def begin(machine: RunMachine, step: StepState, now: float) -> None:
    """Journals what the step waits for; then looks whether it is there already."""
    try:
        args = {name: value.evaluate(step.scope.names) for name, value in step.plan.values.items()}
        body = _approval(step, args, now) if step.plan.kind == "approve" else _wait(step, args, now)
    except StepFailure as refused:
        machine.fail(step, refused.failure, now)
        return
    machine.record(step, body)


def _check_size(step: StepState, name: str, value: Any, most: int) -> None:
    """What people and signals find a wait by stays with it, so it cannot be of any length."""
    if surely_over(value, most):
        detail = f"`{name}` has more than {most:,} characters."
        raise StepFailure("output_too_large", detail, where=f"{step.key}.{name}")


def _approval(step: StepState, args: dict[str, Any], now: float) -> StepWaiting:
    within = args.get("within")
    for name in ("who", "fields"):
        _check_size(step, name, args.get(name), 16 * 1024)
    detail = {
        "who": args.get("who"),
        "show": args.get("show"),
        "fields": args.get("fields"),
        "otherwise": args.get("otherwise") or "reject",
        "quorum": args.get("quorum") or 1,
    }
    return StepWaiting("approval", f"approval:{step.key}", _after(within, now), now, detail)


def _wait(step: StepState, args: dict[str, Any], now: float) -> StepWaiting:
    if args.get("signal") is not None:
        within = args.get("within")
        _check_size(step, "signal", str(args["signal"]), 1024)
        if str(args["signal"]).startswith(DECISIONS):
            said = f"`signal` is {str(args['signal'])[:80]!r}, and {DECISIONS}… are decisions of people."
            raise StepFailure("expression", said, where=f"{step.key}.signal", advice="Use a step of kind `approve`.")
        detail = {"otherwise": args["otherwise"]} if "otherwise" in args else None
        return StepWaiting("signal", str(args["signal"]), _after(within, now), now, detail)
    if args.get("until") is not None:
        return StepWaiting("timer", None, _moment(args["until"], step.key, now), now)
    return StepWaiting("timer", None, _after(args.get("for") or 0.0, now), now)


def _after(seconds: Any, now: float) -> float | None:
    """The moment so many seconds from now; a flow that an earlier release accepted may ask for more than can be."""
    return now + min(float(seconds), LONGEST) if seconds is not None else None


def _moment(value: Any, key: str, now: float) -> float:
    """A time that is past is due at once; one that is years away was not meant."""
    given = isinstance(value, int | float) and not isinstance(value, bool)
    moment = value if given else _written(value, key)
    if not moment <= now + LONGEST:  # also what is no number
        detail = f"`until` is {value!r}, and at most ten years from now are possible."
        raise StepFailure("expression", detail, where=f"{key}.until")
    return float(max(moment, 0.0))


def _written(value: Any, key: str) -> float:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        detail = f"`until` is {value!r}, and a time with its zone is needed, such as 2030-01-31T09:00:00Z."
        raise StepFailure("expression", detail, where=f"{key}.until")
    return moment.timestamp()


def look_at(machine: RunMachine, step: StepState, now: float) -> None:
    """Ends the wait when what it waits for has come, or its time is over."""
    wait = step.wait
    assert wait is not None
    unused = [
        signal for signal in machine.signals.get(wait.name or "", ()) if str(signal.signal_id) not in machine.consumed
    ]
    if wait.what == "approval":
        if _decided(machine, step, wait, unused, now):
            return
    elif wait.what == "signal" and unused:
        used = {"signals": [str(unused[0].signal_id)]}
        _done(machine, step, decode_value(unused[0].body), "signal", now, used)
        return
    if wait.until is not None and now >= wait.until:
        _out_of_time(machine, step, wait, now)


def _decided(machine: RunMachine, step: StepState, wait: StepWaiting, unused: list[Signal], now: float) -> bool:
    found = verdict([decode_value(signal.body) for signal in unused], wait.detail)
    return found is not None and _decide(machine, step, *found, unused, now)


def _decide(
    machine: RunMachine,
    step: StepState,
    decision: str,
    deciders: Deciders,
    used: list[Signal],
    now: float,
) -> bool:
    assert step.wait is not None
    if (step.wait.detail or {}).get("effect"):
        _decide_effect(machine, step, decision, ", ".join(deciders), now)
        return True
    fields: dict[str, Any] = {}
    for given in deciders.values():
        filled = given.get("fields")
        fields.update(filled if isinstance(filled, dict) else {})
    output = {"decision": decision, "by": ", ".join(deciders), "fields": fields}
    _done(machine, step, output, "decision", now, {"signals": [str(s.signal_id) for s in used]})
    return True


def _decide_effect(machine: RunMachine, step: StepState, decision: str, by: str, now: float) -> None:
    assert step.wait is not None
    if decision == "reject":
        said = f"{by or 'somebody'} decided not to do it again"
        machine.fail(step, _unknown(f"A worker was lost while the effect was under way, and {said}."), now)
        return
    lost = Failure("unknown_outcome", "A worker was lost while the effect was under way.")
    waited = max(0.0, now - step.wait.started_at)
    step.wait = None
    machine.record(step, StepRetrying(lost, now - waited, waited, now))


def _out_of_time(machine: RunMachine, step: StepState, wait: StepWaiting, now: float) -> None:
    if wait.what == "timer":
        _done(machine, step, {"waited": max(0.0, now - wait.started_at)}, "timer", now)
        return
    detail = wait.detail or {}
    if wait.what == "approval" and detail.get("otherwise") != "fail":
        output = {"decision": detail.get("otherwise", "reject"), "by": "", "fields": {}}
        _done(machine, step, output, "timer", now)
    elif wait.what == "signal" and "otherwise" in detail:
        _done(machine, step, detail["otherwise"], "timer", now)
    else:
        code = "rejected" if wait.what == "approval" else "timeout"
        machine.fail(step, Failure(code, f"Nobody answered {wait.name!r} in time."), now)


def _done(
    machine: RunMachine,
    step: StepState,
    output: Any,
    via: str,
    now: float,
    detail: dict[str, Any] | None = None,
) -> None:
    assert step.wait is not None
    started = step.wait.started_at
    machine.record(step, StepSucceeded(output, started, max(0.0, now - started), None, None, via, detail))


def after_lost_effect(machine: RunMachine, step: StepState, now: float, starts: list[StepState]) -> None:
    """An effect whose worker was lost: what its policy says about an outcome that nobody knows."""
    policy = step.plan.policy.effect
    if policy == "retry":
        machine.start_leaf(step, starts)
    elif policy == "ask":
        question = "A worker was lost while this effect was under way. Approve to do it again, reject to fail."
        name = f"approval:{step.key}#{step.attempt}"
        detail = {"effect": True, "question": question, "quorum": 1}
        machine.record(step, StepWaiting("approval", name, None, now, detail))
    else:
        machine.fail(
            step, _unknown("A worker was lost while the effect was under way: it may have happened, or not."), now
        )


def _unknown(detail: str) -> Failure:
    advice = "Ask the receiver whether it happened; to do it again, fork the run from this step."
    return Failure("unknown_outcome", detail, None, advice)
