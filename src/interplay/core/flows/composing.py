"""Compiling the kinds that are made of steps: map, loop, ensemble, cascade, race, flow, agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interplay.core.flows.ir import Policy, Step
from interplay.core.flows.kinds import KINDS, Kind, chat_result
from interplay.core.flows.plan import (
    AgentPlan,
    BranchesPlan,
    Composite,
    Evaluable,
    LoopPlan,
    MapPlan,
    ScopePlan,
    StepPlan,
    SubflowPlan,
)
from interplay.core.flows.scopes import scope_plan
from interplay.core.flows.source import Path
from interplay.core.flows.suggestions import listed, nearest
from interplay.core.flows.types import (
    ANY,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Type,
    fits,
    list_of,
    object_of,
    with_article,
)
from interplay.core.flows.values import Literal

if TYPE_CHECKING:
    from interplay.core.flows.compile import FlowCompiler

Compiled = tuple[Composite | None, dict[str, Evaluable], Type]
_FAILED = list_of(object_of(index=INTEGER, error=OBJECT))
_ANSWERING = frozenset(
    {
        "prompt",
        "messages",
        "system",
        "with",
        "images",
        "schema",
        "temperature",
        "top_p",
        "max_tokens",
        "seed",
        "stop",
        "logprobs",
    }
)


def compile_composite(
    compiler: FlowCompiler, kind: Kind, step: Step, path: Path, names: Mapping[str, Type]
) -> Compiled:
    """The composite, the step's own values, and the type of its result."""
    config = step.config
    if kind.name == "map":
        return _map(compiler, config, path, names)
    if kind.name == "loop":
        return _loop(compiler, config, path, names)
    if kind.name == "flow":
        return _flow(compiler, config, path, names)
    if kind.name == "agent":
        return _agent(compiler, kind, config, path, names)
    return _branches(compiler, kind, config, path, names)


def _inside(
    compiler: FlowCompiler, steps: Any, path: Path, outer: Mapping[str, Type], added: Mapping[str, Type]
) -> tuple[ScopePlan, dict[str, Type]]:
    """An inner scope: it sees the outer names and what its kind adds."""
    for name in steps or {}:
        if name in outer:
            compiler.say("id", f"{name!r} is already a name around here", (*path, name), "another id")
    before, compiler.added = compiler.added, compiler.added | frozenset(added)
    try:
        return compiler.scope(steps or {}, path, {**outer, **added})
    finally:
        compiler.added = before


def _map(compiler: FlowCompiler, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]) -> Compiled:
    over, kind = compiler.value(config.get("over"), (*path, "over"), names, list_of(ANY))
    item = kind.items if kind.kind == "list" and kind.items is not None else ANY
    as_name = str(config.get("as", "item"))
    if as_name in names:
        compiler.say("id", f"{as_name!r} is already a name around here", (*path, "as"), "another name")
    concurrency = None
    if "concurrency" in config:
        concurrency, _ = compiler.value(config["concurrency"], (*path, "concurrency"), names, INTEGER)
    added = {as_name: item, "index": INTEGER}
    body, types = _inside(compiler, config.get("steps"), (*path, "steps"), names, added)
    output, result = compiler.value(config.get("output"), (*path, "output"), {**names, **added, **types})
    mode = config.get("on_item_error", "fail")
    scope = ScopePlan(body.steps, output, body.dependents)
    if mode == "fail":
        compiler.absences(body, output, (*path, "output"))
    gives = object_of(items=list_of(result if mode != "null" else ANY), failed=_FAILED)
    return MapPlan(over, as_name, scope, concurrency, mode), {}, gives


def _loop(compiler: FlowCompiler, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]) -> Compiled:
    carry, first = compiler.value(config.get("carry"), (*path, "carry"), names)
    added = {"carry": _widened(first), "index": INTEGER}
    body, types = _inside(compiler, config.get("steps"), (*path, "steps"), names, added)
    update, following = compiler.value(config.get("update"), (*path, "update"), {**names, **added, **types})
    compiler.absences(body, update, (*path, "update"))
    _carried_on(compiler, added["carry"], following, (*path, "update"))
    until = None
    if config.get("until") is not None:
        until = compiler.expression(config["until"], (*path, "until"), {**names, **added})
    most = config.get("max")
    turns = most if isinstance(most, int) else 1
    return LoopPlan(carry, body, update, until, turns), {}, object_of(carry=added["carry"], iterations=INTEGER)


def _carried_on(compiler: FlowCompiler, first: Type, following: Type, path: Path) -> None:
    """What `update` gives must be what the next turn expects of `carry`."""
    if not fits(following, first):
        compiler.say("type", f"`update` gives {with_article(following)}", path, f"{with_article(first)}, like `carry`")
    elif first.fields is not None and following.fields is not None:
        for missing in sorted(set(first.fields) - set(following.fields)):
            compiler.say("type", f"`update` does not give {missing!r}, which `carry` has", path)
        for name in sorted(set(first.fields) & set(following.fields)):
            if not fits(following.fields[name], first.fields[name]):
                found, wanted = with_article(following.fields[name]), with_article(first.fields[name])
                compiler.say("type", f"`update` makes {name} {found}", (*path, name), f"{wanted}, like `carry`")


def _widened(kind: Type) -> Type:
    """What a carry may become: a literal label is any text from the second turn on."""
    if kind.kind == "object" and kind.fields is not None:
        return Type("object", None, {n: _widened(t) for n, t in kind.fields.items()}, kind.enum, kind.sure)
    return STRING if kind.kind == "enum" else ANY if kind.kind == "null" else kind


def _branches(
    compiler: FlowCompiler, kind: Kind, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]
) -> Compiled:
    if config.get("steps") is not None:
        body, types = _alternatives(compiler, config["steps"], (*path, "steps"), names)
        for field in sorted(_ANSWERING & set(config)):
            compiler.say("unknown_key", f"{field!r} goes with `models`, not with `steps`", (*path, field))
    else:
        body, types = _by_models(compiler, config, path, names)
    result = _common(list(types.values()))
    accept = None
    if config.get("accept") is not None:
        fields = dict(result.fields or {}) if result.kind == "object" else {}
        accept = compiler.expression(config["accept"], (*path, "accept"), {**names, **fields, **_answered(fields)})
    quorum = config.get("quorum")
    if isinstance(quorum, int) and quorum > len(body.steps):
        message = f"a quorum of {quorum} of {len(body.steps)} can never be reached"
        compiler.say("value", message, (*path, "quorum"), f"at most {len(body.steps)}")
    _answer(compiler, config, types, path)
    combine = config.get("combine", "vote")
    judge = _judge(compiler, config, path, names) if combine == "judge" else None
    plan = BranchesPlan(
        kind.name,  # type: ignore[arg-type]
        body,
        config.get("answer"),
        combine,
        quorum,
        bool(config.get("stop_early", False)),
        accept,
        judge,
    )
    return plan, {}, _branches_result(kind.name, body, result)


def _answered(fields: Mapping[str, Type]) -> dict[str, Type]:
    """`confidence` is asked about as a number even where nobody promises one: absent, it is not accepted."""
    return {"confidence": NUMBER} if "confidence" not in fields or fields["confidence"].kind == "any" else {}


def _alternatives(
    compiler: FlowCompiler, steps: Any, path: Path, names: Mapping[str, Type]
) -> tuple[ScopePlan, dict[str, Type]]:
    """Branches do not see each other."""
    plans: dict[str, StepPlan] = {}
    types: dict[str, Type] = {}
    for name, step in (steps or {}).items():
        if name == "judge":
            compiler.say("id", "'judge' is the name of the judge's own step", (*path, name), "another id")
        plans[name], types[name] = compiler.step(name, step, (*path, name), names, {})
    return scope_plan(plans, None), types


def _by_models(
    compiler: FlowCompiler, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]
) -> tuple[ScopePlan, dict[str, Type]]:
    """The same question to each model: a chat step for each, under the model's alias."""
    if config.get("models") and "prompt" not in config and "messages" not in config:
        compiler.say("missing", "`models` need a prompt", path, "`prompt` or `messages`")
    shared = {name: value for name, value in config.items() if name in _ANSWERING}
    chat = KINDS["chat"]
    plans: dict[str, StepPlan] = {}
    types: dict[str, Type] = {}
    told = len(compiler.problems)
    for place, alias in enumerate(config.get("models") or ()):
        compiler.model(alias, "chat", (*path, "models", place))
        types[alias] = chat_result(shared, {})
        said = len(compiler.problems)
        leaf: dict[str, Type] = {}
        values = compiler.leaf(chat, {**shared, "model": alias}, path, names, leaf)
        if place or told != said:  # the shared fields were told about once
            unknown = [p for p in compiler.problems[said:] if p.code == "model"]
            del compiler.problems[said:]
            if not place:
                compiler.problems += [p for p in unknown if p not in compiler.problems]
        plans[alias] = StepPlan(alias, "chat", Policy(), values)
    return scope_plan(plans, None), types


def _common(types: list[Type]) -> Type:
    """The fields that alternatives give, with their type where all agree; sure are those that every one has."""
    if not types or any(kind.kind != "object" or kind.fields is None for kind in types):
        return ANY
    fields: dict[str, Type] = {}
    for name in dict.fromkeys(name for kind in types for name in kind.fields or {}):
        kinds = [kind.fields[name] for kind in types if kind.fields and name in kind.fields]
        fields[name] = kinds[0] if all(kind == kinds[0] for kind in kinds) else _either(kinds)
    open_ended = any("open" in kind.enum for kind in types)
    sure = frozenset.intersection(*(kind.sure or frozenset() for kind in types))
    return Type("object", None, fields, ("open",) if open_ended else (), sure)


def _either(kinds: list[Type]) -> Type:
    if all(kind.kind in ("string", "enum") for kind in kinds):
        return STRING
    return ANY


def _answer(compiler: FlowCompiler, config: Mapping[str, Any], types: Mapping[str, Type], path: Path) -> None:
    answer = config.get("answer")
    if answer is None:
        return
    for name, kind in types.items():
        if kind.kind == "object" and kind.fields is not None and answer not in kind.fields and "open" not in kind.enum:
            near = nearest(answer, kind.fields)
            meant = f"Did you mean {near[0]!r}?" if near else None
            message = f"{name} gives no {answer!r}"
            compiler.say("reference", message, (*path, "answer"), f"one of {listed(kind.fields)}", meant)


def _judge(compiler: FlowCompiler, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]) -> StepPlan | None:
    """The judge reads the answers and names the one that it finds best."""
    alias = config.get("judge")
    if not isinstance(alias, str):
        compiler.say("missing", "`combine: judge` needs the judge's model", path, "`judge: <model>`")
        return None
    compiler.model(alias, "chat", (*path, "judge"))
    prompt = (
        "Several answers to the same task, by name:\n{{ answers | tojson(indent=2) }}\n"
        "Which is the best? Reply with its name only."
    )
    seen = {**names, "answers": OBJECT}
    schema = {
        "type": "object",
        "properties": {"winner": {"type": "string", "enum": _branch_names(config)}},
        "required": ["winner"],
        "additionalProperties": False,
    }
    before, compiler.added = compiler.added, compiler.added | {"answers"}
    values: dict[str, Evaluable] = {
        "model": Literal(alias),
        "prompt": compiler.text(prompt, path, seen, {}),
        "schema": Literal(schema),
    }
    compiler.added = before
    return StepPlan("judge", "chat", Policy(), values)


def _branch_names(config: Mapping[str, Any]) -> list[str]:
    return list(config.get("models") or config.get("steps") or ())


def _branches_result(kind: str, body: ScopePlan, result: Type) -> Type:
    names = Type("enum", enum=tuple(body.steps)) if body.steps else STRING
    if kind == "race":
        return object_of(winner=names, output=result)
    if kind == "ensemble":
        return object_of(winner=ANY, answers=OBJECT, agreement=NUMBER)
    own = {"tier": names, "output": result}
    if all(plan.kind == "chat" for plan in body.steps.values()) and result.fields is not None:
        own = {**result.fields, **own}
    return object_of(**own)


def _agent(
    compiler: FlowCompiler, kind: Kind, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]
) -> Compiled:
    asked = {name: value for name, value in config.items() if name != "max_turns"}
    values = compiler.leaf(kind, asked, path, names, {})
    turns = config.get("max_turns")
    return AgentPlan(turns if isinstance(turns, int) else 10), values, kind.gives(config, {})


def _flow(compiler: FlowCompiler, config: Mapping[str, Any], path: Path, names: Mapping[str, Type]) -> Compiled:
    name = str(config.get("name"))
    given = config.get("inputs") or {}
    if compiler.flows is not None:
        if name not in compiler.flows:
            near = nearest(name, compiler.flows)
            meant = f"Did you mean {near[0]!r}?" if near else None
            compiler.say("flow", f"there is no flow {name!r}", (*path, "name"), suggestion=meant)
        elif isinstance(given, dict):
            known = compiler.flows[name]
            for extra in sorted(set(given) - set(known)):
                near = nearest(extra, known)
                meant = f"Did you mean {near[0]!r}?" if near else None
                compiler.say(
                    "reference",
                    f"{name} has no input {extra!r}",
                    (*path, "inputs", extra),
                    f"one of {listed(known)}",
                    meant,
                )
    inputs, _ = compiler.value(given, (*path, "inputs"), names, OBJECT)
    return SubflowPlan(name, config.get("channel"), config.get("version")), {"inputs": inputs}, ANY
