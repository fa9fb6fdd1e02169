"""What ``omninode workflow submit`` begins without a file: an example to change, and one question to a model."""

from __future__ import annotations

from typing import Any

EXAMPLE_FILE = "workflow.yaml"
# Runs on every bridge: it needs no code of the user's and reaches nothing outside.
EXAMPLE = """\
# Check:   omninode workflow validate workflow.yaml
# Submit:  omninode workflow submit -w workflow.yaml -i '{"orders": [12, 30, 7]}'
name: example
description: Sorts orders by size, and tells of them when all is done

input_schema:
  type: object
  required: [orders]
  properties:
    orders: {type: array, items: {type: number}}

steps:
  # Steps without `needs` begin at once; each of the others waits for its own parents and for nothing else.
  - key: each
    kind: map
    with:
      over: input.orders
      step:
        kind: emit
        with: {event: order-seen, data: {total: "${{ item }}"}}

  - key: pause
    kind: wait
    with: {seconds: 1}

  # A branch chooses among the steps that need it.
  - key: size
    kind: branch
    needs: [each, pause]
    with:
      cases:
        - {when: "sum(input.orders) > 40", then: large}
      otherwise: small

  - {key: large, kind: emit, needs: [size], with: {event: orders-large}}
  - {key: small, kind: emit, needs: [size], with: {event: orders-small}}

  # Where branches meet again: what was passed over reads as null.
  - key: told
    kind: emit
    needs: [large, small]
    with: {event: orders-told, data: {count: "${{ len(input.orders) }}"}}

outputs:
  total: "${{ sum(input.orders) }}"
"""

# How hard a task is, and the smallest tier of model that is asked for it; a failure goes on to the next tier.
TIERS = {"simple": "small", "moderate": "medium", "complex": "large", "critical": "xlarge"}


def quick_task(complexity: str | None) -> dict[str, Any]:
    """A workflow of one step that puts its input's ``prompt`` to a model: one definition for all questions, in which
    braces are no template."""
    arguments: dict[str, Any] = {"prompt": "${{ input.prompt }}", "fallback": "next_tier"}
    if complexity is not None:
        arguments["tier"] = TIERS[complexity]
    return {
        "name": "quick-task",
        "steps": [{"key": "answer", "kind": "ai", "with": arguments, "retry": {"max_attempts": 2}}],
        "outputs": {"text": "${{ steps.answer.output.text }}"},
    }
