"""Plays the services over HTTP, a thread for each, and keeps count of what the bridge answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from uuid import UUID

from tasks.errors import BridgeError
from webapp.cli.api import ApiClient, ApiRefused, ApiUnreachable
from webapp.cli.demo.script import Act

_CLASH_STATUS = 422


@dataclass
class Tally:
    """What was posted and answered. Read it under ``lock`` while the load runs.

    ``sent_at`` holds the time (epoch, s) of each key's first post, ``expected`` the end state of each accepted hook,
    ``unanswered`` the keys whose outcome is not known, ``surprises`` answers that break a promise.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent_at: dict[str, float] = field(default_factory=dict)
    expected: dict[UUID, str] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unanswered: set[str] = field(default_factory=set)
    surprises: list[str] = field(default_factory=list)

    def surprise(self, text: str) -> None:
        """Notes an answer that breaks a promise."""
        with self.lock:
            self.surprises.append(text)


class Load:
    """The played services. ``patience_s``: how long one post is tried again while the bridge is away."""

    def __init__(self, client: ApiClient, patience_s: float = 30.0) -> None:
        self.tally = Tally()
        self._client = client
        self._patience_s = patience_s
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, lives: Iterable[Iterable[Act]]) -> None:
        """Begins to play, each life in a thread of its own."""
        began = time.monotonic()
        for life in lives:
            thread = threading.Thread(target=self._play, args=(life, began), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends the play soon, without the services' farewells."""
        self._stopped.set()

    @property
    def running(self) -> int:
        """How many services still play."""
        return sum(thread.is_alive() for thread in self._threads)

    def _play(self, life: Iterable[Act], began: float) -> None:
        for act in life:
            if self._stopped.wait(max(0.0, began + act.at_s - time.monotonic())):
                return
            try:
                self._post(act)
            except BridgeError as problem:
                self.tally.surprise(f"{act.key}: {problem.detail}")

    def _post(self, act: Act) -> None:
        tally = self.tally
        with tally.lock:
            tally.sent_at[act.key] = time.time()
            tally.unanswered.add(act.key)
        try:
            answer = self._client.post_hook(act.body, act.key, self._patience_s)
        except ApiUnreachable:
            with tally.lock:
                tally.counts["unanswered"] += 1
            return
        hook_id = UUID(answer.body["event_id"])
        with tally.lock:
            tally.unanswered.discard(act.key)
            tally.expected[hook_id] = act.expected
            tally.latencies_s.append(answer.latency_s)
            tally.counts["accepted"] += 1
            tally.counts["tries again"] += answer.tries - 1
        # After a lost answer the second try is the repeat, and rightly so.
        if answer.body.get("duplicate") and answer.tries == 1:
            tally.surprise(f"{act.key}: a first post was taken for a repeat")
        if act.repeat:
            self._repeat(act, hook_id)
        if act.clash:
            self._clash(act)

    def _repeat(self, act: Act, hook_id: UUID) -> None:
        try:
            answer = self._client.post_hook(act.body, act.key, self._patience_s).body
        except ApiUnreachable:
            return
        with self.tally.lock:
            self.tally.counts["repeats"] += 1
        if answer.get("event_id") != str(hook_id) or answer.get("duplicate") is not True:
            self.tally.surprise(f"{act.key}: a repeat was not answered as the first post")

    def _clash(self, act: Act) -> None:
        other = replace(act, body={**act.body, "data": {"other": True}})
        try:
            self._client.post_hook(other.body, act.key, self._patience_s)
        except ApiUnreachable:
            return
        except ApiRefused as refusal:
            if refusal.answer_status != _CLASH_STATUS:
                raise
            with self.tally.lock:
                self.tally.counts["clashes refused"] += 1
            return
        self.tally.surprise(f"{act.key}: another body under the same key was accepted")
