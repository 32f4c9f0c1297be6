"""`python -m benchmarks [peers] [SCENARIO ...] [--quick]`: a table, the JSON, and exit code 1 when a bar is missed.

With `peers`, the same work is done by other systems beside us: see `docs/howto/benchmarks.md`.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.peers.peer import NotHad
from benchmarks.scenarios import (
    engine,
    flow_http,
    gateway,
    gateway_faults,
    gateway_large,
    gateway_many,
    gateway_memory,
    gateway_routes,
    gateway_stream,
    kafka,
    peers,
    scale,
    startup,
    takeover,
)

SCENARIOS = {
    "engine": engine.run,
    "flow-http": flow_http.run,
    "startup": startup.run,
    "takeover": takeover.run,
    "scale": scale.run,
    "gateway": gateway.run,
    "gateway-stream": gateway_stream.run,
    "gateway-large": gateway_large.run,
    "gateway-many": gateway_many.run,
    "gateway-memory": gateway_memory.run,
    "gateway-routes": gateway_routes.run,
    "gateway-faults": gateway_faults.run,
    "kafka": kafka.run,
}
PEERS = {"engine": peers.engine, "flow-http": peers.flow_http}


def main(arguments: list[str]) -> int:
    unknown = [word for word in arguments if word.startswith("-") and word != "--quick"]
    if unknown:
        print(__doc__, file=sys.stdout if unknown[0] in ("-h", "--help") else sys.stderr)
        return 0 if unknown[0] in ("-h", "--help") else 2
    quick = "--quick" in arguments
    named = [name for name in arguments if not name.startswith("-")]
    scenarios = SCENARIOS
    if named[:1] == ["peers"]:
        scenarios, named = PEERS, named[1:]
    names = named or list(scenarios)
    unknown = [name for name in names if name not in scenarios]
    if unknown:
        print(f"There is no scenario {unknown[0]!r}; there are {', '.join(scenarios)}.", file=sys.stderr)
        return 2
    met = True
    for name in names:
        try:
            result = asyncio.run(scenarios[name](quick))
        except NotHad as wrong:
            print(f"{name} cannot be measured here: {wrong}", file=sys.stderr)
            met = False
            continue
        result.show()
        print(f"  written to {result.save().name}")
        met = met and result.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
