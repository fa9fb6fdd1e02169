"""P1 and P2: webhooks accepted durably, at 32 connections, against a receiver by hand and Flask doing nothing.

No worker runs, on either side: what is measured is the way from a request to its 202. After each run the rows are
counted, so that nothing is called accepted that is not stored.
"""

from __future__ import annotations

import secrets

from tests.bench import web
from tests.bench.baselines.receiver_schema import SCHEMA
from tests.bench.load import Hooks, Tally, closed
from tests.bench.model import Bar, Bench, BenchError, Outcome, Plan, Sample, Side
from tests.bench.pairs import in_turn
from tests.bench.servers import Ground

CONNECTIONS = 32
_SECONDS = 5.0
_SMOKE_S = 0.5
OURS = "ours"
BY_HAND = "receiver by hand"
BARE = "bare Flask"
BARE_GREENLETS = "bare Flask, greenlets"


def run(plan: Plan) -> Outcome:
    """Starts all servers and posts to them in turn."""
    with Ground(plan.folder) as ground:
        sides = _Sides(ground, plan.sized(_SECONDS, _SMOKE_S))
        rounds = in_turn(
            [
                Side(BY_HAND, sides.by_hand),
                Side(OURS, sides.ours),
                Side(BARE, sides.bare),
                Side(BARE_GREENLETS, sides.bare_greenlets),
            ],
            plan,
        )
    notes = [
        f"{CONNECTIONS} connections, {sides.seconds:g} s a run. Every answer was 202, every accepted hook a row.",
        "Bare Flask and the receiver by hand: gunicorn with 2 processes of 8 threads. Greenlets: the same bare app "
        "under gevent, as our own server runs; no bar, for comparison.",
    ]
    return Outcome(rounds, notes=notes)


class _Sides:
    def __init__(self, ground: Ground, seconds: float) -> None:
        self.seconds = seconds
        self._ground = ground
        self._headers = {"X-API-Key": ground.api_key()}
        self._by_hand_url = ground.database("by_hand")
        ground.query(SCHEMA, url=self._by_hand_url)
        self._ports = {
            OURS: web.ours(ground)[1],
            BY_HAND: web.baseline(
                ground,
                "by-hand",
                "receiver",
                ground.bare_environ(DATABASE_URL=self._by_hand_url, REDIS_URL=ground.redis_database(1)),
            )[1],
            BARE: web.baseline(ground, "bare", "bare", ground.bare_environ())[1],
            BARE_GREENLETS: web.baseline(ground, "bare-greenlets", "bare", ground.bare_environ(), "-k", "gevent")[1],
        }

    def ours(self) -> Sample:
        hooks, tally = self._load(OURS)
        stored = self._ground.number("SELECT count(*) FROM inbox WHERE source = %s", hooks.source)
        _compare(stored, tally)
        self._ground.redis().delete("hooks")
        return tally.sample()

    def by_hand(self) -> Sample:
        hooks, tally = self._load(BY_HAND)
        statement = "SELECT count(*) FROM events WHERE source = %s"
        _compare(self._ground.number(statement, hooks.source, url=self._by_hand_url), tally)
        self._ground.redis(1).delete("celery")
        return tally.sample()

    def bare(self) -> Sample:
        return self._load(BARE)[1].sample()

    def bare_greenlets(self) -> Sample:
        return self._load(BARE_GREENLETS)[1].sample()

    def _load(self, side: str) -> tuple[Hooks, Tally]:
        self._ground.settle()
        hooks = Hooks(self._ports[side], secrets.token_hex(4), self._headers)
        tally = closed(hooks, CONNECTIONS, self.seconds)
        tally.check()
        return hooks, tally


def _compare(stored: int, tally: Tally) -> None:
    if stored != tally.accepted_in_all:
        raise BenchError(f"{tally.accepted_in_all} hooks were answered 202, and {stored} are stored")


BENCH = Bench(
    "accept",
    "webhooks accepted durably, 32 connections",
    (
        Bar("P1", "requests/s against the receiver by hand", "requests_per_s", OURS, BY_HAND, least=4.0),
        Bar("P1", "p99 against the receiver by hand", "p99_ms", OURS, BY_HAND, most=0.999),
        Bar("P2", "requests/s against bare Flask", "requests_per_s", OURS, BARE, least=0.6),
    ),
    run,
)
