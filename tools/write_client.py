"""Writes the client without `await`, `sync*.py` of `src/interplay/client`, from the one with. `make docs` runs it."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import inspect
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from interplay.client.nouns import AsyncClient
from interplay.contracts.http import answers

Function = ast.FunctionDef | ast.AsyncFunctionDef
HEAD = '''"""{title}

Written by `make docs` from `{source}`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

'''
CLIENT = '''
class Client:
    """`with Client(url, key) as client: client.runs.create(...)`; `client.runs.follow(id)` is a plain iterator.

    It works on an event loop of its own in a thread. `project` and `patience` as for `AsyncClient`.
    """

    def __init__(
        self, url: str, key: str | None = None, project: str | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._loop = LoopThread()
        self._client = AsyncClient(url, key, project, patience=patience)
'''
END = '''
    def close(self) -> None:
        """Closes the connections to the server, and ends the thread; `with` does."""
        self._loop.run(self._client.close())
        self._loop.stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
'''
# Where the names of annotations are from.
SOURCES: tuple[ModuleType, ...] = (collections.abc, typing, answers)


def nouns() -> dict[str, type[Any]]:
    """The nouns of the client by their names on it."""
    return {name: type(noun) for name, noun in vars(AsyncClient("")).items() if not name.startswith("_")}


def class_of(kind: type[Any]) -> ast.ClassDef:
    [node] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    return node


def methods(kind: type[Any]) -> Iterator[Function]:
    """The public methods, in the order in which they are written; those that it inherits first."""
    own = [node for node in class_of(kind).body if isinstance(node, Function) and not node.name.startswith("_")]
    for base in kind.__bases__:
        if base is not object:
            yield from (node for node in methods(base) if node.name not in {mine.name for mine in own})
    yield from own


def passed(arguments: ast.arguments) -> str:
    """How a method hands on what it was given."""
    positional = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args] if argument.arg != "self"]
    given = [*positional, *(f"{argument.arg}={argument.arg}" for argument in arguments.kwonlyargs)]
    if arguments.vararg is not None:
        given.insert(len(positional), f"*{arguments.vararg.arg}")
    if arguments.kwarg is not None:
        given.append(f"**{arguments.kwarg.arg}")
    return ", ".join(given)


def plain_return(method: Function) -> str:
    return ast.unparse(method.returns).replace("AsyncIterator[", "Iterator[") if method.returns else "None"


def plain_method(method: Function, target: str) -> str:
    """The method without `await`."""
    overloads = [ast.unparse(decorator) for decorator in method.decorator_list]
    head = f"def {method.name}({ast.unparse(method.args)}) -> {plain_return(method)}:"
    if "overload" in overloads:
        return f"@overload\n{head} ...\n"
    iterates = plain_return(method).startswith("Iterator[")
    call = f"self._loop.{'each' if iterates else 'run'}({target}.{method.name}({passed(method.args)}))"
    lines = [head]
    if (told := ast.get_docstring(method)) is not None:
        lines.append(textwrap.indent(f'"""{told}{chr(10) if chr(10) in told else ""}"""', "    "))
    lines.append(f"    {'' if plain_return(method) == 'None' else 'return '}{call}")
    return "\n".join(lines) + "\n"


def plain_class(kind: type[Any]) -> str:
    body = [
        f'"""{inspect.getdoc(kind)}"""',
        f"def __init__(self, noun: {kind.__module__.rpartition('.')[2]}.{kind.__name__}, loop: LoopThread) -> None:\n"
        "    self._noun = noun\n    self._loop = loop\n",
        *(plain_method(method, "self._noun") for method in methods(kind)),
    ]
    return f"class {kind.__name__}:\n" + textwrap.indent("\n\n".join(body), "    ")


def plain_client(found: dict[str, type[Any]]) -> str:
    lines = [f"        self.{name} = {kind.__name__}(self._client.{name}, self._loop)" for name, kind in found.items()]
    own = [plain_method(method, "self._client") for method in methods(AsyncClient) if method.name != "close"]
    return CLIENT + "\n".join(lines) + "\n\n" + textwrap.indent("\n\n".join(own), "    ") + END


def imports(code: str, known: Iterable[str]) -> list[str]:
    """Where the names in the code are from that are not `known` otherwise."""
    tree = ast.parse(code)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    there = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} | set(vars(builtins)) | set(known)
    lines = []
    for source in SOURCES:
        names = sorted(name for name in used - there if name in getattr(source, "__all__", ()))
        there |= set(names)
        if names:
            lines.append(f"from {source.__name__} import {', '.join(names)}")
    return lines


def module(title: str, source: str, lines: Iterable[str], code: str) -> str:
    """Formatted as the rest of the code is. `lines`: imports that its code alone does not tell."""
    lines = list(lines)
    known = [name.strip() for line in lines for name in line.partition(" import ")[2].split(",")]
    text = HEAD.format(title=title, source=source) + "\n".join([*imports(code, known), *lines]) + f"\n\n\n{code}"
    for command in (["check", "--select", "I", "--fix-only", "--quiet"], ["format", "--quiet"]):
        line = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "src/interplay/client/sync.py", "-"]
        text = subprocess.run(line, input=text, capture_output=True, text=True, check=True).stdout
    return text


def sync_modules() -> dict[str, str]:
    """By file name: the client, and beside it the nouns of each module of nouns."""
    found = nouns()
    files, lines = {}, []
    for origin in sorted({kind.__module__.rpartition(".")[2] for kind in found.values()}):
        kinds = [kind for kind in found.values() if kind.__module__.rpartition(".")[2] == origin]
        code = "\n\n".join(plain_class(kind) for kind in kinds)
        needed = [f"from interplay.client import {origin}", "from interplay.client.loop_thread import LoopThread"]
        title = "Nouns of the client without `await`: the same methods."
        files[f"sync_{origin}.py"] = module(title, f"{origin}.py", needed, code)
        names = ", ".join(kind.__name__ for kind in kinds)
        lines.append(f"from interplay.client.sync_{origin} import {names}")
    needed = [
        "from types import TracebackType",
        *lines,
        "from interplay.client.loop_thread import LoopThread",
        "from interplay.client.nouns import AsyncClient",
        "from interplay.client.transport import PATIENCE",
    ]
    title = "The client without `await`: the same nouns and methods."
    files["sync.py"] = module(title, "nouns.py", needed, plain_client(found))
    return files
