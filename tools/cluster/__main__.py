"""`python -m tools.cluster up|down|status`: all services of a deployment as processes on this machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from interplay.client import Client
from interplay.use_cases.register_models import LOCAL
from tools.cluster.cluster import Cluster, ClusterError
from tools.kafka import KafkaMissing
from tools.made_once import CACHE

FOLDER = CACHE / "cluster"
FIRST_PORT = 8081


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    cluster = Cluster(Path(arguments[1]) if len(arguments) > 1 else FOLDER, first_port=FIRST_PORT)
    try:
        if command == "up":
            return up(cluster)
        if command == "down":
            print("everything has ended; the data stays" if cluster.down() else "nothing was running")
            return 0
        if command == "status":
            return status(cluster)
    except (ClusterError, KafkaMissing) as wrong:
        print(wrong, file=sys.stderr)
        return 3
    print(__doc__, file=sys.stderr)
    return 2


def up(cluster: Cluster) -> int:
    began = time.monotonic()
    fresh = cluster.up(lambda line: print(f"  {line}", flush=True))
    with Client(cluster.urls("api")[0], cluster.key) as client:
        server = {"kind": "openai", "base_url": f"{cluster.urls('model-server')[0]}/v1"}
        client.connections.put("this-machine", server)
        for model in LOCAL.models.values():
            deployments = [{"connection": "this-machine", "model": entry.model} for entry in model.deployments]
            client.models.put(model.name, {"task": model.task, "deployments": deployments, "about": model.about})
    print(f"the cluster is up after {time.monotonic() - began:.0f} s" if fresh else "the cluster was up already")
    print(f"  gateways      {'  '.join(cluster.urls('gateway'))}")
    print(f"  APIs          {'  '.join(cluster.urls('api'))}")
    print(f"  Kafka         {cluster.broker}")
    print(f"  logs          {cluster.logs}")
    print("To use it:")
    print(f"  export INTERPLAY_URL={cluster.urls('api')[0]} INTERPLAY_KEY={cluster.key}")
    print("`make down-cluster` ends it; its data stays.")
    return 0


def status(cluster: Cluster) -> int:
    """One line a process; 1 when something is not as it should be."""
    if not cluster.attached():
        print("nothing is running; `make up-cluster` starts it")
        return 1
    well = True
    for name, state in sorted(cluster.states().items()):
        ready = cluster.readiness(name) if name in cluster.names() else ""
        well = well and state["statename"] == "RUNNING" and ready in ("", "ready")
        print(f"{name:16}{state['statename']:10}{state['pid'] or '-':>8}  {ready}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
