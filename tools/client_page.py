"""The page of the Python client: every noun and method with its signature, and what they return, key by key."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args

from typing_extensions import is_typeddict

from interplay.client import errors
from interplay.client.nouns import AsyncClient
from interplay.contracts.http import answers
from interplay.services.api.description import key_texts
from tools.write_client import methods, nouns

ABOUT = (
    "`AsyncClient` is for programs with an event loop; `Client` has the same nouns and methods without `await`, and "
    "what is an asynchronous iterator there is a plain one here. Both are typed: `mypy --strict` and editors know what "
    "every method returns."
)
EXAMPLE = """```python
from interplay.client import Client

with Client("http://127.0.0.1:8080", key) as client:
    run = client.runs.create("hello", {"name": "Ada"}, wait=30)
    print(run["status"], run["output"])
    for event in client.runs.follow(run["run"]):
        if event["type"] == "step.failed":
            print(event["step"], event["failure"]["detail"])
```"""
PAGES = (
    "`list` gives one page, `items` and `next`; `next` is the `cursor` of the following page, and None on the last. "
    "`each` goes through all pages."
)
NAME = re.compile(r"\b[A-Z]\w+\b")


def client_page(written: str) -> str:
    found = nouns()
    sections = [section(f"client.{name}", kind) for name, kind in found.items()]
    return "\n\n".join(
        [
            "# The Python client",
            written,
            ABOUT,
            EXAMPLE,
            PAGES,
            *sections,
            section("client", AsyncClient),
            "## Errors",
            "\n".join(f"* `{kind.__name__}`: {first_lines(kind)}" for kind in failures()),
            "## Answers",
            "Dictionaries; `interplay.contracts.http.answers` has their types. A key in italics may be absent.",
            *(answer_section(name) for name in answers.__all__ if is_typeddict(getattr(answers, name))),
            *(union_section(name) for name in answers.__all__ if not is_typeddict(getattr(answers, name))),
        ]
    )


def failures() -> Iterator[type[Exception]]:
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.ClientError):
            yield kind


def first_lines(kind: Any) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def section(name: str, kind: type[Any]) -> str:
    """A noun with its methods."""
    parts = [f"## {name}", "\n".join((inspect.getdoc(kind) or "").splitlines())]
    for method in methods(kind):
        if any(ast.unparse(decorator) == "overload" for decorator in method.decorator_list):
            continue
        method.args.args = [argument for argument in method.args.args if argument.arg != "self"]
        returned = ast.unparse(method.returns) if method.returns else "None"
        parts.append(f"### {name}.{method.name}")
        parts.append(f"```python\n{method.name}({ast.unparse(method.args)}) -> {returned}\n```")
        parts.append(" ".join((ast.get_docstring(method) or "").split()))
        known = [link for link in NAME.findall(returned) if hasattr(answers, link)]
        if known:
            parts.append("Gives " + ", ".join(f"[{link}](#{link.lower()})" for link in dict.fromkeys(known)) + ".")
    return "\n\n".join(parts)


def answer_section(name: str) -> str:
    """One TypedDict: its keys, their types and texts."""
    kind = getattr(answers, name)
    texts = key_texts(kind)
    rows = ["| key | type | meaning |", "| --- | --- | --- |"]
    for key, annotation in annotations(kind):
        absent = annotation.startswith("NotRequired[")
        shown = annotation.removeprefix("NotRequired[").removesuffix("]") if absent else annotation
        label = f"*`{key}`*" if absent else f"`{key}`"
        cells = (label, f"`{shown}`", " ".join(texts.get(key, "").split()))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n\n".join([f"### {name}", first_lines(kind), "\n".join(rows)])


def annotations(kind: Any) -> Iterator[tuple[str, str]]:
    """As they are written, those that it inherits first."""
    for base in getattr(kind, "__orig_bases__", ()):
        yield from annotations(base) if is_typeddict(base) else ()
    [node] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    for entry in node.body:
        if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
            yield entry.target.id, ast.unparse(entry.annotation)


def union_section(name: str) -> str:
    kinds = get_args(getattr(answers, name))
    shown = [f"[{kind.__name__}](#{kind.__name__.lower()})" if inspect.isclass(kind) else f"`{kind}`" for kind in kinds]
    return f"### {name}\n\nOne of {', '.join(shown)}."
