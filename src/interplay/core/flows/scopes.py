"""Compiling one scope: what its steps may name, what each gives, and what depends on what."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from interplay.core.flows.expression_text import blank, dotted
from interplay.core.flows.expressions import (
    AnyExpression,
    ExpressionProblem,
    compile_expression,
)
from interplay.core.flows.ir import Step
from interplay.core.flows.kinds import KINDS, Form
from interplay.core.flows.plan import Evaluable, ScopePlan, StepPlan
from interplay.core.flows.problems import Place, Problem, problem_at
from interplay.core.flows.source import Path, Source
from interplay.core.flows.suggestions import listed, nearest
from interplay.core.flows.templates import TemplateProblem, TextTemplate, compile_template
from interplay.core.flows.types import ANY, Type, fits, type_of_value, with_article
from interplay.core.flows.values import (
    REFERENCE,
    Literal,
    ValueProblem,
    compile_value,
    expressions_in,
    tolerance,
    unknown_name,
)

MOST_EXPRESSIONS: Final = 6_000


def _expressions(raw: Any) -> int:
    """How many expressions a raw value holds, at most."""
    if isinstance(raw, str):
        return raw.count("${")
    if isinstance(raw, dict):
        return sum(map(_expressions, raw.values()))
    return sum(map(_expressions, raw)) if isinstance(raw, list) else 0


class Compiler:
    """Collects problems with their places; every method gives something usable even after one."""

    def __init__(self, source: Source, models: Mapping[str, str] | None, flows: Mapping[str, Any] | None) -> None:
        self.source = source
        self.models = models
        self.flows = flows
        self.problems: list[Problem] = []
        self.compiled = 0

    def say(
        self,
        code: str,
        message: str,
        path: Path,
        expected: str | None = None,
        suggestion: str | None = None,
        column: int = 0,
    ) -> None:
        place = self.source.place(path)
        inner = self.source.inner.get(path)
        if column and place.line and inner is not None:
            place = Place(place.file, place.line, place.column + column + inner)
        self.problems.append(problem_at(code, message, path, place, expected, suggestion))

    # ------------------------------------------------------------------ pieces

    def value(self, raw: Any, path: Path, names: Mapping[str, Type], wanted: Type = ANY) -> tuple[Evaluable, Type]:
        """A value that must fit `wanted`. Mistakes inside lists and mappings are told at their own place."""
        if self._too_many(_expressions(raw), path):
            return Literal(None), ANY
        told = len(self.problems)
        value, kind = compile_value(raw, names, lambda wrong, within: self._tell(wrong, (*path, *within)))
        if len(self.problems) == told and not fits(kind, wanted):
            shown = f"{raw} is" if isinstance(raw, str) and raw.startswith("$") else "this is"
            plain = isinstance(raw, str) and "$" not in raw
            advice = f"Write [{raw}]." if plain and wanted.kind == "list" else None
            self.say("type", f"{shown} {with_article(kind)}", path, with_article(wanted), advice)
        elif isinstance(raw, list) and wanted.items is not None:
            for place, item in enumerate(raw):
                found = type_of_value(item)
                if not (isinstance(item, str) and "$" in item) and not fits(found, wanted.items):
                    self.say("type", f"this is {with_article(found)}", (*path, place), with_article(wanted.items))
        return value, kind

    def expression(
        self, source: str, path: Path, names: Mapping[str, Type], wanted: str | None = "boolean"
    ) -> AnyExpression | None:
        if self._too_many(1, path):
            return None
        text, begin = source, 0
        if source.strip().startswith("${") and source.strip().endswith("}"):
            text = source.strip()[2:-1]
            begin = source.index("${") + 2
        try:
            made = compile_expression(text, names)
        except ExpressionProblem as wrong:
            self._tell(ExpressionProblem(wrong.message, wrong.column + begin), path)
            return None
        if wanted is not None and made.result not in (wanted, "any"):
            self.say("type", f"`{text.strip()}` is {with_article(made.type)}", path, f"a {wanted}")
        return made

    def _too_many(self, more: int, path: Path) -> bool:
        """Whether the flow holds more expressions and templates than are compiled: each takes half a millisecond."""
        before, self.compiled = self.compiled, self.compiled + more
        if before <= MOST_EXPRESSIONS < self.compiled:
            message = f"the flow has more than {MOST_EXPRESSIONS:,} expressions and templates"
            self.say("too_large", message, path, suggestion="Let a `map` do the same for each item of a list.")
        return self.compiled > MOST_EXPRESSIONS

    def _tell(self, wrong: Exception, path: Path) -> None:
        if isinstance(wrong, ExpressionProblem):
            message = f"the expression does not compile: {wrong.message}"
            self.say("expression", message, path, column=wrong.column)
        elif isinstance(wrong, ValueProblem):
            self.say("reference", wrong.message, path, wrong.expected, wrong.suggestion)

    def template(
        self, source: str, path: Path, known: frozenset[str], hidden: Container[str] = frozenset()
    ) -> TextTemplate | None:
        """`known` are the names it may use; `hidden` those that exist and must be passed by `with`."""
        if self._too_many(1, path):
            return None
        try:
            made = compile_template(source)
        except TemplateProblem as wrong:
            self.say("template", f"the template does not compile (line {wrong.line}): {wrong.message}", path)
            return None
        for name in sorted(made.roots - known):
            if name in hidden:
                message = f"the template uses {name!r}, and templates see only `inputs` and the names in `with`"
                self.say("template", message, path, suggestion=f"Add `with: {{{name}: ${name}}}`.")
            else:
                near = nearest(name, known)
                meant = f"Did you mean {near[0]!r}?" if near else None
                self.say(
                    "template",
                    f"the template uses {name!r}, which is no name here",
                    path,
                    f"one of {listed(sorted(known))}",
                    meant,
                )
        return made

    def model(self, alias: str, task: str | None, path: Path) -> None:
        """An alias that is known to the project, and does what is asked of it."""
        if self.models is None or "$" in alias or not alias:
            return
        found = self.models.get(alias)
        if found is None:
            near = nearest(alias, self.models)
            meant = f"Did you mean {near[0]!r}?" if near else None
            self.say(
                "model",
                f"there is no model {alias!r}",
                path,
                f"one of {listed(sorted(self.models)) or 'none yet'}",
                meant,
            )
        elif task is not None and found != task and not (task == "classify" and found == "chat"):
            self.say("model", f"{alias!r} is a model for {found}", path, f"a model for {task}")


def dependencies(
    step: Step, parts: list[Evaluable], siblings: Mapping[str, Step], compiler: Compiler, path: Path
) -> tuple[frozenset[str], frozenset[str]]:
    """What must settle first, and whose absence is fine."""
    needs: set[str] = set()
    strict: set[str] = set()
    for part in parts:
        roots = {root for root in part.roots if root in siblings}
        needs |= roots
        strict |= roots - tolerance(part)
    for name in step.policy.after:
        if (*path[:-1], name) in compiler.source.broken:
            continue
        if name not in siblings:
            wrong = unknown_name(name, dict.fromkeys(siblings, ANY), f"after: {name}")
            compiler.say("reference", wrong.message, (*path, "after"), wrong.expected, wrong.suggestion)
        else:
            needs.add(name)
            strict.add(name)
    return frozenset(needs), frozenset(needs - strict)


def order(steps: Mapping[str, Step], mentions: Mapping[str, frozenset[str]]) -> tuple[list[str], list[str]]:
    """Steps so that each comes after what it names, and, if there is one, a cycle."""
    done: list[str] = []
    state: dict[str, int] = {}
    for start in steps:
        trail: list[tuple[str, list[str]]] = [(start, sorted(mentions[start]))] if start not in state else []
        state.setdefault(start, 1)
        while trail:
            name, todo = trail[-1]
            if not todo:
                trail.pop()
                if state[name] == 1:
                    state[name] = 2
                    done.append(name)
                continue
            following = todo.pop(0)
            if state.get(following) == 1:
                names = [entry for entry, _ in trail]
                return done, [*names[names.index(following) :], following]
            if following not in state:
                state[following] = 1
                trail.append((following, sorted(mentions[following])))
    return done, []


def mentioned(raw: Any, known: frozenset[str]) -> frozenset[str]:
    """The sibling steps that a raw value may name: a superset, for ordering before anything has a type."""
    found: set[str] = set()
    if isinstance(raw, str):
        reference = REFERENCE.fullmatch(raw)
        if reference is not None:
            found.add(reference[1])
        elif "${" in raw and not raw.startswith("$$"):
            for expression in expressions_in(raw):
                found |= named_in(expression)
    elif isinstance(raw, dict):
        for value in raw.values():
            found |= mentioned(value, known)
    elif isinstance(raw, list | tuple):
        for value in raw:
            found |= mentioned(value, known)
    elif isinstance(raw, Step):
        found |= mentioned_by(raw, known)
    return frozenset(found) & known


def mentioned_by(step: Step, known: frozenset[str]) -> frozenset[str]:
    """The siblings that a step may name anywhere."""
    policy = step.policy
    found = set(policy.after) & known
    fields = KINDS[step.kind].fields
    for name, value in step.config.items():
        form = fields[name].form if name in fields else Form.VALUE
        if form is Form.CEL:
            found |= named_in(str(value)) & known
        elif form is Form.MESSAGES and isinstance(value, list):
            parts = [{k: v for k, v in message.items() if k != "content"} for message in value]
            found |= mentioned(parts, known)
        elif form in (Form.VALUE, Form.WITH, Form.STEPS, Form.MODEL):
            found |= mentioned(value, known)
    inner = step.config.get("steps") if step.kind != "set" else None
    if isinstance(inner, dict):
        found -= set(inner)
    if policy.when is not None:
        found |= named_in(policy.when) & known
    found |= mentioned(policy.on_error.use, known)
    if policy.limit is not None:
        found |= mentioned(policy.limit.key, known)
    return frozenset(found)


def named_in(expression: str) -> frozenset[str]:
    """The names that an expression may refer to."""
    return frozenset(root for root, _, _ in dotted(blank(expression)))


def scope_plan(plans: Mapping[str, StepPlan], output: Evaluable | None) -> ScopePlan:
    dependents: dict[str, list[str]] = {}
    for plan in plans.values():
        for need in plan.needs:
            dependents.setdefault(need, []).append(plan.id)
    return ScopePlan(dict(plans), output, {need: tuple(ids) for need, ids in dependents.items()})
