"""`agent`: a chat model that calls tools, turn after turn, until it answers.

Every call of the model and of a tool is a step of its own in the journal, so an agent goes on in the
middle of a turn after a crash. A tool that fails does not fail the agent: the model is told what went
wrong, as it is told of a tool that does not exist or of arguments that are no JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from interplay.core.failures import Failure
from interplay.core.flows.ir import OnError, Policy, Retry
from interplay.core.flows.plan import AgentPlan, Evaluable, ScopePlan, StepPlan
from interplay.core.flows.values import Literal, Reference
from interplay.core.runs.composites.outcome import failure_of, succeed
from interplay.core.runs.events import StepProgressed
from interplay.core.runs.state import Composite, ScopeNames, ScopeState, StepState
from interplay.core.runs.status import StepStatus

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine

ASK: Final = "ask"
TOOLS: Final = "tools"
_MODEL: Final = Policy(retry=Retry(max=2))
_TOOL: Final = Policy(on_error=OnError("continue"))
_OPTIONS: Final = ("model", "temperature", "top_p", "max_tokens", "seed", "stop", "schema", "tool_choice")
_MOST_SHOWN: Final = 100_000  # characters of a tool's result that the model is given


def open_agent(step: StepState) -> None:
    """The conversation so far is the step's carry: the messages, and the tools once they are known."""
    given = {name: value.evaluate(step.scope.names) for name, value in step.plan.values.items()}
    messages = list(given.get("messages") or ())
    if given.get("system"):
        messages.insert(0, {"role": "system", "content": given["system"]})
    if "prompt" in given:
        content: Any = given["prompt"]
        if given.get("images"):
            pictures = [{"type": "image_url", "image_url": {"url": url}} for url in given["images"]]
            content = [{"type": "text", "text": content}, *pictures]
        messages.append({"role": "user", "content": content})
    step.inner = Composite(carry={"messages": messages, "tools": None if given.get("tools") else {"specs": []}})
    step.inner.over = [given]


def open_turn(machine: RunMachine, step: StepState, turn: int) -> ScopeState | None:
    """The scope of a turn; None for one that is over."""
    inner = step.inner
    assert inner is not None
    if turn != inner.turn:
        return None
    if turn not in inner.open:
        names = ScopeNames(step.scope.names, {})
        inner.open[turn] = machine.open_scope(_turn(inner), f"{step.key}[{turn}].", names, step, turn)
    return inner.open[turn]


def _turn(inner: Composite) -> ScopePlan:
    given, known = inner.over[0], inner.carry["tools"]
    values: dict[str, Evaluable] = {name: Literal(given[name]) for name in _OPTIONS if given.get(name) is not None}
    values["messages"] = Literal(inner.carry["messages"])
    if known is not None:
        if known["specs"]:
            values["tools"] = Literal(known["specs"])
        return ScopePlan({ASK: StepPlan(ASK, "chat", _MODEL, values)})
    values["tools"] = Reference("$tools.specs", TOOLS, ("specs",))
    listing: dict[str, Evaluable] = {"tools": Literal(given["tools"])}
    steps = {
        TOOLS: StepPlan(TOOLS, "toolbox", _MODEL, listing),
        ASK: StepPlan(ASK, "chat", _MODEL, values, frozenset({TOOLS})),
    }
    return ScopePlan(steps, None, {TOOLS: (ASK,)})


def look_at(machine: RunMachine, step: StepState, plan: AgentPlan, now: float) -> None:
    inner = step.inner
    assert inner is not None
    scope = inner.open.get(inner.turn) or open_turn(machine, step, inner.turn)
    assert scope is not None
    if scope.failed is not None:
        machine.fail(step, failure_of(scope), now)
        return
    answer = scope.steps[ASK]
    if answer.status is not StepStatus.SUCCEEDED:
        return
    calls = answer.output.get("tool_calls") or ()
    if not calls:
        _answered(machine, step, answer.output)
    elif inner.turn + 1 >= plan.max_turns:
        detail = f"The model still asked for tools in turn {inner.turn + 1}, and {plan.max_turns} is the most."
        machine.fail(step, Failure("too_many_steps", detail, step.key, "Raise `max_turns`, or say when to stop."), now)
    else:
        add_calls(machine, scope)
        if not scope.unsettled:
            carry = {"messages": _said(inner, scope), "tools": _known(inner, scope)}
            machine.record(step, StepProgressed(inner.turn, carry, step.usage))


def _answered(machine: RunMachine, step: StepState, output: dict[str, Any]) -> None:
    inner = step.inner
    assert inner is not None
    transcript = [*inner.carry["messages"], {"role": "assistant", "content": output.get("text")}]
    result = {"text": output.get("text"), "json": output.get("json"), "turns": inner.turn + 1}
    succeed(machine, step, {**result, "transcript": transcript})


def add_calls(machine: RunMachine, scope: ScopeState) -> None:
    """The tools that the model asked for join its turn; those whose arguments are no JSON do not."""
    answer = scope.steps.get(ASK)
    owner = scope.owner
    assert owner is not None
    assert owner.inner is not None
    if answer is None or answer.status is not StepStatus.SUCCEEDED:
        return
    tools = _known(owner.inner, scope).get("names", {})
    for number, call in enumerate(answer.output.get("tool_calls") or ()):
        key = f"call{number}"
        name, arguments = _asked(call)
        if key in scope.steps or name not in tools or not isinstance(arguments, dict):
            continue
        values: dict[str, Evaluable] = {"name": Literal(tools[name]), "arguments": Literal(arguments)}
        scope.unsettled += 1
        machine.mark(machine.add_step(scope, StepPlan(key, "tool", _TOOL, values), key, False))


def _known(inner: Composite, scope: ScopeState) -> dict[str, Any]:
    known: dict[str, Any] | None = inner.carry["tools"]
    if known is not None:
        return known
    listed: dict[str, Any] = scope.steps[TOOLS].output
    return listed


def _asked(call: dict[str, Any]) -> tuple[str, Any]:
    """The function's name, and its arguments; None for arguments that are no JSON."""
    function = call.get("function") or {}
    try:
        return str(function.get("name")), json.loads(function.get("arguments") or "{}")
    except ValueError:
        return str(function.get("name")), None


def _said(inner: Composite, scope: ScopeState) -> list[dict[str, Any]]:
    """The messages with this turn's answer and what each tool gave."""
    answer = scope.steps[ASK].output
    calls = answer["tool_calls"]
    messages = [
        *inner.carry["messages"],
        {"role": "assistant", "content": answer.get("text") or None, "tool_calls": calls},
    ]
    names = _known(inner, scope).get("names", {})
    for number, call in enumerate(calls):
        told = _told(scope.steps.get(f"call{number}"), call, names)
        messages.append({"role": "tool", "tool_call_id": str(call.get("id") or number), "content": told})
    return messages


def _told(step: StepState | None, call: dict[str, Any], names: dict[str, str]) -> str:
    if step is None:
        name, arguments = _asked(call)
        if name not in names:
            return f"Error: there is no tool {name!r}. There are: {', '.join(names) or 'none'}."
        found = "no JSON" if arguments is None else "no JSON object"
        return f"Error: the arguments of {name} are {found}."
    if step.status is not StepStatus.SUCCEEDED:
        return f"Error: {step.failure.detail if step.failure is not None else 'the tool was cancelled'}"
    result = step.output.get("result") if isinstance(step.output, dict) else step.output
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + " … (cut)"
