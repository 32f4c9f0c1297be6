"""`python -m benchmarks [SCENARIO ...] [--quick]`: prints a table, writes the JSON, exits 1 when a bar is missed."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.scenarios import engine, flow_http, scale, startup, takeover

SCENARIOS = {
    "engine": engine.run,
    "flow-http": flow_http.run,
    "startup": startup.run,
    "takeover": takeover.run,
    "scale": scale.run,
}


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    names = [name for name in arguments if not name.startswith("-")] or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        if unknown == ["peers"]:
            print("No peer is installed by this release yet: the figures of others are not measured here.")
            return 1
        print(f"There is no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}.", file=sys.stderr)
        return 2
    met = True
    for name in names:
        result = asyncio.run(SCENARIOS[name](quick))
        result.show()
        print(f"  written to {result.save().name}")
        met = met and result.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
