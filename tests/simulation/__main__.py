"""Many simulations, or one with everything that happened in it.

    python -m tests.simulation SEEDS [FROM]     so many seeds, from this one on, on all cores
    python -m tests.simulation --trace SEED     one seed, line by line

Exit code 1 when an invariant did not hold in one of them; its seed is printed, and replays it exactly.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.simulate import Verdict, simulate

_EVERY = 500  # seeds between two lines of progress


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--trace"]:
        return _trace(int(arguments[1]))
    if not arguments or not all(word.isdigit() for word in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    count, first = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 1
    began, failed, counts, turns = time.monotonic(), [], Counter[str](), 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, verdict in enumerate(pool.map(_without_trace, range(first, first + count), chunksize=20), 1):
            counts.update(verdict.counts)
            turns += verdict.turns
            if verdict.broken:
                failed.append(verdict.seed)
                print(f"seed {verdict.seed}: {'; '.join(verdict.broken[:5])}", flush=True)
            if done % _EVERY == 0:
                print(
                    f"{done:,} of {count:,} seeds, {len(failed)} failed, {time.monotonic() - began:.0f} s", flush=True
                )
    faults = sum(counts[name] for name in ("kill", "freeze", "blink", "stop", "outage", "rebalance"))
    print(
        f"{count:,} seeds in {time.monotonic() - began:.1f} s: {counts['create']:,} creations asked for, "
        f"{counts['commit']:,} commits, {counts['call']:,} calls, {faults:,} faults, {turns:,} turns of the loop, "
        f"{len(failed)} seeds with a broken invariant"
    )
    if failed:
        print(f"Look at one: .venv/bin/python -m tests.simulation --trace {failed[0]}")
    return 1 if failed else 0


def _without_trace(seed: int) -> Verdict:
    return simulate(seed, keep=0)


def _trace(seed: int) -> int:
    verdict = simulate(seed, keep=1_000_000)
    for line in verdict.trace:
        print(line)
    for words in verdict.broken:
        print(f"BROKEN {words}")
    print(f"seed {seed}, trace {verdict.digest}, {verdict.turns:,} turns")
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
