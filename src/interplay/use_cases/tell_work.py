"""What a worker tells of itself: why it is not ready, and what operators count of it."""

from __future__ import annotations

from interplay.use_cases.work import Worker


def reasons(worker: Worker) -> dict[str, str]:
    """Why it does not work right now, by part; empty: it does."""
    tenure = worker.tenure
    if tenure is None or not worker.ready.is_set():
        return {"database": "It has no lease: the ledger has not taken it in yet."}
    if tenure.outage:
        return {"database": "The ledger does not answer; what is under way goes on, and is written down later."}
    if not tenure.lease.held:
        return {"lease": f"Its lease ran out {-tenure.lease.left:.1f} s ago; it starts nothing until it is renewed."}
    return {}


def metric_lines(worker: Worker) -> list[str]:
    """As Prometheus reads them."""
    tenure, counted = worker.tenure, worker.counted
    held = len(tenure.executions) if tenure is not None else 0
    attempts = sum(len(execution.attempts) for execution in tenure.executions.values()) if tenure is not None else 0
    left = max(0.0, tenure.lease.left) if tenure is not None else 0.0
    return [
        f"interplay_worker_runs {held}",
        f"interplay_worker_capacity {worker.options.capacity}",
        f"interplay_worker_attempts {attempts}",
        f"interplay_worker_lease_left_seconds {left:.3f}",
        f"interplay_worker_draining {int(tenure is not None and tenure.draining)}",
        f"interplay_worker_leases_total {counted.leases}",
        f"interplay_worker_leases_lost_total {counted.leases_lost}",
        f"interplay_worker_claims_total {counted.claims}",
        f"interplay_worker_runs_claimed_total {counted.runs_claimed}",
        f"interplay_worker_runs_adopted_total {counted.runs_adopted}",
        f"interplay_worker_commits_total {counted.commits}",
        f"interplay_worker_items_committed_total {counted.items}",
        f"interplay_worker_takeovers_total {counted.takeovers}",
        f"interplay_worker_runs_taken_over_total {counted.runs_taken_over}",
        f"interplay_worker_ledger_away_total {counted.away}",
    ]
