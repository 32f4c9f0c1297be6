"""One attempt of a call on its way: the request as its deployment takes it, over the pool or through a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from interplay.core.errors import InterplayError
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.call_plan import Try
from interplay.core.models.stream_scan import StreamScan
from interplay.core.models.wire import Asked, continued, spliced
from interplay.ports.upstream import Outgoing, Target
from interplay.use_cases.forward_attempt import Asker, Attempt, StreamAttempt
from interplay.use_cases.forward_typed import TaskSending, answer_typed

if TYPE_CHECKING:
    from interplay.use_cases.forward_call import Call
    from interplay.use_cases.forward_parts import ForwardParts


def new_attempt(parts: ForwardParts, call: Call, step: Try) -> Attempt:
    """Of the call's answer, whole or streamed; nothing is sent yet."""
    asked, live = call.asked, step.live
    assert asked is not None
    asker: Asker = call
    if not asked.stream:
        attempt = Attempt(asker, parts.clock, live, step.model.name)
        attempt.filters = step.model.seeks_unfiltered
        return attempt
    if call.looked is not None:
        asker = call.looked.record(call, whole=not call.streaming)
    scan = StreamScan(keep_usage=asked.wants_usage, keep_text=step.model.policy.rescue == "continue")
    return StreamAttempt(asker, parts.clock, live, step.model.name, scan)


def send_attempt(parts: ForwardParts, call: Call, attempt: Attempt, step: Try) -> None:
    """Never raises: what goes wrong is told to the attempt."""
    assert call.caller is not None
    project, connection = call.caller.project_id, step.live.connection
    if connection.kind not in parts.forwarded:
        attempt.sending = TaskSending(call.spawn(answer_typed(parts, project, attempt, step, _asked(call, step))))
        return
    target = parts.upstream.target(project, connection)
    if target is None:
        call.spawn(_resolved(parts, call, attempt, step))
    else:
        _send(parts, call, attempt, step, target)


def _asked(call: Call, step: Try) -> Asked:
    assert call.asked is not None
    return continued(call.asked, call.heard) if step.rescue == "continue" and call.heard else call.asked


def _send(parts: ForwardParts, call: Call, attempt: Attempt, step: Try, target: Target) -> None:
    asked, live = _asked(call, step), step.live
    path = call.incoming.path
    if call.incoming.model is not None:  # the address names it: the body stays as it is
        path, body = f"/v2/models/{quote(live.deployment.model, safe='')}/{path}", call.incoming.body
    else:
        body = spliced(asked, live.raw_model, live.options, usage=True)
    outgoing = Outgoing(target, path, body)
    attempt.sending = parts.upstream.send(outgoing, attempt, parts.patience(step, stream=asked.stream))


async def _resolved(parts: ForwardParts, call: Call, attempt: Attempt, step: Try) -> None:
    """The first call of a connection, whose address and secrets are not known yet."""
    assert call.caller is not None
    try:
        target = await parts.upstream.resolve(call.caller.project_id, step.live.connection)
    except StepFailure as wrong:
        attempt.fail(wrong.failure)
    except InterplayError as wrong:
        attempt.fail(Failure("unauthorized", wrong.detail, wrong.where, wrong.advice))
    else:
        if not attempt.over:
            _send(parts, call, attempt, step, target)
