"""A chat request as the keywords of one class's call."""

from __future__ import annotations

from typing import Any, Final

from interplay.adapters.langchain.site import Made, Site, Vendor
from interplay.core.failures import StepFailure
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.requests import ChatRequest

_PLAIN: Final = (
    "temperature", "top_p", "max_tokens", "seed", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty",
    "reasoning_effort", "user",
)  # fmt: skip
_CHECKED: Final = (*_PLAIN, "parallel_tool_calls", "tool_choice", "json")
_NO_FIELDS: Final = {"type": "object", "properties": {}}


def keywords(site: Site, vendor: Vendor, made: Made, request: ChatRequest, options: dict[str, Any]) -> dict[str, Any]:
    """What a call says beside its messages. Raises StepFailure (`bad_request`) for a field that it cannot say.

    `options` are the deployment's: fields of ours where they have the name of one, else keywords of the class.
    """
    said = _said(site, request)
    fields: dict[str, Any] = {**{name: value for name, value in options.items() if name in _PLAIN}, **said}
    plain: dict[str, Any] = {vendor.words.get(name, name): fields[name] for name in _PLAIN if name in fields}
    stop = request.stop if request.stop is not None else options.get("stop")
    if vendor.nested is not None:
        outside: dict[str, Any] = {
            name: plain.pop(name) for name in ("logprobs", "top_logprobs", "reasoning") if name in plain
        }
        if stop:
            plain["stop"] = stop
        plain = {**({vendor.nested: plain} if plain else {}), **outside}
    elif stop:
        plain["stop"] = stop
    given = {name: value for name, value in options.items() if name not in _PLAIN and name != "stop"}
    return {**vendor.always, **given, **plain, **_tools(site, vendor, made, request, said), **_format(vendor, request)}


def _said(site: Site, request: ChatRequest) -> dict[str, Any]:
    """The fields that the request sets and the provider understands."""
    lacks = KINDS[site.kind].lacks
    said: dict[str, Any] = {}
    for name in _CHECKED:
        value = getattr(request, name)
        if value is None or (value is False and name in ("logprobs", "json")):
            continue
        if name not in lacks or (name == "tool_choice" and value == "auto"):
            said[name] = value
        elif not request.drop_unsupported:
            raise StepFailure(
                "bad_request",
                f"A model of {site.kind} has no {name!r}.",
                where=name,
                advice="Leave it out, or let the model's policy drop what is not supported.",
            )
    return said


def _tools(site: Site, vendor: Vendor, made: Made, request: ChatRequest, said: dict[str, Any]) -> dict[str, Any]:
    if not request.tools:
        return {}
    keywords: dict[str, Any] = {}
    choice = said.get("tool_choice")
    if choice is not None and choice != "auto" and vendor.choice is not None:
        keywords["tool_choice"] = vendor.choice(choice)
        if keywords["tool_choice"] is None:
            if not request.drop_unsupported:
                raise StepFailure("bad_request", f"A model of {site.kind} cannot take {choice!r}.", where="tool_choice")
            del keywords["tool_choice"]
    if "parallel_tool_calls" in said:
        keywords["parallel_tool_calls"] = said["parallel_tool_calls"]
    tools = [_tool(tool, place) for place, tool in enumerate(request.tools)]
    if vendor.openai_tools:
        return {"tools": tools, **keywords}
    bound = made.model.bind_tools(tools, **keywords)
    return {name: value for name, value in bound.kwargs.items() if value is not None}


def _tool(tool: dict[str, Any], place: int) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise StepFailure(
            "bad_request", "A tool is `{type: function, function: {name, description, parameters}}`.",
            where=f"tools[{place}]",
        )  # fmt: skip
    known = {"name": function["name"], "description": function.get("description") or function["name"]}
    return {"type": "function", "function": {**known, "parameters": function.get("parameters") or _NO_FIELDS}}


def _format(vendor: Vendor, request: ChatRequest) -> dict[str, Any]:
    if request.schema is not None and vendor.schema is not None:
        return vendor.schema(request.schema)
    return dict(vendor.any_json) if request.json else {}


def called(choice: Any) -> str:
    """OpenAI's tool choice as one word: `auto`, `none`, `required` or the name of a function."""
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise StepFailure(
                "bad_request", "A tool choice is auto, none, required or `{type: function, function: {name}}`.",
                where="tool_choice",
            )  # fmt: skip
        return name
    return str(choice)


def openai_schema(schema: dict[str, Any]) -> dict[str, Any]:
    wanted = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}
