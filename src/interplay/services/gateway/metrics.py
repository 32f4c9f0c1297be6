"""What the gateway counts, as Prometheus reads it. Labels are bounded: tasks, statuses and outcomes, no names."""

from __future__ import annotations

from interplay.use_cases.forward_parts import ForwardParts


def lines(parts: ForwardParts) -> list[str]:
    found = [
        f'interplay_gateway_calls_total{{task="{task}",status="{status}"}} {count}'
        for (task, status), count in sorted(parts.ended.items())
    ]
    found += [
        f'interplay_gateway_outcomes_total{{outcome="{outcome}"}} {count}'
        for outcome, count in sorted(parts.outcomes.items())
    ]
    found += [
        f"interplay_gateway_seconds_total {parts.seconds:.6f}",
        f'interplay_gateway_tokens_total{{side="input"}} {parts.tokens[0]}',
        f'interplay_gateway_tokens_total{{side="output"}} {parts.tokens[1]}',
        f"interplay_gateway_snapshot_version {parts.snapshot().version}",
    ]
    return found
