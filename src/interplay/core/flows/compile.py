"""From the IR to a plan: every value compiled against the types of what it names. Checking is compiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interplay.core.flows.composing import compile_composite
from interplay.core.flows.ir import Flow, Step
from interplay.core.flows.kinds import KINDS, Form, Kind
from interplay.core.flows.plan import Evaluable, Plan, ScopePlan, StepPlan
from interplay.core.flows.problems import InvalidFlow, Problem, in_order
from interplay.core.flows.scopes import Compiler, dependencies, mentioned_by, order, scope_plan
from interplay.core.flows.source import Path, Source
from interplay.core.flows.types import (
    ANY,
    NUMBER,
    OBJECT,
    STRING,
    Type,
    TypeProblem,
    fits,
    object_of,
    parse_type,
    with_article,
)
from interplay.core.flows.values import Literal, Record, Rendered, Sequence, ValueProblem, step_into, tolerance

Typed = tuple[Evaluable, Type]
_FATAL: Final = frozenset({"expression", "reference", "template", "cycle"})
DEFAULT_DEADLINE: Final = 86_400.0  # seconds
DEFAULT_MAX_STEPS: Final = 10_000
RUN_TYPE: Final = object_of(id=STRING, started_at=NUMBER)


@dataclass(slots=True)
class CheckResult:
    """`plan` is None when there are problems."""

    problems: list[Problem]
    plan: Plan | None
    types: dict[str, Type]


def compile_flow(flow: Flow, version: str = "") -> Plan:
    """The plan of a flow that was checked before. Raises InvalidFlow when nothing can be made of it.

    A run keeps its version for life, and a later release may check more than the one that accepted it: only
    what cannot be compiled at all is refused here.
    """
    problems, plan, _ = _compiled(flow, FlowCompiler(Source(), None, None), version)
    if any(problem.code in _FATAL for problem in problems):
        raise InvalidFlow(problems)
    return plan


def check_flow(
    flow: Flow,
    source: Source | None = None,
    *,
    models: Mapping[str, str] | None = None,
    flows: Mapping[str, Any] | None = None,
    version: str = "",
) -> CheckResult:
    """All that is wrong with a flow, and its plan when nothing is.

    `models` maps the aliases that the project knows to their tasks, `flows` the names of its flows to
    their input names; None leaves such names unchecked.
    """
    problems, plan, types = _compiled(flow, FlowCompiler(source or Source(), models, flows), version)
    return CheckResult(problems, None if problems else plan, types)


def _compiled(flow: Flow, compiler: FlowCompiler, version: str) -> tuple[list[Problem], Plan, dict[str, Type]]:
    names: dict[str, Type] = {"inputs": _inputs_type(flow, compiler), "run": RUN_TYPE}
    root, types = compiler.scope(flow.steps, ("steps",), names)
    output = None
    if flow.output is not None:
        output, _ = compiler.value(flow.output, ("output",), {**names, **types})
        compiler.absences(root, output, ("output",))
    scope = ScopePlan(root.steps, output, root.dependents)
    plan = Plan(flow, version, scope, flow.deadline or DEFAULT_DEADLINE, flow.max_steps or DEFAULT_MAX_STEPS)
    return in_order(compiler.problems), plan, types


def _inputs_type(flow: Flow, compiler: Compiler) -> Type:
    fields: dict[str, Type] = {}
    for name, spec in flow.inputs.items():
        try:
            fields[name] = parse_type(spec.type)
        except TypeProblem as wrong:
            compiler.say("type", str(wrong), ("inputs", name))
            fields[name] = ANY
    return Type("object", None, fields, (), frozenset(fields))


class FlowCompiler(Compiler):
    """Compiles scopes and steps; the composing kinds come back here for their inner steps."""

    def scope(
        self, steps: Mapping[str, Step], path: Path, outer: Mapping[str, Type]
    ) -> tuple[ScopePlan, dict[str, Type]]:
        """The plan of a scope and the types of what its steps give."""
        known = frozenset(steps)
        unread: dict[str, Type] = {str(broken[-1]): ANY for broken in self.source.broken if broken[:-1] == path}
        outer = {**outer, **unread}
        mentions = {name: mentioned_by(step, known) - {name} for name, step in steps.items()}
        circular = {name for name, step in steps.items() if name in mentioned_by(step, known) and name not in outer}
        for name in sorted(circular):
            self.say("cycle", f"{name} refers to itself", (*path, name))
        ordered, cycle = order(steps, mentions)
        if cycle:
            self.say("cycle", f"these steps wait for each other: {' → '.join(cycle)}", (*path, cycle[0]))
            ordered = list(steps)
        types: dict[str, Type] = {**unread, **dict.fromkeys(steps, ANY)}
        plans: dict[str, StepPlan] = {}
        names = {**outer, **types}
        for name in ordered:
            if name not in outer and name not in circular:
                del names[name]  # a step does not see itself
            plans[name], types[name] = self.step(name, steps[name], (*path, name), names, steps)
            names[name] = types[name]
        return scope_plan({name: plans[name] for name in steps}, None), types

    def step(
        self, name: str, step: Step, path: Path, names: Mapping[str, Type], siblings: Mapping[str, Step]
    ) -> tuple[StepPlan, Type]:
        kind = KINDS[step.kind]
        inner: Path = (*path, kind.name)
        policy = step.policy
        composite = None
        types: dict[str, Type] = {}
        values: dict[str, Evaluable] = {}
        if kind.composing:
            composite, values, result = compile_composite(self, kind, step, inner, names)
        else:
            values = self.leaf(kind, step.config, inner, names, types)
            result = kind.gives(step.config, types)
        when = self.expression(policy.when, (*path, "when"), names) if policy.when is not None else None
        limit_key = fallback = None
        if policy.limit is not None:
            limit_key, _ = self.value(policy.limit.key, (*path, "limit", "key"), names)
        if policy.on_error.action == "use":
            fallback = self._fallback(kind, policy.on_error.use, result, names, path)
        extra = [part for part in (when, limit_key, fallback) if part is not None]
        parts = [*values.values(), *extra, *composite_parts(composite)]
        needs, tolerates = dependencies(step, parts, siblings, self, path)
        self._quorum(step, needs, path)
        self._absent_by_join(step, parts, siblings, path)
        plan = StepPlan(
            name, step.kind, policy, values, needs - {name}, tolerates, when, limit_key, fallback, composite
        )
        return plan, result

    def _fallback(self, kind: Kind, raw: Any, result: Type, names: Mapping[str, Type], path: Path) -> Evaluable:
        """What stands for the result after a failure. A value of the kind's first field stands for that field:
        `use: $find.documents` on a rerank, `use: Sorry.` on a chat."""
        at: Path = (*path, "on_error", "use")
        value, used = self.value(raw, at, names)
        if fits(used, result):
            return value
        first = next(iter((result.fields or {}).items()), None)
        if first is not None and not kind.open and used.kind != "object" and fits(used, first[1]):
            return Record(((first[0], value),))
        self.say("type", f"the value used instead is {with_article(used)}", at, with_article(result))
        return value

    def _quorum(self, step: Step, needs: frozenset[str], path: Path) -> None:
        join = step.policy.join
        if join.mode == "quorum" and join.quorum > len(needs):
            message = f"quorum({join.quorum}) of {len(needs)} steps can never be reached"
            self.say("policy", message, (*path, "join"), f"at most {len(needs)}")

    def _absent_by_join(self, step: Step, parts: list[Evaluable], siblings: Mapping[str, Step], path: Path) -> None:
        """A join that goes on without a step needs references that can do without it."""
        join = step.policy.join
        if join.mode == "all":
            return
        needs = {root for part in parts for root in part.roots if root in siblings}
        if join.mode != "all_settled" and len(needs | set(step.policy.after)) < 2:
            return
        if join.mode == "quorum" and join.quorum >= len(needs | set(step.policy.after)):
            return
        strict = {root for part in parts for root in (part.roots - tolerance(part)) & set(siblings)}
        for name in sorted(strict):
            policy = siblings[name].policy
            if join.mode == "all_settled" and policy.on_error.action == "use" and policy.when is None:
                continue
            message = f"`join: {join.mode}` goes on without {name}, and a reference here needs it"
            advice = f'Write "${{ first({name}.…, …) }}" or test has({name}.…).'
            self.say("absent", message, (*path, "join"), "references that can do without it", advice)

    def leaf(
        self, kind: Kind, config: Mapping[str, Any], path: Path, names: Mapping[str, Type], types: dict[str, Type]
    ) -> dict[str, Evaluable]:
        """The fields of a leaf step, compiled; `types` collects theirs."""
        if kind.open:
            value, types["value"] = self.value(dict(config), path, names)
            return {"value": value}
        within = {
            name: self.value(raw, (*path, "with", name), names) for name, raw in (config.get("with") or {}).items()
        }
        values: dict[str, Evaluable] = {
            name: Literal(value) for name, value in kind.defaults.items() if name not in config
        }
        for name, raw in config.items():
            spec = kind.fields[name]
            at: Path = (*path, name)
            match spec.form:
                case Form.TEXT:
                    values[name] = self.text(raw, at, names, within)
                case Form.MESSAGES:
                    values[name] = self._messages(raw, at, names, within)
                case Form.MODEL:
                    self.model(raw, spec.task, at)
                    values[name], _ = self.value(raw, at, names, STRING)
                case Form.WITH | Form.STEPS | Form.MODELS:
                    continue
                case Form.VALUE:
                    values[name], types[name] = self.value(raw, at, names, spec.type)
                case _:
                    values[name] = Literal(raw)
        for name, default in kind.defaults.items():
            if name not in config and name == "model":
                self.model(str(default), kind.fields[name].task, path)
        return values

    def text(self, raw: str, path: Path, names: Mapping[str, Type], within: Mapping[str, Typed]) -> Evaluable:
        """A template. Its fields are checked as far as anybody knows them."""
        # a template sees `with`, `inputs`, and what a composing kind adds (an item, index, carry, answers)
        added = frozenset(name for name in ("inputs", *self.added) if name in names)
        template = self.template(raw, path, added | frozenset(within), names)
        if template is None:
            return Literal("")
        for root, *fields in sorted(template.paths):
            kind, shown = within[root][1] if root in within else names.get(root, ANY), root
            try:
                for field in fields:
                    kind, shown = step_into(kind, field, shown), f"{shown}.{field}"
            except ValueProblem as wrong:
                message = wrong.message.replace("$", "", 1)
                meant = wrong.suggestion.replace("$", "", 1) if wrong.suggestion else None
                self.say("template", f"in the template, {message}", path, wrong.expected, meant)
        return Rendered(template, {name: value for name, (value, _) in within.items()}, added)

    def _messages(self, raw: Any, path: Path, names: Mapping[str, Type], within: Mapping[str, Typed]) -> Evaluable:
        items: list[Evaluable] = []
        for place, message in enumerate(raw):
            content = message.get("content")
            fields: list[tuple[str, Evaluable]] = [
                (name, self.value(value, (*path, place, name), names)[0])
                for name, value in message.items()
                if name != "content"
            ]
            if isinstance(content, str):
                fields.append(("content", self.text(content, (*path, place, "content"), names, within)))
            elif content is not None:
                fields.append(("content", self.value(content, (*path, place, "content"), names)[0]))
            items.append(Record(tuple(fields)))
        return Sequence(tuple(items))

    added: frozenset[str] = frozenset()

    def absences(self, scope: ScopePlan, value: Evaluable, path: Path) -> None:
        """What is asked for after a scope has ended must be there whatever was skipped."""
        if isinstance(value, Record):
            for name, part in value.fields:
                self.absences(scope, part, (*path, name))
            return
        for name in sorted((value.roots - tolerance(value)) & set(scope.steps)):
            reason = may_be_absent(name, scope)
            if reason is not None:
                self.say(
                    "absent",
                    f"{name} may have no value here ({reason})",
                    path,
                    "a value in any case",
                    f'Write "${{ first({name}.…, …) }}" with what to use instead.',
                )


def may_be_absent(name: str, scope: ScopePlan) -> str | None:
    """Why a step may end without a value although the run goes on; None when it cannot."""
    seen: set[str] = set()
    todo = [(name, "")]
    while todo:
        current, via = todo.pop()
        if current in seen or current not in scope.steps:
            continue
        seen.add(current)
        plan = scope.steps[current]
        if plan.when is not None:
            return f"{current} has a condition" if not via else f"it needs {current}, which has a condition"
        if plan.policy.on_error.action == "continue":
            return f"{current} may fail and the run goes on"
        if plan.policy.join.mode == "all":
            todo += [(need, current) for need in plan.needs if need not in plan.tolerates]
    return None


def composite_parts(composite: Any) -> list[Evaluable]:
    """Everything inside a composing step that may name something outside of it."""
    found: list[Evaluable] = []
    if composite is None:
        return found
    for name in ("over", "concurrency", "carry", "update", "until", "accept"):
        part = getattr(composite, name, None)
        if part is not None:
            found.append(part)
    body: ScopePlan | None = getattr(composite, "body", None)
    judge: StepPlan | None = getattr(composite, "judge", None)
    for plan in [*(body.steps.values() if body is not None else ()), *([judge] if judge is not None else [])]:
        found += [*plan.values.values(), *(p for p in (plan.when, plan.limit_key, plan.fallback) if p is not None)]
        found += composite_parts(plan.composite)
    if body is not None and body.output is not None:
        found.append(body.output)
    return found


__all__ = ["OBJECT", "CheckResult", "check_flow", "compile_flow"]
