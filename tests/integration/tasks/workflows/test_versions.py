"""New versions of definitions: runs under way, their children and their retries do not change; new runs do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tasks.workflows import definitions
from tasks.workflows.attempt import StepError
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.store.steps import Claimed
from tasks.workflows.submitting import Submission
from tasks.workflows.work.outcomes import Failed
from tests.integration.tasks.workflows.workbench import Workbench

ASK = {"key": "ask", "kind": "approve"}


def deploy(bench: Workbench, number: int) -> None:
    """Version ``number`` of a parent, its child, and the child's child."""
    echo = {"kind": "task", "with": {"task": "test.echo"}}
    below = {"key": "below", "kind": "workflow", "needs": ["ask"], "with": {"name": "grandchild"}}
    for name, steps in {
        "grandchild": [{"key": f"g{number}", **echo}],
        "child": [ASK, below, {"key": f"c{number}", "needs": ["below"], **echo}],
        "parent": [
            ASK,
            {"key": "child", "kind": "workflow", "needs": ["ask"], "with": {"name": "child"}},
            {"key": f"p{number}", "needs": ["child"], **echo},
        ],
    }.items():
        made = definitions.put(bench.db, parse_definition({"name": name, "steps": steps}))
        assert (made[0].version, made[1]) == (str(number), True)


def submit(bench: Workbench, **more: Any) -> UUID:
    return bench.service.submit(Submission(name="parent", **more)).run_id


def approve(bench: Workbench, run_id: UUID) -> None:
    bench.work(run_id)
    bench.service.decide(run_id, "ask", True, "ada")
    bench.work(run_id)


def child_of(bench: Workbench, run_id: UUID) -> dict[str, Any]:
    [row] = bench.rows("SELECT * FROM runs WHERE parent_run_id = %(id)s", id=run_id)
    return row


def through(bench: Workbench, run_id: UUID) -> list[str]:
    """Brings a family of runs to its end; the versions from the top down, and the last keys of each."""
    approve(bench, run_id)
    child = child_of(bench, run_id)
    approve(bench, child["id"])
    grandchild = child_of(bench, child["id"])
    for each in (grandchild["id"], child["id"], run_id):
        bench.work(each)
    assert bench.run(run_id)["state"] == "succeeded"
    family = [bench.run(each) for each in (run_id, child["id"], grandchild["id"])]
    return [f"{run['definition_version']}:{','.join(run['output'])}" for run in family]


def test_a_run_under_way_keeps_its_version_and_its_childrens(bench: Workbench) -> None:
    deploy(bench, 1)
    before = submit(bench)
    bench.work(before)
    deploy(bench, 2)
    after = submit(bench)
    assert through(bench, before) == ["1:p1", "1:c1", "1:g1"]
    assert through(bench, after) == ["2:p2", "2:c2", "2:g2"]
    assert through(bench, submit(bench, version="1"))[0] == "1:p1"


def test_a_retry_is_of_the_version_that_failed(bench: Workbench) -> None:
    deploy(bench, 1)
    run_id = submit(bench)
    context, token = bench.context(run_id), bench.claim(run_id, 0)
    bench.writer.end(context, Claimed(0, 9), token, Failed(StepError("no")))
    deploy(bench, 2)
    bench.service.retry(run_id, "ada")
    assert through(bench, run_id) == ["1:p1", "1:c1", "1:g1"]


def test_a_child_that_came_later_than_its_parent_is_the_newest(bench: Workbench) -> None:
    step = {"key": "c", "kind": "workflow", "with": {"name": "grandchild"}}
    run_id = bench.submit(ASK, {**step, "needs": ["ask"]})
    deploy(bench, 1)
    deploy(bench, 2)
    approve(bench, run_id)
    assert child_of(bench, run_id)["definition_version"] == "2"
