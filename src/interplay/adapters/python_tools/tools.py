"""Registered Python functions, called with checked arguments; one that is not `async` runs in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import pydantic

from interplay.core.errors import SetupError
from interplay.core.failures import StepFailure
from interplay.ports.tools import Tool

_ANSWER: Final = pydantic.TypeAdapter(Any)


class PythonTools:
    """`functions` by the name of their tool. Raises SetupError for one whose parameters have no JSON Schema."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = dict(functions)
        self._arguments = {name: _model(name, function) for name, function in functions.items()}

    async def list(self, project_id: int) -> list[Tool]:  # noqa: ARG002
        return [
            Tool(name, inspect.getdoc(function) or name, self._arguments[name].model_json_schema())
            for name, function in self._functions.items()
        ]

    async def call(self, project_id: int, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> Any:  # noqa: ARG002
        if name not in self._functions:
            raise StepFailure("not_found", f"There is no tool {name!r}.")
        try:
            checked = self._arguments[name].model_validate(dict(arguments))
        except pydantic.ValidationError as wrong:
            first = wrong.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StepFailure("bad_request", f"{name}: {where}: {first['msg']}.") from None
        given = {field: getattr(checked, field) for field in type(checked).model_fields}
        function = self._functions[name]
        try:
            result = (
                function(**given) if inspect.iscoroutinefunction(function) else asyncio.to_thread(function, **given)
            )
            return _ANSWER.dump_python(await result, mode="json")
        except StepFailure:
            raise
        except Exception as failed:
            raise StepFailure("bad_request", f"{name} failed: {type(failed).__name__}: {failed}.") from failed


def _model(name: str, function: Callable[..., Any]) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SetupError(f"The tool {name} takes {parameter}, which a model cannot give.", where=name)
        hint = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (hint, ... if parameter.default is parameter.empty else parameter.default)
    try:
        made: type[pydantic.BaseModel] = pydantic.create_model(
            name, __config__=pydantic.ConfigDict(extra="forbid"), **fields
        )
        made.model_json_schema()
    except (pydantic.PydanticUserError, pydantic.PydanticSchemaGenerationError) as wrong:
        raise SetupError(
            f"The tool {name} has a parameter without a JSON Schema: {wrong.message}.", where=name
        ) from None
    return made
