"""What the types of an alias cannot say: names that must exist, conditions that must compile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from interplay.core.flows.expressions import ExpressionProblem
from interplay.core.flows.source import Path
from interplay.core.flows.suggestions import listed, nearest
from interplay.core.models.accepting import Refusal, connection_problem, name_problem
from interplay.core.models.call_facts import MOST_CONDITIONS, compile_condition
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.policy import FALLBACK_CLASSES
from interplay.core.models.reading import Reader
from interplay.core.models.registry import Connection, Model

At = Callable[[Path], Path]


def check_connection(connection: Connection, reader: Reader, base: Path) -> None:
    """Complains of options that its kind does not have, and of what may not be kept."""
    _refused(connection_problem(connection), reader, base)
    known = KINDS[connection.kind].options
    for name in connection.options:
        if name not in known:
            there = listed(list(known)) if known else "none"
            near = nearest(name, list(known))
            meant = f"Did you mean {near[0]!r}?" if near else None
            message = f"{name!r} is no option of a connection of kind {connection.kind}"
            reader.complain((*base, "options", name), message, there, meant, key=True)


def check_model(model: Model, reader: Reader, base: Path, others: Mapping[str, str] | None = None) -> None:
    """Complains of all that is wrong. `others`: the tasks of the aliases that there are; None: not known here."""
    _refused(name_problem(model.name), reader, base)
    _deployments(model, reader, base)
    _conditions(model, reader, base)
    _shadow(model, reader, base)
    _aliases(model, reader, base, others)


def _refused(problem: Refusal | None, reader: Reader, base: Path) -> None:
    if problem is not None:
        reader.complain((*base, *problem.path), problem.detail, problem.expected)


def _deployments(model: Model, reader: Reader, base: Path) -> None:
    if not model.deployments:
        reader.complain((*base, "deployments"), "an alias needs a deployment", "a list of at least one")
    seen = Counter(deployment.label for deployment in model.deployments)
    for place, deployment in enumerate(model.deployments):
        if seen[deployment.label] > 1:
            message = f"two deployments are called {deployment.label!r}"
            reader.complain((*base, "deployments", place), message, "a `name` of its own for each")
            return
    named = {name for condition in model.policy.conditions for name in condition.use}
    if model.deployments and not any(d.weight > 0 or d.label in named for d in model.deployments):
        reader.complain((*base, "deployments"), "no deployment would ever be called", "a weight above 0 for one")


def _conditions(model: Model, reader: Reader, base: Path) -> None:
    here = (*base, "policy", "conditions")
    if len(model.policy.conditions) > MOST_CONDITIONS:
        message = f"there are {len(model.policy.conditions)} conditions"
        reader.complain(here, message, f"at most {MOST_CONDITIONS}")
    for place, condition in enumerate(model.policy.conditions):
        try:
            compile_condition(condition.when)
        except ExpressionProblem as wrong:
            expected = "true or false over `request`, `metadata` and `key`"
            reader.complain((*here, place, "when"), f"{condition.when!r}: {wrong}", expected)
        for index, name in enumerate(condition.use):
            _named(name, [d.label for d in model.deployments], reader, (*here, place, "use", index))


def _shadow(model: Model, reader: Reader, base: Path) -> None:
    if model.policy.shadow is not None:
        labels = [deployment.label for deployment in model.deployments]
        _named(model.policy.shadow.deployment, labels, reader, (*base, "policy", "shadow", "deployment"))


def _named(name: str, labels: Iterable[str], reader: Reader, path: Path) -> None:
    known = list(labels)
    if name not in known:
        near = nearest(name, known)
        meant = f"Did you mean {near[0]!r}?" if near else None
        reader.complain(path, f"no deployment is called {name!r}", listed(known), meant)


def _aliases(model: Model, reader: Reader, base: Path, others: Mapping[str, str] | None) -> None:
    fallbacks = model.policy.fallbacks
    for field in (*FALLBACK_CLASSES, "default"):
        for place, alias in enumerate(getattr(fallbacks, field) or ()):
            path = (*base, "policy", "fallbacks", field, place)
            if alias == model.name:
                reader.complain(path, f"{alias!r} would fall back to itself", "another alias")
            else:
                _alias(alias, model.task, reader, path, others)
    semantic = model.policy.cache.semantic if model.policy.cache is not None else None
    if semantic is not None:
        here = (*base, "policy", "cache", "semantic")
        if model.task != "chat":
            reader.complain(
                here, f"a model with `task: {model.task}` has no semantic cache", "a model with `task: chat`"
            )
        _alias(semantic.model, "embed", reader, (*here, "model"), others)


def _alias(alias: str, task: str, reader: Reader, path: Path, others: Mapping[str, str] | None) -> None:
    if others is None:
        return
    if alias not in others:
        near = nearest(alias, list(others))
        meant = f"Did you mean {near[0]!r}?" if near else None
        same = [name for name, found in others.items() if found == task]
        reader.complain(path, f"there is no model {alias!r}", f"a model with `task: {task}`: {listed(same)}", meant)
    elif others[alias] != task:
        reader.complain(path, f"{alias!r} has `task: {others[alias]}`", f"a model with `task: {task}`")
