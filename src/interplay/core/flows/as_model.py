"""A flow called as a chat model: which of its inputs a conversation becomes, and what text its output is.

an input `messages`                                   gets the whole conversation
else `question`, `prompt`, `text` or `input`          gets the last message of the user,
or the only required input that takes text
every other input                                     comes by its name, in `inputs` or `metadata.inputs`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput, InvalidRunInputs
from interplay.core.flows.ir import Flow
from interplay.core.flows.types import check_inputs, input_type

PREFIX: Final = "flow/"
CONVERSATION: Final = "messages"
_QUESTIONS: Final = ("question", "prompt", "text", "input")
_ANSWERS: Final = ("answer", "text", "reply")
_TEXT_KINDS: Final = frozenset({"string", "any"})
_ELSE: Final = "Send it in `inputs`, an object beside `messages`; with OpenAI's SDKs by `extra_body`."


def named_flow(model: str) -> tuple[str, str | None]:
    """`flow/<name>@<channel>` taken apart; without a channel None."""
    name, _, channel = model.removeprefix(PREFIX).partition("@")
    return name, channel or None


def text_input(flow: Flow, given: Mapping[str, Any]) -> str | None:
    """The input that the last message of the user becomes, among those that were not given by name."""
    for name in _QUESTIONS:
        if name in flow.inputs and name not in given and input_type(flow.inputs[name]).kind in _TEXT_KINDS:
            return name
    needed = [
        name
        for name, spec in flow.inputs.items()
        if spec.default is msgspec.UNSET and name not in given and input_type(spec).kind == "string"
    ]
    return needed[0] if len(needed) == 1 else None


def inputs_of(flow: Flow, messages: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of the run, checked. Raises InvalidInput that names what is missing or does not fit."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise InvalidInput("`messages` must be a list of messages.", where="messages")
    inputs = dict(given)
    if CONVERSATION in flow.inputs:
        inputs.setdefault(CONVERSATION, messages)
    else:
        name = text_input(flow, given)
        if name is not None and (said := _last_of_user(messages)) is not None:
            inputs[name] = said
    try:
        return check_inputs(flow, inputs)
    except InvalidRunInputs as wrong:
        advice = " ".join(part for part in (wrong.advice, _ELSE) if part)
        raise InvalidRunInputs(wrong.detail, where=wrong.where, advice=advice) from None


def _last_of_user(messages: list[dict[str, Any]]) -> str | None:
    content = next((one.get("content") for one in reversed(messages) if one.get("role") == "user"), None)
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    other = [part for part in parts if not isinstance(part, dict) or not isinstance(part.get("text"), str)]
    if other:
        raise InvalidInput(
            "This flow takes text only, and the last message of the user holds something else.",
            where="messages",
            advice="A flow with an input `messages` gets pictures and files too.",
        )
    return "\n".join(part["text"] for part in parts)


def given_inputs(inputs: Any, metadata: Any) -> dict[str, Any]:
    """What was sent by name: in `inputs`, or in `metadata.inputs`, where it may be JSON in a text."""
    found = inputs if inputs is not None else metadata.get("inputs") if isinstance(metadata, dict) else None
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found)
        except msgspec.DecodeError as wrong:
            raise InvalidInput(f"The inputs are not JSON: {wrong}.", where="metadata.inputs") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput("The inputs must be an object, each input by its name.", where="inputs")
    return found


def content_of(output: Any) -> str:
    """A text as it is; of an object the `answer`, `text` or `reply` that is not empty; everything else as JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        for name in _ANSWERS:
            if isinstance(output.get(name), str) and output[name]:
                return str(output[name])
    return "" if output is None else msgspec.json.encode(output).decode()
