from __future__ import annotations

import json
import time
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows import definition as package
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.context import Known
from tasks.workflows.definition.mistakes import InvalidDefinition
from tasks.workflows.definition.model import (
    Action,
    Cache,
    Concurrency,
    Expectation,
    RetryPolicy,
    StepDefinition,
    WorkflowDefinition,
)
from tasks.workflows.definition.parse import content_hash, from_snapshot, parse_definition, steps_read, to_snapshot
from tasks.workflows.definition.schema import definition_schema

FULL = """
name: order.full
version: 3
description: Everything at once
input_schema: {type: object, required: [id], properties: {id: {type: integer}}}
max_parallel: 4
timeout_s: 600
priority: 7
tags: [a, b]
on_failure: compensate
metadata: {team: x, "${{ plain }}": "${{ not rendered }}"}
outputs: {total: "${{ steps.fetch.output.total }}"}
concurrency: {key: "customer-${{ input.id }}", limit: 2}
steps:
  - key: fetch
    kind: http
    with:
      url: https://api.example.org/${{ input.id }}
      method: POST
      headers: {Accept: application/json}
      secrets: {Authorization: {secret: shop, prefix: "Bearer "}}
      json: {id: "${{ input.id }}", n: [1, 2.5, null]}
      timeout_s: "${{ input.patience }}"
      expect_status: [200, 404]
    retry: {max_attempts: 5, backoff_s: 0.5, multiplier: 3, max_backoff_s: 30, jitter: true, 'on': [Timeout, "HTTP_5*"]}
    timeout_s: 20
    queue: slow
    priority: 9
    compensate: {kind: task, with: {task: undo, args: {of: "${{ steps.fetch.output.id }}"}}, timeout_s: 5}
    outputs: {fetched: "${{ output.id }} by ${{ run.id }}"}
    expect:
      schema: {type: object}
      required: [id, a.b]
      pattern: "^\\\\{"
      min_length: 2
      max_length: 1000
      required_words: [id]
      forbidden_words: [error]
    cache: {key: "order-${{ input.id }}", ttl_s: 60}
  - {key: items, kind: map, needs: [fetch], when: steps.fetch.state == 'succeeded', with: {over: steps.fetch.output.items,
     step: {kind: ai, with: {prompt: "${{ index }}: ${{ item.text }}", fallback: next_tier}, retry: {max_attempts: 2}},
     max_parallel: 3, chunk_size: 10, on_item_failure: collect}}
  - {key: choose, kind: branch, needs: [items], with: {cases: [{when: len(steps.items.output) > 3, then: big}],
     otherwise: [small, small-too]}}
  - {key: big, kind: approve, needs: [choose], with: {message: "${{ len(steps.items.output) }}", timeout_s: 60}}
  - {key: small, kind: wait, needs: [choose], with: {seconds: 2}}
  - {key: small-too, kind: wait, needs: [choose], with: {signal: go, timeout_s: 5, on_timeout: continue}}
  - {key: child, kind: workflow, needs: [big, small], with: {name: other, version: "2", input: "${{ input }}"}}
  - {key: query, kind: sql, needs: [child, small-too], with: {connection: main, query: "SELECT %(id)s", params: {id: 1}}}
  - {key: say, kind: emit, needs: [query], with: {event: done, data: {n: "${{ steps['small-too'].output }}"}, key: k}}
  - {key: end, kind: task, needs: [say], with: {task: finish, args: "${{ steps.say.output }}"}}
"""  # noqa: E501
ALL_KNOWN = Known(
    tasks=["undo", "finish"], queues=["slow"], connections=["main"], secrets=["shop"], workflows=["other"]
)


def steps(*given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "n", "steps": list(given), **more}


def task(key: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "kind": "task", "needs": list(needs), "with": {"task": "t"}, **more}


def step(key: str, kind: str, **arguments: Any) -> dict[str, Any]:
    return {"key": key, "kind": kind, "with": arguments}


def mistakes(source: Any, known: Known | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(source, known=known or Known())
    return [(mistake.pointer, mistake.detail) for mistake in caught.value.mistakes]


def test_everything_that_the_contract_names() -> None:
    parsed = parse_definition(FULL, known=ALL_KNOWN)
    assert (parsed.name, parsed.version, parsed.max_parallel, parsed.timeout_s) == ("order.full", "3", 4, 600)
    assert (parsed.priority, parsed.tags, parsed.on_failure) == (7, ("a", "b"), "compensate")
    assert parsed.concurrency == Concurrency("customer-${{ input.id }}", 2)
    fetch, items, choose, *_ = parsed.steps
    assert fetch == StepDefinition(
        key="fetch",
        action=Action(
            "http",
            fetch.action.arguments,
            RetryPolicy(5, 0.5, 3, 30, 1, ("Timeout", "HTTP_5*")),
            20,
            Expectation({"type": "object"}, ("id", "a.b"), "^\\{", 2, 1000, ("id",), ("error",)),
        ),
        queue="slow",
        priority=9,
        compensate=Action("task", {"task": "undo", "args": {"of": "${{ steps.fetch.output.id }}"}}, timeout_s=5),
        outputs={"fetched": "${{ output.id }} by ${{ run.id }}"},
        cache=Cache("order-${{ input.id }}", 60),
    )
    assert fetch.action.arguments["json"] == {"id": "${{ input.id }}", "n": [1, 2.5, None]}
    assert items.when == "steps.fetch.state == 'succeeded'"
    assert choose.action.arguments["cases"] == [{"when": "len(steps.items.output) > 3", "then": ["big"]}]
    kinds = {step.kind for step in parsed.steps} | {"ai"}
    assert kinds == {"task", "http", "ai", "emit", "map", "branch", "wait", "approve", "workflow", "sql"}
    assert kinds <= set(KINDS)


def test_the_defaults_are_the_contracts() -> None:
    parsed = parse_definition(steps(task("a")))
    assert (parsed.timeout_s, parsed.on_failure, parsed.max_parallel, parsed.version) == (
        3600,
        "fail_fast",
        None,
        None,
    )
    assert parsed.steps[0].action.timeout_s is None
    assert KINDS["task"].timeout_s == 300
    assert RetryPolicy().max_attempts == 3


def test_the_example_of_the_documentation() -> None:
    assert package.__doc__
    example = package.__doc__.split("\n\n")[2]
    parsed = parse_definition(example)
    assert [step.key for step in parsed.steps] == ["fetch", "size", "review", "ship", "told"]


@pytest.mark.parametrize("form", [str, str.encode, yaml.safe_load, lambda t: json.dumps(yaml.safe_load(t))])
def test_every_form_gives_the_same(form: Any) -> None:
    assert parse_definition(form(FULL)) == parse_definition(FULL)


def test_a_snapshot_gives_the_definition_back() -> None:
    parsed = parse_definition(FULL)
    snapshot = to_snapshot(parsed)
    assert from_snapshot(snapshot) == parsed
    assert from_snapshot(json.loads(snapshot)) == parsed
    assert parse_definition(snapshot) == parsed
    assert to_snapshot(from_snapshot(snapshot)) == snapshot


def test_the_hash_is_of_what_is_said() -> None:
    first = parse_definition(steps(task("a", timeout_s=300), version=1))
    same = parse_definition("steps: [{with: {task: t}, kind: task, key: a, timeout_s: 300.0, when: ~}]\nname: n")
    assert content_hash(first) == content_hash(same)
    assert content_hash(first) != content_hash(parse_definition(steps(task("b", timeout_s=300))))
    assert len(content_hash(first)) == 64


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ([], [("", "an object is needed, not a list")]),
        ({}, [("", "the field 'name' is missing"), ("", "the field 'steps' is missing")]),
        ({"name": "n", "steps": []}, [("/steps", "1 to 10000 items is needed, not of 0")]),
        ({"name": "n", "steps": {}}, [("/steps", "a list is needed, not an object")]),
        ({"name": "n n", "steps": [task("a")]}, [("/name", "'n n' is not a name")]),
        (steps(task("a"), nam="x"), [("/nam", "unknown field; did you mean 'name'?")]),
        (steps(task("a"), version=1.1), [("/version", "write it in quotes")]),
        (steps(task("a"), timeout_s=86_401), [("/timeout_s", "from 1 to 86400")]),
        (steps(task("a"), timeout_s="5"), [("/timeout_s", "a number is needed, not a text")]),
        (steps(task("a"), timeout_s=True), [("/timeout_s", "a number is needed, not true or false")]),
        (steps(task("a"), priority=0), [("/priority", "from 1 to 10")]),
        (steps(task("a"), priority=1.5), [("/priority", "a whole number is needed, not 1.5")]),
        (steps(task("a"), max_parallel=0), [("/max_parallel", "from 1")]),
        (steps(task("a"), tags=["x"] * 2), [("/tags/1", "twice")]),
        (steps(task("a"), tags=[str(i) for i in range(11)]), [("/tags", "0 to 10 items")]),
        (steps(task("a"), on_failure="continu"), [("/on_failure", "did you mean 'continue'?")]),
        (steps(task("a"), input_schema={"type": "strin"}), [("/input_schema", "not a usable JSON Schema")]),
        (steps(task("a"), input_schema={"$ref": "http://x/"}), [("/input_schema", "leads outside")]),
        (steps(task("a"), concurrency={"key": "${{ steps.a.output }}"}), [("/concurrency/key", "unknown name")]),
        (steps(task("a"), task("a")), [("/steps/1/key", "the key 'a' is that of step 1 too")]),
        (steps(task("a b")), [("/steps/0/key", "'a b' is not a key")]),
        (steps(task("abcd"), task("b", "abce")), [("/steps/1/needs/0", "no step 'abce'; did you mean 'abcd'?")]),
        (steps(task("a"), task("b", "a", "a")), [("/steps/1/needs/1", "'a' stands here twice")]),
        (steps(task("a", "a")), [("/steps/0/needs", "a cycle: a → a")]),
        (
            steps(task("c", "b"), task("a", "c"), task("b", "a"), task("d", "b", "e"), task("e", "d")),
            [("/steps/0/needs", "a cycle: c → a → b → c"), ("/steps/3/needs", "a cycle: d → e → d")],
        ),
        (
            steps(task("a", "a"), task("b"), task("c", "a", when="steps.b.output"), task("d", when="steps.b.output")),
            [("/steps/0/needs", "a cycle: a → a"), ("/steps/3/when", "which does not come before 'd'")],
        ),
        (steps({"key": "a"}), [("/steps/0", "the field 'kind' is missing")]),
        (steps({"key": "a", "kind": "htpp"}), [("/steps/0/kind", "unknown kind 'htpp'; did you mean 'http'?")]),
        (steps({"key": "a", "kind": "task"}), [("/steps/0/with", "the field 'task' is missing")]),
        (steps(task("a", wen="x")), [("/steps/0/wen", "did you mean 'when'?")]),
        (steps(task("a", retry={"max_attempts": 0})), [("/steps/0/retry/max_attempts", "from 1 to 100")]),
        (steps(task("a", retry={"backoff_s": 9, "max_backoff_s": 1})), [("/steps/0/retry/max_backoff_s", "less")]),
        (steps(task("a", expect={"regexp": "a"})), [("/steps/0/expect/regexp", "unknown field")]),
        (steps(task("a", expect={"pattern": "("})), [("/steps/0/expect/pattern", "not a regular expression")]),
        (
            steps(task("a", expect={"min_length": 5, "max_length": 4})),
            [("/steps/0/expect/max_length", "less than min_length")],
        ),
        (steps(task("a", when="input.n >")), [("/steps/0/when", "bad expression: invalid syntax")]),
        (steps(task("a", when=5)), [("/steps/0/when", "an expression is needed, not a number")]),
        (steps(task("a", when="x ${{ true }}")), [("/steps/0/when", "bad expression")]),
        (steps(task("a", when="input.from == 1")), [("/steps/0/when", "'.from' is written ['from']")]),
        (steps(task("a", when="steps.b.output"), task("b")), [("/steps/0/when", "add it to 'needs'")]),
        (steps(task("a", when="steps.x.output")), [("/steps/0/when", "reads the step 'x', which there is not")]),
        (steps(task("a", when="steps.a.output")), [("/steps/0/when", "reads itself")]),
        (steps(task("a", when="item")), [("/steps/0/when", "unknown name 'item'")]),
        (
            steps(task("a", outputs={"x": "${{ output }}"}), task("b", outputs={"x": 1}), outputs={"x": 2}),
            [
                ("/outputs/x", "given by step 1 too"),
                ("/outputs/x", "given by step 2 too"),
                ("/steps/1/outputs/x", "given by step 1 too"),
            ],
        ),
        (steps(task("a"), outputs={"x": "${{ steps.b.output }}"}), [("/outputs/x", "which there is not")]),
        (
            steps({"key": "a", "kind": "task", "with": {"task": "${{ input.t }}"}}),
            [("/steps/0/with/task", "no template is rendered here")],
        ),
        (
            steps(step("a", "task", task="t", args={"x": ["${{ nope }}"], "y": "${{ no }}"})),
            [("/steps/0/with/args/x/0", "unknown name 'nope'"), ("/steps/0/with/args/y", "unknown name 'no'")],
        ),
        (
            steps({"key": "a", "kind": "task", "with": {"task": "t", "args": "x ${{ input }}"}}),
            [("/steps/0/with/args", "one ${{ }} alone")],
        ),
        (
            steps({"key": "a", "kind": "http", "with": {"url": "u", "body": "a", "json": 1, "method": "FETCH"}}),
            [("/steps/0/with/method", "one of GET"), ("/steps/0/with/json", "not both")],
        ),
        (
            steps({"key": "a", "kind": "http", "with": {"url": "u", "headers": {"A B": "x"}, "timeout_s": 0}}),
            [("/steps/0/with/headers/A B", "not a header's name"), ("/steps/0/with/timeout_s", "from 0.1")],
        ),
        (
            steps({"key": "a", "kind": "http", "with": {"url": "u", "headers": {"X": ""}, "secrets": {"x": {}}}}),
            [("/steps/0/with/secrets/x", "'secret' is missing"), ("/steps/0/with/secrets/x", "in 'headers' too")],
        ),
        (
            steps({"key": "a", "kind": "sql", "with": {"connection": "c", "query": "SELECT ${{ input.x }}"}}),
            [("/steps/0/with/query", "no template")],
        ),
        (steps({"key": "a", "kind": "wait"}), [("/steps/0/with", "exactly one of 'seconds', 'until', 'signal'")]),
        (
            steps({"key": "a", "kind": "wait", "with": {"seconds": 1, "timeout_s": 1}}),
            [("/steps/0/with/timeout_s", "belongs to a wait for a signal")],
        ),
        (
            steps(step("a", "map", over="input", step={"kind": "wait", "with": {"seconds": 1}})),
            [("/steps/0/with/step/kind", "can't stand here")],
        ),
        (
            steps(step("a", "map", over="item", step={"kind": "task", "with": {"task": 1}})),
            [("/steps/0/with/over", "unknown name 'item'"), ("/steps/0/with/step/with/task", "a text is needed")],
        ),
        (
            steps(
                step("a", "branch", cases=[{"when": "x", "then": "b"}], otherwise=["c", "d"]),
                task("b", "a"),
                task("c"),
            ),
            [
                ("/steps/0/with/cases/0/when", "unknown name 'x'"),
                ("/steps/0/with/otherwise/0", "does not need this branch"),
                ("/steps/0/with/otherwise/1", "there is no step 'd'"),
            ],
        ),
        (
            steps(task("a", compensate={"kind": "approve"}), task("b", compensate="undo")),
            [
                ("/steps/0/compensate/kind", "can't stand here"),
                ("/steps/1/compensate", "an object with a kind is needed"),
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_refused(source: Any, expected: list[tuple[str, str]]) -> None:
    found = mistakes(source)
    assert sorted(pointer for pointer, _ in found) == sorted(pointer for pointer, _ in expected)
    for pointer, says in expected:
        assert any(at == pointer and says in detail for at, detail in found), found


def test_what_exists_is_checked_where_it_is_known() -> None:
    found = mistakes(
        FULL, Known(tasks=["undoo"], queues=["slo"], connections=[], secrets=["x"], workflows=["others"])
    )
    assert [pointer for pointer, _ in found] == [
        "/steps/0/with/secrets/Authorization/secret",
        "/steps/0/queue",
        "/steps/0/compensate/with/task",
        "/steps/6/with/name",
        "/steps/7/with/connection",
        "/steps/9/with/task",
    ]
    assert "did you mean 'undoo'?" in found[2][1]


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    text = """name: bad
steps:
  - key: a
    kind: task
    need: [b]
    with: {task: t}
  - key: b
    kind: htp
    when: input.n && 1
  - key: b
    kind: task
    needs: [c]
    with:
      task: t
      args: {x: "${{ steps.zz.output }}"}
"""
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(text)
    assert [(m.line, m.pointer) for m in caught.value.mistakes] == [
        (5, "/steps/0/need"),
        (8, "/steps/1/kind"),
        (9, "/steps/1/when"),
        (10, "/steps/2/key"),
        (12, "/steps/2/needs/0"),
        (15, "/steps/2/with/args/x"),
    ]
    assert "line 9, column 5: /steps/1/when: bad expression: '&&' is written 'and'" in str(caught.value)


def chain(size: int) -> str:
    lines = ["name: big", "steps:"]
    for i in range(size):
        lines.append(
            f"- key: s{i}\n  kind: task\n  needs: [{f's{i - 1}' if i else ''}]\n  with: {{task: t, args: {{n: 1"
        )
        lines[-1] += f', up: "${{{{ steps.s{i - 1}.output.x }}}}"' * bool(i) + "}}"
    return "\n".join(lines)


def test_ten_thousand_steps_take_about_a_second() -> None:
    text = chain(10_000)
    began = time.process_time()
    parsed = parse_definition(text)
    assert time.process_time() - began < 3, "alone on a machine of 2026 it is 0.7 s"
    began = time.process_time()
    assert from_snapshot(to_snapshot(parsed)) == parsed
    assert time.process_time() - began < 2
    assert len(mistakes(text + "\n" + chain(1).split("\n", 2)[2])) == 1


def test_distant_ancestors_may_be_read_in_a_large_graph() -> None:
    text = chain(10_000) + '\n- {key: z, kind: task, needs: [s9999], with: {task: t}, when: "steps.s0.output"}'
    with pytest.raises(InvalidDefinition, match="10000 items"):
        parse_definition(text)
    text = chain(9_999) + '\n- {key: z, kind: task, needs: [s9998], with: {task: t}, when: "steps.s0.output.x"}'
    assert len(parse_definition(text).steps) == 10_000


@pytest.mark.parametrize(
    "source",
    [
        steps(*[task(f"s{i}", f"x{i}") for i in range(10_000)]),
        steps(*[task(f"s{i}", f"s{(i + 1) % 10_000}") for i in range(10_000)]),
        steps(*[task("same") for _ in range(10_000)]),
        steps(*[task(f"s{i}", when="steps.nope.output") for i in range(10_000)]),
        steps(*[{"key": f"s{i}", "kin": "task"} for i in range(10_000)]),
        steps(*[task(f"s{i}", *(f"s{j}" for j in range(max(0, i - 60), i))) for i in range(2_000)]),
    ],
    ids=["unknown needs", "one cycle", "one key", "unknown reads", "unknown fields", "too many needs"],
)
def test_many_mistakes_are_found_soon(source: Any) -> None:
    began = time.process_time()
    found = mistakes(source)
    assert time.process_time() - began < 8
    assert len(found) <= 1001
    assert all(len(detail) < 1000 for _, detail in found)


def test_steps_read() -> None:
    parsed = parse_definition(FULL)
    read = {step.key: steps_read(step) for step in parsed.steps}
    assert read["fetch"] == {"fetch"}, "its compensation reads it"
    assert read["items"] == {"fetch"}
    assert read["choose"] == {"items"}
    assert read["say"] == {"small-too"}
    assert read["small"] == frozenset()


def test_the_schema_accepts_what_is_valid() -> None:
    schema = definition_schema()
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    assert list(validator.iter_errors(yaml.safe_load(FULL))) == []
    assert list(validator.iter_errors(json.loads(to_snapshot(parse_definition(FULL))))) == []
    for wrong in (
        steps(),
        steps(task("a", wen=1)),
        steps({"key": "a", "kind": "task"}),
        steps({"key": "a", "kind": "x"}),
    ):
        assert not validator.is_valid(wrong)


KEYS = st.sampled_from(["a", "b", "c", "d-e", "_f"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | KEYS
WORDS = ["${{ input.x }}", "${{ steps.a.output }}", "steps.b.state == 'x'", "task", "map", "t", "${{"]
INNER = ["kind", "with", "task", "over", "step", "cases", "when", "then", "retry", "key", "$ref"]
ANY = st.recursive(
    SCALARS | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["key", "kind", "needs", "with", "when", "retry", "timeout_s", "queue", "priority", "compensate", "outputs",
          "expect", "cache"]  # fmt: skip
TOPS = ["version", "description", "input_schema", "max_parallel", "timeout_s", "priority", "tags", "on_failure",
        "metadata", "outputs", "concurrency"]  # fmt: skip


@given(
    st.lists(st.dictionaries(st.sampled_from(FIELDS), ANY) | ANY, max_size=3) | ANY,
    st.dictionaries(st.sampled_from(TOPS), ANY, max_size=3),
)
@settings(deadline=None, max_examples=300)
def test_anything_is_a_definition_or_is_refused(inner: Any, tops: dict[str, Any]) -> None:
    source = {"name": "n", "steps": inner, **tops}
    try:
        parsed = parse_definition(source)
    except InvalidDefinition:
        return
    assert from_snapshot(to_snapshot(parsed)) == parsed


@st.composite
def definitions(draw: st.DrawFn) -> WorkflowDefinition:
    """A valid definition by its parts."""
    keys = [f"s{i}" for i in range(draw(st.integers(1, 8)))]
    made = []
    for i, key in enumerate(keys):
        needs = draw(st.lists(st.sampled_from(keys[:i]), unique=True)) if i else []
        reads = f"${{{{ steps.{needs[0]}.output }}}}" if needs else "${{ input }}"
        made.append(
            StepDefinition(
                key,
                Action(
                    "task",
                    {"task": "t", "args": {"x": reads}} if draw(st.booleans()) else {"task": "t"},
                    draw(st.none() | st.builds(RetryPolicy, st.integers(1, 9), on=st.just(("a", "b")) | st.just(()))),
                    draw(st.none() | st.sampled_from([1, 2.5, 300])),
                    draw(st.none() | st.builds(Expectation, min_length=st.integers(0, 5), required=st.just(("a",)))),
                ),
                tuple(needs),
                draw(st.none() | st.just("input.x == 1")),
                draw(st.none() | st.just("q")),
                draw(st.none() | st.integers(1, 10)),
                draw(st.none() | st.just(Action("emit", {"event": "e"}))),
                draw(st.just({}) | st.just({f"o{i}": "${{ output }}"})),
                draw(st.none() | st.just(Cache("k", 60))),
            )
        )
    return WorkflowDefinition(
        "n",
        tuple(made),
        draw(st.none() | st.just("1")),
        draw(st.sampled_from(["", "about"])),
        draw(st.none() | st.booleans() | st.just({"type": "object"})),
        draw(st.none() | st.integers(1, 9)),
        draw(st.integers(1, 86_400)),
        draw(st.integers(1, 10)),
        draw(st.just(()) | st.just(("t",))),
        draw(st.sampled_from(["fail_fast", "continue", "compensate"])),
        draw(st.just({}) | st.just({"a": [1, None, ""]})),
    )


@given(definitions())
@settings(deadline=None)
def test_definitions_survive_every_round_trip(one: WorkflowDefinition) -> None:
    snapshot = to_snapshot(one)
    assert from_snapshot(snapshot) == one
    assert parse_definition(snapshot) == one
    assert parse_definition(yaml.safe_dump(json.loads(snapshot))) == one
    assert jsonschema_rs.validator_for(definition_schema()).is_valid(json.loads(snapshot))
