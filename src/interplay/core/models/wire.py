"""OpenAI-shaped requests and answers as bytes: a few fields are read, one is replaced, everything else stays as it is.

Only the top level of a request is taken apart (`msgspec.Raw`); nested values keep every byte. Searching the bytes
for `"model"` instead would be slower, and wrong for keys that are escaped or stand there twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.models.usage import MOST_TOKENS, Usage

BYTES_A_TOKEN: Final = 4
PICTURE_TOKENS: Final = 1_600  # about what a large picture takes: Anthropic's (width x height) / 750 at its most
_LARGE: Final = 8_192  # bytes of a body that may have a picture worth looking for
_DATA: Final = re.compile(rb'"data:[a-z]+/[^",]*;base64,[^"]*"')
DONE: Final = b"data: [DONE]\n\n"
NOTHING: Final = msgspec.Raw(b"")  # a field that is absent: msgspec knows no union with Raw
_ANSWER_TOKENS: Final = 256  # reserved for an answer whose length nobody bounds

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODE: Final = msgspec.json.Encoder().encode
_TEXT: Final = msgspec.json.Decoder(str)
_COUNT: Final = msgspec.json.Decoder(int | None)
_ANY: Final = msgspec.json.Decoder()
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TRUE: Final = b"true"
_ABSENT: Final = frozenset({b"null", b"false"})
_INCLUDE_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')


def is_there(raw: msgspec.Raw) -> bool:
    """Neither absent nor null."""
    return raw is not NOTHING and bytes(raw) not in (b"", b"null")


class Asked:
    """A request, its top level taken apart. `size`: its bytes, pictures by what they mean. `wants_usage`: its stream
    ends with an event of its usage."""

    __slots__ = ("answers", "fields", "max_tokens", "model", "size", "stream", "wants_usage")

    def __init__(self, fields: dict[str, msgspec.Raw], size: int) -> None:
        """Raises InvalidInput that names the field."""
        self.fields = fields
        self.size = size
        raw = fields.get("model")
        if raw is None:
            raise InvalidInput("The request names no model.", where="model", advice="Send `model`, a text.")
        try:
            self.model: str = _TEXT.decode(raw)
        except msgspec.DecodeError:
            raise InvalidInput("`model` must be a text.", where="model") from None
        stream = fields.get("stream")
        self.stream = stream is not None and _flag(stream, "stream")
        self.wants_usage = self.stream and _wants_usage(fields.get("stream_options"))
        given = [fields[name] for name in ("max_completion_tokens", "max_tokens") if name in fields]
        counts = [count for raw in given if is_there(raw) and (count := _count(raw)) is not None]
        self.max_tokens = max(counts, default=None)
        self.answers = _answers(fields.get("n"))

    @property
    def tokens(self) -> int:
        """An estimate of question and answer together, to be reserved."""
        longest = _ANSWER_TOKENS if self.max_tokens is None else self.max_tokens
        return self.size // BYTES_A_TOKEN + self.answers * longest

    def items(self, name: str) -> Any:
        """A field of which a list is only taken apart, its items as they stand there."""
        raw = self.fields.get(name)
        return self.value(name) if raw is None or bytes(raw)[:1] != b"[" else _decoded(raw, name, _ITEMS)

    def value(self, name: str) -> Any:
        """A field decoded; None where it is absent. Raises InvalidInput: nobody looked within it yet."""
        raw = self.fields.get(name)
        return None if raw is None else _decoded(raw, name)


def peek(body: bytes, model: str | None = None) -> Asked:
    """Raises InvalidInput with the place of what is wrong. `model`: where the body does not name it."""
    if not body.isascii():
        _check_utf8(body)
    try:
        fields = _TOP.decode(body)
    except msgspec.ValidationError:
        raise InvalidInput("The body must be a JSON object.", where="body") from None
    except RecursionError:
        raise InvalidInput("The body is nested too deep.", where="body") from None
    except msgspec.DecodeError as wrong:
        raise InvalidInput(f"The body is not JSON: {_placed(str(wrong), body)}.", where="body") from None
    if model is not None:
        fields["model"] = raw_of(model)
    size = len(body)
    return Asked(fields, size if size < _LARGE or b'"data:' not in body else _size_of_texts(body))


def _size_of_texts(body: bytes) -> int:
    """Pictures and sounds within are bytes, not words: each counts what one usually takes."""
    within = [len(found.group()) for found in _DATA.finditer(body)]
    return len(body) - sum(within) + len(within) * PICTURE_TOKENS * BYTES_A_TOKEN


def taken_apart(body: bytes) -> dict[str, Any]:
    """A request that `peek` has seen, with everything in it. Raises InvalidInput."""
    found: dict[str, Any] = _decoded(msgspec.Raw(body), "body")
    return found


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        at = _placed(f"no UTF-8 (byte {wrong.start})", body)
        raise InvalidInput(f"The body is not JSON: {at}.", where="body") from None


def spliced(asked: Asked, model: msgspec.Raw, defaults: Mapping[str, msgspec.Raw], *, usage: bool = False) -> bytes:
    """The request for an upstream: its own name of the model, the deployment's defaults below what was asked.

    `usage`: a stream is asked to count too, whatever its caller wished.
    """
    fields = {**defaults, **asked.fields} if defaults else asked.fields.copy()
    fields["model"] = model
    if usage and asked.stream and not asked.wants_usage:
        fields["stream_options"] = _with_usage(asked.fields.get("stream_options"))
    return _ENCODE(fields)


def continued(asked: Asked, text: str) -> Asked:
    """The same question with the beginning of its answer behind it, for a model to go on from there."""
    messages = asked.fields.get("messages", NOTHING)
    before = bytes(messages).rstrip()[:-1].rstrip()
    if not before.startswith(b"["):
        return asked  # no conversation: there is nothing to stand behind
    message = _ENCODE({"role": "assistant", "content": text})
    messages = msgspec.Raw(b"%s%s%s]" % (before, b"" if before.endswith(b"[") else b",", message))
    return Asked({**asked.fields, "messages": messages}, asked.size + len(message))


def raw_of(value: Any) -> msgspec.Raw:
    """A value as it stands in a request."""
    return msgspec.Raw(_ENCODE(value))


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class RawUsage(msgspec.Struct):
    """Usage as OpenAI-compatible servers say it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    def counted(self) -> Usage | None:
        """None for counts that cannot be: they are estimated then, as where there are none."""
        taken, given = self.prompt_tokens, self.completion_tokens or 0
        if taken is None:
            taken = max(0, (self.total_tokens or 0) - given)
        read, wrote = self.prompt_tokens_details, self.completion_tokens_details
        if read is None and wrote is None:
            return Usage(taken, given, 0, 1) if 0 <= taken <= MOST_TOKENS and 0 <= given <= MOST_TOKENS else None
        read, wrote = read or _InputDetails(), wrote or _OutputDetails()
        usage = Usage(
            taken,
            given,
            read.cached_tokens or 0,
            1,
            reasoning_tokens=wrote.reasoning_tokens or 0,
            image_tokens=read.image_tokens or 0,
            audio_tokens=(read.audio_tokens or 0) + (wrote.audio_tokens or 0),
        )
        return usage if usage.believable else None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class Answered(msgspec.Struct):
    """A whole answer, as far as it is looked at. Which of the lists it has tells for what it answers."""

    choices: list[_Choice] | None = None
    data: list[msgspec.Raw] | None = None
    results: list[msgspec.Raw] | None = None
    outputs: list[msgspec.Raw] | None = None
    usage: RawUsage | None = None
    error: msgspec.Raw = NOTHING

    def counted(self) -> Usage | None:
        return None if self.usage is None else self.usage.counted()

    @property
    def finish(self) -> str | None:
        """Why the first answer ended."""
        return self.choices[0].finish_reason if self.choices else None


_ANSWER: Final = msgspec.json.Decoder(Answered)


def answered(body: bytes) -> Answered | None:
    """None: it is no answer, whatever its status says."""
    try:
        found = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if is_there(found.error):
        return None
    lists = (found.data, found.results, found.outputs)
    return found if found.choices or any(one is not None for one in lists) else None


class _Counted(msgspec.Struct):
    usage: RawUsage | None = None


_COUNTED: Final = msgspec.json.Decoder(_Counted)


def usage_in(body: bytes) -> Usage | None:
    """Of what is no answer and may be charged all the same, because it says what it used."""
    try:
        found = _COUNTED.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if found is None else found.counted()


class _Message(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None  # Mistral gives thoughts and text as a list of parts
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = NOTHING


class _Told(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None


class _Written(msgspec.Struct):
    choices: list[_Told] | None = None


_WRITTEN: Final = msgspec.json.Decoder(_Written)


def written(body: bytes) -> int:
    """How many characters a model wrote in a whole answer; vectors and scores are none. Of a part, its length."""
    try:
        found = _WRITTEN.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return len(body)
    total = 0
    for choice in found.choices or ():
        total += len(choice.text or "")
        message = choice.message
        if message is not None:
            total += sum(length_of(text) for text in (message.content, message.reasoning_content, message.refusal))
            total += len(bytes(message.tool_calls)) if is_there(message.tool_calls) else 0
    return total


def length_of(content: str | list[msgspec.Raw] | None) -> int:
    """In characters; of parts, as they are written."""
    if not content:
        return 0
    return sum(len(bytes(part)) for part in content) if isinstance(content, list) else len(content)


def text_of(content: Any) -> tuple[str, str]:
    """What was written and what was thought: a text, or Mistral's list of parts."""
    if not isinstance(content, list):
        return (content, "") if isinstance(content, str) else ("", "")
    texts, thoughts = [], []
    for part in content:
        if not isinstance(part, dict):
            continue
        text, thinking = part.get("text"), part.get("thinking")
        if isinstance(text, str):
            texts.append(text)
        elif thinking is not None:
            thoughts.append(thinking if isinstance(thinking, str) else text_of(thinking)[0])
    return "".join(texts), "".join(thoughts)


def rescue_event(rescue: str, deployment: str) -> bytes:
    """A chunk without choices, as the one that counts usage is: clients that do not know it pass over it."""
    said = {"rescue": rescue, "deployment": deployment}
    return b"data: %s\n\n" % _ENCODE({"object": "chat.completion.chunk", "choices": [], "interplay": said})


class _Error(msgspec.Struct):
    message: Any = None
    code: Any = None
    type: Any = None


class _Refusal(msgspec.Struct):
    error: _Error | str | None = None
    message: Any = None


_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


def error_in(answer: bytes) -> tuple[str, str]:
    """The code and the message of an error answer, as far as it has them."""
    try:
        found = _REFUSAL.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", answer[:300].decode("utf-8", "replace").strip()
    error = found.error
    if error is None:
        return "", str(found.message or "")
    if isinstance(error, str):
        return "", error
    return str(error.code or error.type or ""), str(error.message or "")


def _flag(raw: msgspec.Raw, name: str) -> bool:
    text = bytes(raw).strip()
    if text == _TRUE:
        return True
    if text in _ABSENT:
        return False
    raise InvalidInput(f"`{name}` must be true or false.", where=name)


def _answers(raw: msgspec.Raw | None) -> int:
    """How many were asked for. What is no number is for the upstream to refuse."""
    if raw is None:
        return 1
    try:
        return max(1, _COUNT.decode(raw) or 1)
    except msgspec.DecodeError:
        return 1


def _count(raw: msgspec.Raw) -> int | None:
    try:
        found: int | None = _COUNT.decode(raw)
    except msgspec.DecodeError:
        raise InvalidInput("The most tokens of an answer must be a whole number.", where="max_tokens") from None
    if found is not None and found < 0:  # it would be given to the limits, not taken from them
        raise InvalidInput("The most tokens of an answer cannot be less than none.", where="max_tokens")
    return found


def _decoded(raw: msgspec.Raw, name: str, decoder: Any = _ANY) -> Any:
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise InvalidInput(f"`{name}` is nested too deep.", where=name) from None
    except msgspec.DecodeError as wrong:
        what = "The body" if name == "body" else f"`{name}`"
        raise InvalidInput(f"{what} cannot be read: {wrong}.", where=name) from None


def _options(raw: msgspec.Raw | None) -> dict[str, Any]:
    value = None if raw is None else _decoded(raw, "stream_options")
    return value if isinstance(value, dict) else {}


def _wants_usage(raw: msgspec.Raw | None) -> bool:
    return raw is not None and _options(raw).get("include_usage") is True


def _with_usage(raw: msgspec.Raw | None) -> msgspec.Raw:
    return _INCLUDE_USAGE if raw is None else raw_of({**_options(raw), "include_usage": True})


def _placed(wrong: str, body: bytes) -> str:
    """`… (byte 17)` with line and column beside it; what ends too early is wrong at its end."""
    if not body.strip():
        return "it is empty"
    head, _, tail = wrong.rpartition("(byte ")
    number = tail.rstrip(")")
    if not head or not number.isdigit():
        head, number = ("it ends too early", str(len(body))) if "truncated" in wrong else (wrong, "")
    if not number:
        return wrong
    before = body[: int(number)]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    reason = head.strip().removeprefix("JSON is malformed: ")
    return f"{reason} at line {line}, column {column} (byte {number})"
