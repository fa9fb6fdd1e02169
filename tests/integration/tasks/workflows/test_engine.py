"""The engine on real servers with a real worker: every kind of step, failure and steering, end to end."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.workflows import definitions
from tasks.workflows.definition.form import LARGE
from tasks.workflows.definition.parse import parse_definition
from tests.integration.tasks.workflows.engine import Engine

pytestmark = pytest.mark.timeout(120)


def task(key: str, name: str, needs: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A step that calls a registered function; ``args`` and other fields in ``more``."""
    args = more.pop("args", {})
    return {"key": key, "kind": "task", "needs": list(needs), "with": {"task": name, "args": args}, **more}


def test_a_line_hands_outputs_on(engine: Engine) -> None:
    run = engine.run(
        {
            "steps": [
                task("a", "test.echo", args={"x": "${{ input.n + 1 }}"}),
                task("b", "test.echo", ("a",), args={"x": "${{ steps.a.output.x * 2 }}"}),
                task("c", "test.echo", ("b",), args={"x": "${{ steps.b.output.x }}", "run": "${{ run.name }}"}),
            ]
        },
        {"n": 4},
    )
    assert run["state"] == "succeeded"
    assert run["output"] == {"c": {"x": 10, "run": "test"}}
    assert run["started_at"] <= run["finished_at"]


def test_any_graph_runs_each_step_once(engine: Engine) -> None:
    steps = [task(f"top-{n}", "test.effect") for n in range(8)]
    steps += [task(f"mid-{n}", "test.effect", (f"top-{n}", f"top-{(n + 1) % 8}")) for n in range(8)]
    steps += [task("end", "test.effect", tuple(f"mid-{n}" for n in range(8)))]
    run_id = engine.submit({"steps": steps})
    assert engine.wait(run_id)["state"] == "succeeded"
    assert engine.effects(run_id) == {step["key"]: 1 for step in steps}


def test_a_wide_fan_out_meets_again(engine: Engine) -> None:
    steps = [task(f"w{n}", "test.effect", args={"value": n}) for n in range(200)]
    steps.append(task("sum", "test.echo", tuple(f"w{n}" for n in range(200)), args={"n": "${{ steps.w199.output }}"}))
    run_id = engine.submit({"steps": steps})
    assert engine.wait(run_id)["output"] == {"sum": {"n": 199}}
    assert set(engine.effects(run_id).values()) == {1}
    assert len(engine.effects(run_id)) == 200


def test_a_run_of_many_steps_chooses_reads_gives_and_is_undone_like_any_other(engine: Engine) -> None:
    many = LARGE + 1

    def undo(key: str) -> dict[str, Any]:
        return {
            "kind": "task",
            "with": {"task": "test.effect", "args": {"value": f"${{{{ steps.{key}.output.n }}}}"}},
        }

    choose = {
        "key": "choose",
        "kind": "branch",
        "needs": ["w0"],
        "with": {"cases": [{"when": "steps.w0.output.n == 7", "then": ["end"]}], "otherwise": ["other"]},
    }
    each = {
        "over": "input.items",
        "step": {"kind": "task", "with": {"task": "test.echo", "args": {"i": "${{ item }}"}}},
    }
    steps = [
        task("end", "test.echo", ("choose", "map"), args={"x": "${{ steps.map.output[1].i }}"}),
        task("other", "test.echo", ("choose",), outputs={"never": "${{ output }}"}),
        {"key": "map", "kind": "map", "needs": [f"w{n}" for n in range(many)], "with": each},
        choose,
        *(task(f"w{n}", "test.echo", args={"n": n + 7}, compensate=undo(f"w{n}")) for n in range(many)),
    ]
    steps[-1] |= {"outputs": {"last": "${{ output.n }}"}}
    run_id = engine.submit({"steps": steps, "outputs": {"end": "${{ steps.end.output.x }}"}}, {"items": [1, 2]})
    assert engine.wait(run_id)["output"] == {"end": 2, "last": many + 6}
    assert engine.steps(run_id)["other"] == "skipped"
    engine.service.compensate(run_id, "test")
    assert engine.wait(run_id, "compensated")["error"] is None
    assert engine.effects(run_id) == {f"undo:w{n}": 1 for n in range(many)}


def test_a_failed_attempt_is_made_again_and_its_words_are_clean(engine: Engine) -> None:
    retry = {"max_attempts": 3, "backoff_s": 0.05, "jitter": 0}
    run_id = engine.submit({"steps": [task("f", "test.flaky", args={"until": 3}, retry=retry)]})
    assert engine.wait(run_id)["output"] == {"f": 3}
    told = engine.rows("SELECT payload FROM journal WHERE aggregate_id = %(id)s ORDER BY version", id=f"{run_id}/f")
    states = [row["payload"]["state"] for row in told]
    assert states == ["running", "retrying", "ready", "running", "retrying", "ready", "running", "succeeded"]
    assert "secret" not in str(told)


def test_a_failure_fails_the_run_and_cancels_the_rest(engine: Engine) -> None:
    run_id = engine.submit(
        {
            "steps": [
                task("bad", "test.refuse"),
                task("after", "test.echo", ("bad",)),
                task("slow", "test.sleep", args={"seconds": 30}),
            ]
        }
    )
    run = engine.wait(run_id)
    assert (run["state"], run["error_code"]) == ("failed", "Refused")
    assert engine.steps(run_id) == {"bad": "failed", "after": "cancelled", "slow": "cancelled"}


def test_on_failure_continue_goes_on_beside_the_failure(engine: Engine) -> None:
    steps = [task("bad", "test.refuse"), task("below", "test.echo", ("bad",)), task("beside", "test.echo")]
    run_id = engine.submit({"on_failure": "continue", "steps": steps})
    assert engine.wait(run_id)["state"] == "failed"
    assert engine.steps(run_id) == {"bad": "failed", "below": "cancelled", "beside": "succeeded"}
    leaf = engine.submit({"on_failure": "continue", "steps": [task("bad", "test.refuse"), task("good", "test.echo")]})
    assert engine.wait(leaf)["state"] == "succeeded"


def test_compensation_undoes_newest_first(engine: Engine) -> None:
    def undo(name: str) -> dict[str, Any]:
        return {"kind": "task", "with": {"task": "test.effect", "args": {"value": f"${{{{ steps.{name}.output }}}}"}}}

    steps = [
        task("a", "test.echo", args={"n": 1}, compensate=undo("a")),
        task("b", "test.echo", ("a",), args={"n": 2}, compensate=undo("b")),
        task("c", "test.refuse", ("b",)),
    ]
    run_id = engine.submit({"on_failure": "compensate", "steps": steps})
    assert engine.wait(run_id)["state"] == "compensated"
    rows = engine.rows(
        "SELECT key, output FROM steps WHERE run_id = %(id)s AND compensates IS NOT NULL ORDER BY finished_at",
        id=run_id,
    )
    assert [(row["key"], row["output"]) for row in rows] == [("undo:b", {"n": 2}), ("undo:a", {"n": 1})]
    assert engine.effects(run_id) == {"undo:b": 1, "undo:a": 1}
    # Each was sent on its way at once, not found by the clock.
    sent = engine.rows(
        "SELECT payload->>'reason' AS reason FROM journal WHERE aggregate_id LIKE %(id)s || '/%%'", id=run_id
    )
    assert "lease expired" not in {row["reason"] for row in sent}
    times = engine.rows(
        "SELECT extract(epoch FROM finished_at - created_at) AS s FROM runs WHERE id = %(id)s", id=run_id
    )
    assert times[0]["s"] < 4


def test_when_and_branch_skip_and_join(engine: Engine) -> None:
    steps = [
        task("off", "test.echo", when="input.off"),
        task("below-off", "test.echo", ("off",)),
        {
            "key": "choose",
            "kind": "branch",
            "with": {"cases": [{"when": "input.n > 10", "then": "large"}], "otherwise": "small"},
        },
        task("large", "test.echo", ("choose",)),
        task("small", "test.echo", ("choose",)),
        task("join", "test.echo", ("large", "small"), args={"large": "${{ steps.large.output }}"}),
    ]
    run_id = engine.submit({"steps": steps}, {"n": 5, "off": False})
    run = engine.wait(run_id)
    assert run["state"] == "succeeded"
    assert engine.steps(run_id) == {
        "off": "skipped",
        "below-off": "skipped",
        "choose": "succeeded",
        "large": "skipped",
        "small": "succeeded",
        "join": "succeeded",
    }
    assert run["output"] == {"join": {"large": None}}


def test_a_map_does_each_item_once_in_order(engine: Engine) -> None:
    inner = {"kind": "task", "with": {"task": "test.effect", "args": {"value": "${{ item * 2 + index }}"}}}
    steps = [{"key": "m", "kind": "map", "with": {"over": "input.items", "step": inner}}]
    run_id = engine.submit({"steps": steps}, {"items": list(range(300))})
    assert engine.wait(run_id)["output"] == {"m": [3 * n for n in range(300)]}
    assert engine.effects(run_id) == {f"m/{n}": 1 for n in range(300)}
    assert engine.run({"steps": steps}, {"items": []})["output"] == {"m": []}


def test_an_item_that_fails_fails_the_map_or_is_null(engine: Engine) -> None:
    retry = {"max_attempts": 2, "backoff_s": 0.01}
    inner = {
        "kind": "task",
        "retry": retry,
        "with": {"task": "test.flaky", "args": {"until": "${{ item }}"}},
    }

    def steps(**more: Any) -> list[dict[str, Any]]:
        return [{"key": "m", "kind": "map", "with": {"over": [1, 2, 3], "step": inner, **more}}]

    run = engine.run({"steps": steps()})
    assert (run["state"], run["error_code"]) == ("failed", "RuntimeError")
    run_id = engine.submit({"steps": steps(on_item_failure="collect")})
    assert engine.wait(run_id)["output"] == {"m": [1, 2, None]}
    reading = engine.service.reading
    [failed] = reading.items(run_id, "m", state="failed").items
    assert (failed["index"], failed["item"], failed["attempt"], failed["error_code"]) == (2, 3, 2, "RuntimeError")
    # The journal has the attempts that failed, and no others: what goes well costs it nothing.
    told = [
        [(row["payload"]["state"], row["payload"]["attempt"]) for row in reading.item(run_id, "m", index)["journal"]]
        for index in range(3)
    ]
    assert told == [[], [("retrying", 1)], [("retrying", 1), ("failed", 2)]]
    assert "secret" not in str(reading.item(run_id, "m", 2))


def test_waits_for_time_signal_and_decision(engine: Engine) -> None:
    steps: list[dict[str, Any]] = [
        {"key": "nap", "kind": "wait", "with": {"seconds": 0.3}},
        {"key": "paid", "kind": "wait", "needs": ["nap"], "with": {"signal": "paid"}},
        {"key": "ok", "kind": "approve", "needs": ["paid"], "with": {"message": "go?", "approvers": ["ada"]}},
    ]
    run_id = engine.submit({"steps": steps})
    early = engine.service.signal(run_id, "paid", {"amount": 7}, "shop", "key-1")
    assert engine.service.signal(run_id, "paid", {"amount": 7}, "shop", "key-1") == {**early, "duplicate": True}
    engine.wait_step(run_id, "ok", "waiting")
    engine.service.decide(run_id, "ok", True, "ada", "fine")
    run = engine.wait(run_id)
    assert run["output"] == {"ok": {"approved": True, "by": "ada", "comment": "fine"}}
    assert engine.rows("SELECT output FROM steps WHERE run_id = %(id)s AND key = 'paid'", id=run_id)[0]["output"] == {
        "amount": 7
    }


def test_nobody_decides_or_signals_in_time(engine: Engine) -> None:
    waits = {"signal": "never", "timeout_s": 0.2}
    run = engine.run({"steps": [{"key": "w", "kind": "wait", "with": waits}]})
    assert (run["state"], run["error_code"]) == ("failed", "TimedOut")
    run = engine.run({"steps": [{"key": "w", "kind": "wait", "with": {**waits, "on_timeout": "continue"}}]})
    assert run["output"] == {"w": None}
    run = engine.run({"steps": [{"key": "a", "kind": "approve", "with": {"timeout_s": 0.2, "on_timeout": "reject"}}]})
    assert (run["state"], run["error_code"]) == ("failed", "Rejected")


def test_a_child_run_hands_its_output_up_and_falls_with_its_parent(engine: Engine) -> None:
    child = {"name": "child", "steps": [task("s", "test.echo", args={"v": "${{ input.v }}"})]}
    sleeper = {"name": "sleeper", "steps": [{"key": "w", "kind": "wait", "with": {"signal": "x"}}]}
    for each in (child, sleeper):
        definitions.put(engine.db, parse_definition(each))
    up = {"key": "c", "kind": "workflow", "with": {"name": "child", "input": {"v": "${{ input.v }}"}}}
    assert engine.run({"steps": [up]}, {"v": 3})["output"] == {"c": {"s": {"v": 3}}}
    gone = engine.run({"steps": [{"key": "c", "kind": "workflow", "with": {"name": "nothing-there"}}]})
    assert (gone["state"], gone["error_code"]) == ("failed", "NotFound")
    run_id = engine.submit({"steps": [{"key": "c", "kind": "workflow", "with": {"name": "sleeper"}}]})
    child_id = engine.wait_step(run_id, "c", "waiting")["child_run_id"]
    engine.service.cancel(run_id, "test")
    assert engine.wait(child_id)["state"] == "cancelled"


def test_pause_holds_and_resume_goes_on(engine: Engine) -> None:
    steps = [task("a", "test.sleep", args={"seconds": 0.5}), task("b", "test.echo", ("a",))]
    run_id = engine.submit({"steps": steps})
    engine.wait_step(run_id, "a", "running")
    engine.service.pause(run_id, "test")
    engine.wait_step(run_id, "a", "succeeded")
    assert engine.steps(run_id)["b"] == "ready"
    assert engine.state(run_id) == "paused"
    engine.service.resume(run_id, "test")
    assert engine.wait(run_id)["state"] == "succeeded"


@pytest.mark.parametrize("mapped", [False, True])
def test_cancel_stops_what_runs(engine: Engine, mapped: bool) -> None:
    sleep = {"kind": "task", "with": {"task": "test.sleep", "args": {"seconds": 60}}}
    over = {"kind": "map", "with": {"over": [1, 2, 3, 4], "step": sleep}}
    steps = [{"key": "m", **over}] if mapped else [{"key": f"s{n}", **sleep} for n in range(4)]
    run_id = engine.submit({"steps": steps})
    engine.wait_running(run_id, 4)
    engine.service.cancel(run_id, "test")
    assert set(engine.steps(run_id).values()) == {"cancelled"}
    # The worker's four processes are free again long before the sleep is over.
    assert (
        engine.run({"steps": [task(f"e{n}", "test.sleep", args={"seconds": 0.2}) for n in range(4)]})["state"]
        == "succeeded"
    )


def test_retry_keeps_what_was_done(engine: Engine) -> None:
    steps = [
        task("a", "test.effect"),
        task("b", "test.flaky", ("a",), args={"until": 2}, retry={"max_attempts": 1}),
        task("c", "test.effect", ("b",)),
    ]
    run_id = engine.submit({"steps": steps})
    assert engine.wait(run_id)["state"] == "failed"
    engine.rows("UPDATE steps SET arguments = NULL WHERE run_id = %(id)s RETURNING 1", id=run_id)
    assert engine.service.retry(run_id, "test")["steps"] == 2
    run = engine.wait(run_id)
    assert run["state"] == "failed"  # the attempts are counted anew, so the first one fails again
    assert engine.effects(run_id) == {"a": 1}


def test_a_run_past_its_time_is_ended(engine: Engine) -> None:
    run = engine.run({"timeout_s": 1, "steps": [task("s", "test.sleep", args={"seconds": 60})]})
    assert run["state"] == "timed_out"
    late = engine.run(
        {"steps": [task("s", "test.sleep", args={"seconds": 60}, timeout_s=0.3, retry={"max_attempts": 1})]}
    )
    assert (late["state"], late["error_code"]) == ("failed", "TimedOut")


def test_a_worker_that_dies_costs_an_attempt_and_a_poison_step_is_given_up(engine: Engine) -> None:
    run = engine.run({"steps": [task("d", "test.die", args={"until": 2})]})
    assert run["output"] == {"d": 2}
    run = engine.run({"steps": [task("d", "test.die", args={"until": 9}, retry={"max_attempts": 2})]})
    assert (run["state"], run["error_code"]) == ("failed", "WorkerLost")


def test_max_parallel_and_concurrency_keys_hold(engine: Engine) -> None:
    steps = [task(f"s{n}", "test.sleep", args={"seconds": 0.15}) for n in range(6)]
    run_id = engine.submit({"max_parallel": 2, "steps": steps})
    assert engine.wait(run_id)["state"] == "succeeded"
    spans = engine.rows("SELECT started_at, finished_at FROM steps WHERE run_id = %(id)s", id=run_id)
    most = max(sum(a["started_at"] <= b["started_at"] < a["finished_at"] for a in spans) for b in spans)
    assert most <= 2
    one = {
        "concurrency": {"key": "${{ input.customer }}", "limit": 1},
        "steps": [task("s", "test.sleep", args={"seconds": 0.2})],
    }
    ids = [engine.submit(one, {"customer": "ada"}) for _ in range(3)]
    runs = [engine.wait(each) for each in ids]
    spans = [{"started_at": run["started_at"], "finished_at": run["finished_at"]} for run in runs]
    assert max(sum(a["started_at"] <= b["started_at"] < a["finished_at"] for a in spans) for b in spans) == 1


def test_expectations_caches_and_limits(engine: Engine) -> None:
    wrong = engine.run(
        {"steps": [task("e", "test.echo", args={"a": 1}, expect={"required": ["b"]}, retry={"max_attempts": 1})]}
    )
    assert (wrong["state"], wrong["error_code"]) == ("failed", "ExpectationMissed")
    big = engine.run({"steps": [task("b", "test.big", args={"size": 5_000_000})]})
    assert (big["state"], big["error_code"]) == ("failed", "TooLarge")
    cached = {"steps": [task("c", "test.effect", args={"value": 1}, cache={"key": "k", "ttl_s": 60})]}
    first, second = engine.submit(cached), engine.submit(cached)
    assert engine.wait(first)["state"] == "succeeded"
    third = engine.submit(cached)
    assert engine.wait(third)["output"] == {"c": 1}
    assert engine.effects(third) == {}
    engine.wait(second)


def test_a_repeat_with_the_same_key_is_the_first_run(engine: Engine) -> None:
    definition = {"steps": [task("e", "test.echo")]}
    first = engine.submit(definition, {"a": 1}, idempotency_key="same")
    assert engine.submit(definition, {"a": 1}, idempotency_key="same") == first
    engine.wait(first)


def test_an_effect_that_fails_fails_its_own_attempt_alone(engine: Engine) -> None:
    retry = {"max_attempts": 2, "backoff_s": 0.02}
    steps = [task(f"e{n}", "test.effect") for n in range(12)]
    steps += [task("bad", "test.bad-effect", retry=retry)]
    steps += [task("worse", "test.bad-effect", args={"until": 9}, retry=retry)]
    for _ in range(2):  # the second time they are known to be short, and end together
        run_id = engine.submit({"on_failure": "continue", "steps": steps})
        assert engine.wait(run_id)["state"] == "succeeded"
        assert engine.effects(run_id) == {f"e{n}": 1 for n in range(12)}
        states = engine.steps(run_id)
        assert (states["bad"], states["worse"]) == ("succeeded", "failed")
