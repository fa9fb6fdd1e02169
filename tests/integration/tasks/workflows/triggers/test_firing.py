"""Hooks begin workflows: each handling exactly once, with what they said, whatever is wrong with a trigger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from tasks.db.pool import Database, Transaction
from tasks.errors import Conflict, NotFound, ValidationFailed
from tasks.hooks import registry
from tasks.hooks.handling import HookHandler
from tasks.hooks.model import Hook, NewHook
from tasks.hooks.registry import handles
from tasks.hooks.service import HookService
from tasks.settings import Settings
from tasks.workflows.submitting import Submission, Submitted
from tasks.workflows.triggers.firing import Triggers
from tasks.workflows.triggers.service import TriggerService
from tests.integration.tasks.workflows.submitting import Runs

Row = dict[str, Any]
Post = Callable[..., UUID]


@pytest.fixture
def service(db: Database) -> TriggerService:
    return TriggerService(db)


@pytest.fixture
def triggers(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Triggers]:
    """The triggers as a worker listens with them, and nobody else."""
    monkeypatch.setattr(registry, "_listeners", [])
    monkeypatch.setattr(registry, "_handlers", [])
    listener = Triggers(lambda: runs)
    registry.listens(listener)
    return listener


@pytest.fixture
def post(hooks: HookService) -> Post:
    def make(resource: str = "invoice", action: str = "sent", source: str = "shop", **data: Any) -> UUID:
        return hooks.accept(NewHook(source, action, resource, "i-1", data=data, correlation_id="c-1")).hook_id

    return make


def state_of(hooks: HookService, hook_id: UUID) -> str:
    return str(hooks.get(hook_id)["state"])


@pytest.mark.usefixtures("triggers")
def test_a_hook_that_matches_begins_the_workflow(
    service: TriggerService, runs: Runs, hooks: HookService, handler: HookHandler, post: Post
) -> None:
    service.create(
        {
            "name": "big", "event_types": ["invoice.*"], "sources": ["shop"], "filter": "hook.data.total > 100",
            "workflow": "nap", "input": {"of": "${{ hook.resource_id }}", "total": "${{ hook.data.total }}"},
            "tags": ["money"],
        },
        "test",
    )  # fmt: skip
    matching = post(total=250)
    others = [post(total=100), post("order", total=250), post(source="bank", total=250)]
    handler.handle_due()
    [run] = runs.rows()
    assert run["input"] == {"of": "i-1", "total": 250}
    assert (run["submitted_by"], run["correlation_id"], run["tags"]) == ("trigger:big", "c-1", ["money"])
    assert runs.hinted == [run["id"]]
    assert {state_of(hooks, hook_id) for hook_id in [matching, *others]} == {"handled"}
    [recent] = service.get("big")["recent"]
    assert (recent["hook_id"], recent["outcome"], recent["run_id"]) == (matching, "started", run["id"])


@pytest.mark.usefixtures("triggers")
def test_a_change_holds_for_every_hook_that_comes_after_it(
    service: TriggerService, runs: Runs, handler: HookHandler, post: Post
) -> None:
    given = {"name": "t", "families": ["*"], "workflow": "nap"}
    counts = []
    acts: list[Callable[[], Any]] = [
        lambda: None,
        lambda: service.create(given, "test"),
        lambda: service.pause("t", "test"),
        lambda: service.resume("t", "test"),
        lambda: service.change("t", {"event_types": ["order.*"]}, "test"),
        lambda: service.remove("t", "test"),
    ]
    for act in acts:
        act()
        post()
        handler.handle_due()
        counts.append(len(runs.rows()))
    assert counts == [0, 1, 1, 2, 2, 2]


@pytest.mark.usefixtures("triggers")
def test_each_handling_begins_it_once_and_a_replay_is_another(
    service: TriggerService, runs: Runs, hooks: HookService, settings: Settings, post: Post
) -> None:
    service.create({"name": "t", "families": ["*"], "workflow": "nap"}, "test")
    ids = [post(number=number) for number in range(60)]

    def work() -> int:
        own = Database(settings, "worker")
        try:
            handler = HookHandler(own, settings)
            return sum(iter(lambda: handler.handle_due(7), 0))
        finally:
            own.close()

    with ThreadPoolExecutor(3) as threads:
        assert sum(thread.result(60) for thread in [threads.submit(work) for _ in range(3)]) == 60
    assert len(runs.rows()) == 60
    hooks.replay(ids[0])
    work()
    assert len(runs.rows()) == 61
    [first, *_, last] = sorted(runs.rows(), key=lambda run: (str(ids[0]) in run["idempotency_key"], run["id"]))[-2:]
    assert str(ids[0]) in first["idempotency_key"]
    assert str(ids[0]) in last["idempotency_key"]


@pytest.mark.usefixtures("triggers")
def test_what_is_wrong_with_a_trigger_does_not_touch_the_hook(
    service: TriggerService, runs: Runs, db: Database, hooks: HookService, handler: HookHandler, post: Post
) -> None:
    service.create({"name": "filter", "families": ["*"], "filter": "hook.data.none > 1", "workflow": "nap"}, "test")
    service.create({"name": "input", "families": ["*"], "input": {"a": 1}, "workflow": "fussy"}, "test")
    service.create(
        {"name": "template", "families": ["*"], "input": {"a": "${{ hook.data.b }}"}, "workflow": "nap"}, "test"
    )
    service.create({"name": "well", "families": ["*"], "workflow": "nap"}, "test")
    with db.transaction() as tx:
        tx.execute("UPDATE triggers SET workflow = 'gone' WHERE name = 'template'")
    service.change("well", {"tags": ["again"]}, "test")
    hook_id = post()
    handler.handle_due()
    assert state_of(hooks, hook_id) == "handled"
    assert [run["submitted_by"] for run in runs.rows()] == ["trigger:well"]
    with db.transaction() as tx:
        told = tx.all("SELECT payload FROM journal WHERE event_type = 'workflow-trigger-failed' ORDER BY id")
    assert [(row["payload"]["name"], row["payload"]["hook_id"]) for row in told] == [
        (name, str(hook_id)) for name in ("filter", "input", "template")
    ]
    assert service.get("filter")["recent"][0]["outcome"] == "failed"
    assert "no field 'none'" in service.get("filter")["recent"][0]["detail"]


@pytest.mark.usefixtures("triggers")
def test_a_handling_that_is_undone_begins_nothing(
    service: TriggerService, runs: Runs, hooks: HookService, handler: HookHandler, post: Post
) -> None:
    class Late:
        def learn(self, tx: Transaction) -> None:
            pass

        def wants(self, hook: Hook) -> bool:
            return hook.attempt == 1

        def handle(self, tx: Transaction, hook: Hook) -> None:
            raise RuntimeError("after the trigger")

    service.create({"name": "t", "families": ["*"], "workflow": "nap"}, "test")
    registry.listens(Late())
    hook_id = post()
    handler.handle_due()
    assert state_of(hooks, hook_id) == "retrying"
    assert (runs.rows(), runs.hinted, service.get("t")["recent"]) == ([], [], [])


class Away(Runs):
    """The database goes away as the run is made."""

    def submit(self, submission: Submission, tx: Transaction | None = None) -> Submitted:
        assert tx is not None
        tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        raise AssertionError


def test_a_database_that_is_away_is_not_the_triggers_fault(
    service: TriggerService, db: Database, hooks: HookService, handler: HookHandler, post: Post,
    monkeypatch: pytest.MonkeyPatch, runs: Runs, settings: Settings,
) -> None:  # fmt: skip
    monkeypatch.setattr(registry, "_listeners", [Triggers(lambda: Away(db, settings))])
    service.create({"name": "t", "families": ["*"], "workflow": "nap"}, "test")
    hook_id = post()
    with pytest.raises(Exception, match="lost"):
        handler.handle_due()
    assert state_of(hooks, hook_id) == "processing"
    assert (runs.rows(), service.get("t")["recent"]) == ([], [])


def test_without_a_trigger_that_matches_a_hook_is_nobodys(triggers: Triggers, db: Database, post: Post) -> None:
    @handles(resource="order")
    def book(tx: Transaction, hook: Hook) -> None:
        """Somebody else's."""

    hook = Hook(post(), "shop", "hook", "invoice.sent", "sent", "invoice", "i", "dev", "c", 1, 1, {})
    with db.transaction() as tx:
        registry.learn(tx)
    assert registry.handlers_of(hook) == []


MISTAKES = [
    ({"name": "a b"}, {"/name"}),
    ({"name": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, {"/name"}),
    ({"families": []}, {"/event_types"}),
    ({"sources": [""]}, {"/sources"}),
    ({"filter": "hook.data.total >"}, {"/filter"}),
    ({"filter": "input.x == 1"}, {"/filter"}),
    ({"input": {"a": "${{ steps.x.output }}"}}, {"/input"}),
    ({"input": {"a": "\x00"}}, {"/input/a"}),
    ({"input": {"a": "x" * 70_000}}, {"/input"}),
    ({"workflow": "unknown"}, {"/workflow"}),
    ({"workflow_version": "9"}, {"/workflow"}),
    ({"priority": 11, "tags": ["x"] * 11, "metadata": {"a": float("nan")}}, {"/priority", "/tags", "/metadata/a"}),
]


@pytest.mark.usefixtures("runs")
def test_every_mistake_is_told(service: TriggerService, subtests: pytest.Subtests) -> None:
    for wrong, pointers in MISTAKES:
        with subtests.test(wrong=str(wrong)[:60]):
            with pytest.raises(ValidationFailed) as refusal:
                service.create({"name": "t", "families": ["*"], "workflow": "nap", **wrong}, "test")
            assert {error.pointer for error in refusal.value.errors} == pointers


@pytest.mark.usefixtures("runs")
def test_a_name_is_one_trigger(service: TriggerService, db: Database) -> None:
    made = service.create({"name": "t", "families": ["*"], "workflow": "nap"}, "me")
    service.create({"name": "u", "families": ["*"], "workflow": "nap"}, "me")
    with pytest.raises(Conflict):
        service.create({"name": "t", "families": ["*"], "workflow": "nap"}, "me")
    with pytest.raises(Conflict):
        service.change("u", {"name": "t"}, "me")
    with pytest.raises(Conflict):
        service.resume(made["id"], "me")
    service.remove(made["id"], "me")
    with pytest.raises(NotFound):
        service.get("t")
    with db.transaction() as tx:
        told = tx.all("SELECT payload->>'action' AS action, version FROM journal WHERE aggregate_type = 'trigger'"
                      " AND aggregate_id = %(id)s ORDER BY id", {"id": str(made["id"])})  # fmt: skip
    assert told == [{"action": "created", "version": 1}, {"action": "removed", "version": 2}]
