"""Half an hour at half load: latency, the memory of each process and the bloat of the hot tables must stay flat.

Each pair is one window of six minutes (`omninode bench soak --pairs 5`). `make bench` leaves it out.
"""

from __future__ import annotations

import secrets
import time

import psutil

from tests.bench.load import Hooks, paced
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Round, Sample, Series
from tests.bench.servers import Ground, Program
from tests.bench.sustained import CONNECTIONS, sustained
from tests.bench.system import system_of

SIDE = "whole stack"
_WINDOW_S = 360.0
_SMOKE_WINDOW_S = 1.0
# The embedded broker keeps all in memory; the soak may fill this part of what is free when it begins.
_BROKER_BYTES_A_HOOK = 5 * 2**10
_BROKER_PART = 0.75
_SETTLED_WITHIN_S = 60.0
_WAITING = "SELECT count(*) FROM inbox WHERE state IN ('received', 'processing', 'retrying')"
_BEHIND = "SELECT count(*) FROM journal WHERE id > (SELECT position FROM sink_cursors WHERE sink = 'kafka')"
# What autovacuum leaves behind, for each row that lives; a table that grows has more rows, not more of these.
_DEAD = "SELECT coalesce(100 * n_dead_tup / greatest(n_live_tup, 1), 0) FROM pg_stat_user_tables WHERE relname = %s"


def run(plan: Plan) -> Outcome:
    """Finds what the system sustains, and posts half of it, or what the broker has memory for."""
    with system_of(plan) as system:
        ground, programs, headers, port = system.ground, list(system.programs.values()), system.headers, system.port
        seconds = plan.sized(_WINDOW_S, _SMOKE_WINDOW_S)
        most_per_s, _ = sustained(system, plan)
        per_s = min(most_per_s / 2, _held_per_s(seconds * plan.pairs))
        paced(Hooks(port, secrets.token_hex(4), headers), CONNECTIONS, min(30.0, seconds), per_s, _forget)
        rounds: list[Round] = []
        for number in range(plan.pairs):
            tally = paced(Hooks(port, secrets.token_hex(4), headers), CONNECTIONS, seconds, per_s, _forget)
            tally.check()
            sample = {**tally.sample(), **_state(ground, programs)}
            rounds.append({SIDE: _against_first(sample, rounds)})
            plan.say(f"  {number + 1} of {plan.pairs}  " + ", ".join(f"{k} {v:,.4g}" for k, v in sample.items()))
        _settle(ground)
    series = [
        Series(name, name, [(n + 1) * seconds for n in range(len(rounds))], [float(r[SIDE][name]) for r in rounds])
        for name in ("p99_ms", "rss_mib", "inbox_dead_percent")
    ]
    notes = [
        f"The whole system sustains {most_per_s:,.0f} hooks/s. {per_s:,.0f} were posted, {plan.pairs} windows of "
        f"{seconds:g} s; nothing was lost."
    ]
    return Outcome(rounds, series, notes)


def _held_per_s(seconds: float) -> float:
    return _BROKER_PART * psutil.virtual_memory().available / _BROKER_BYTES_A_HOOK / seconds


def _forget(_due: float, _sent: float, _answer: bytes) -> None:
    """Nobody needs the answers."""


def _state(ground: Ground, programs: list[Program]) -> Sample:
    rss = sum(process.memory_info().rss for program in programs for process in program.processes())
    return {
        "rss_mib": rss / 2**20,
        "inbox_dead_percent": float(ground.number(_DEAD, "inbox")),
        "task_states_dead_percent": float(ground.number(_DEAD, "task_states")),
        "waiting": float(ground.number(_WAITING)),
        "relay_behind": float(ground.number(_BEHIND)),
    }


def _against_first(sample: Sample, rounds: list[Round]) -> Sample:
    first = rounds[0][SIDE] if rounds else sample
    return {
        **sample,
        "p99_growth": sample["p99_ms"] / first["p99_ms"],
        "rss_growth": sample["rss_mib"] / first["rss_mib"],
    }


def _settle(ground: Ground) -> None:
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while ground.number(_WAITING) or ground.number(_BEHIND) > 100:
        if time.monotonic() > deadline:
            raise BenchError("hooks or journal rows still wait, a minute after the load has ended")
        time.sleep(0.2)


BENCH = Bench(
    "soak",
    "half an hour at half load",
    (
        Bar("soak", "p99 against the first window", "p99_growth", SIDE, most=1.5),
        Bar("soak", "memory against the first window", "rss_growth", SIDE, most=1.1),
        Bar("soak", "dead tuples of the inbox, % of the live", "inbox_dead_percent", SIDE, most=30),
    ),
    run,
)
