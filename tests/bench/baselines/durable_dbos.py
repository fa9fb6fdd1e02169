"""The same line of durable steps with DBOS Transact, on the same PostgreSQL: ``python -m … URL steps n times``.

Prints the seconds that each line took, after one that was not measured.
"""

from __future__ import annotations

import sys
import time

from dbos import DBOS, DBOSConfig

from tests.bench.baselines import fib as work


@DBOS.step()
def step(n: int) -> int:
    """One step, its result kept."""
    return work.fib(n)


@DBOS.workflow()
def line(steps: int, n: int) -> int:
    """Steps one after the other."""
    total = 0
    for _ in range(steps):
        total += step(n)
    return total


def main() -> None:
    """Runs the line once more than it prints how long each took."""
    url, steps, n, times = sys.argv[1], *map(int, sys.argv[2:5])
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "run_admin_server": False,
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        line(steps, n)
        for _ in range(times):
            began = time.perf_counter()
            line(steps, n)
            print(time.perf_counter() - began)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main()
