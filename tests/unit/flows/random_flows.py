"""Random flows in the form that `parse_data` takes: every kind, every field, every policy, hard texts."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from interplay.core.flows.kinds import COMPOSING_POLICIES, KINDS, POLICIES, Field, Form, Kind

_HARD = (
    "plain|yes|no|null|~|1e3|0x1f|12:30|2026-11-24|- a|# no comment|a: b|{x}|[y]|*star|&and|!tag|%per|@at|`tick`|"
    "'single'|\"double\"| leads|trails |ünïcode ✓|tab\there|line\nline\n|two\n\nlines|\nfirst|.inf|.5|+1|1_000|=|<<|"
    "$inputs.q|$$cost|${ inputs.q + '$' }|x ${ inputs.q } y|{{ inputs.q }}|a\\b|é\u2028\u0085z|\U0001f600"
)
TEXTS = st.sampled_from(_HARD.split("|")) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t:#'\"${}- "), max_size=20
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True).filter(lambda name: name not in {"as", "inputs", "run"})
KEYS = TEXTS.filter(lambda text: text and "$" not in text)  # a key is never an expression
DATA = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
DURATIONS = st.integers(1, 400_000).map(lambda ms: ms / 1000) | st.sampled_from(["5m", "1h30m", "2d", "250ms", 3])
CODES = st.lists(st.sampled_from(["timeout", "unavailable", "rate_limited"]), min_size=1, max_size=2, unique=True)
POLICY: dict[str, st.SearchStrategy[Any]] = {
    "when": st.sampled_from(["inputs.q == 'x'", "a.ok", True, False]),
    "after": st.lists(NAMES, min_size=1, max_size=2, unique=True) | NAMES,
    "join": st.sampled_from(["all", "any", "first", "all_settled", "quorum(2)"]),
    "retry": st.integers(0, 9) | st.fixed_dictionaries({"max": st.integers(0, 9)}, optional={
        "backoff": DURATIONS, "max_backoff": DURATIONS, "on": CODES}),
    "timeout": DURATIONS | st.fixed_dictionaries({"total": DURATIONS}, optional={
        "attempt": DURATIONS, "first_token": DURATIONS, "idle": DURATIONS}),
    "cache": DURATIONS,
    "budget": st.fixed_dictionaries({}, optional={"usd": st.floats(0, 99), "tokens": st.integers(0, 10**9)}),
    "limit": st.fixed_dictionaries({"key": DATA, "concurrency": st.integers(1, 50)}),
    "on_error": st.sampled_from(["fail", "continue"]) | st.fixed_dictionaries({"use": DATA}),
    "stream": st.booleans(),
    "pool": st.sampled_from(["gpu", "eu-west_1"]),
    "effect": st.sampled_from([True, False, "retry", "fail", "ask"]),
}  # fmt: skip
TYPES = st.sampled_from(["string", "integer", "any", {"enum": ["a", "b"]}, {"type": "list", "items": "number"}])


_SPECIAL: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "approve": {"fields": st.dictionaries(NAMES, TYPES, max_size=2)},
    "classify": {"model": NAMES.filter(lambda name: name not in {"zero", "lexicon"})},
}


def _field(spec: Field, steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values that the form of a field takes."""
    if spec.form is Form.LITERAL:
        if spec.choices:
            return st.sampled_from(spec.choices)
        return st.booleans() if spec.type.kind == "boolean" else st.integers(1, spec.most or 9)
    message = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": _prompts()})
    return {
        Form.VALUE: DATA.filter(lambda value: value is not None),
        Form.TEXT: _prompts(),
        Form.MESSAGES: st.lists(message, min_size=1, max_size=2),
        Form.WITH: st.dictionaries(NAMES, DATA, max_size=2),
        Form.CEL: st.sampled_from(["confidence > 0.8", "carry.n >= 3"]),
        Form.MODEL: NAMES,
        Form.MODELS: st.lists(NAMES, min_size=1, max_size=3, unique=True),
        Form.STEPS: steps,
        Form.SCHEMA: st.fixed_dictionaries({"type": st.just("object")}, optional={"title": TEXTS}),
        Form.DURATION: DURATIONS,
        Form.NAME: NAMES,
    }[spec.form]


def _prompts() -> st.SearchStrategy[str]:
    return TEXTS.filter(lambda text: not text.strip().endswith((".md", ".txt", ".jinja", ".j2")))


def _of(kind: Kind, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    steps = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    if kind.open:
        config = st.dictionaries(NAMES, DATA, min_size=1, max_size=3)
    else:
        fields = {name: _field(spec, steps) for name, spec in kind.fields.items()}
        fields |= _SPECIAL.get(kind.name, {})
        alone = {name for group in (*kind.one_of, *kind.at_most_one) for name in group[1:]}
        needed = {name for name, spec in kind.fields.items() if spec.required or name in kind.defaults}
        needed |= {group[0] for group in kind.one_of}
        config = st.fixed_dictionaries(
            {name: fields[name] for name in sorted(needed)},
            optional={name: value for name, value in fields.items() if name not in needed | alone},
        )
    names = [name for name in POLICIES if not kind.composing or name in COMPOSING_POLICIES]
    names = [name for name in names if name != "stream" or kind.name == "chat" or kind.composing]
    policies = {name: POLICY[name] for name in names}
    return st.fixed_dictionaries({kind.name: config}, optional={"about": TEXTS, **policies})


def _steps(depth: int) -> st.SearchStrategy[Any]:
    kinds = [kind for kind in KINDS.values() if depth or not any(f.form is Form.STEPS for f in kind.fields.values())]
    inner = _steps(depth - 1) if depth else st.nothing()
    return st.sampled_from(kinds).flatmap(lambda kind: _of(kind, inner))


_INPUT = st.fixed_dictionaries({"type": st.just("any")}, optional={"default": DATA, "about": TEXTS})
FLOWS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"flow": st.just("random"), "steps": st.dictionaries(NAMES, _steps(2), min_size=1, max_size=4)},
    optional={
        "about": TEXTS,
        "inputs": st.dictionaries(NAMES, TYPES | _INPUT, min_size=1, max_size=3),
        "output": DATA,
        "deadline": DURATIONS,
        "max_steps": st.integers(1, 10_000),
    },
)
