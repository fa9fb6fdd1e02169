"""What OpenTelemetry's semantic conventions for generative AI mean here: metrics, attributes, operations.

Source: "Semantic conventions for generative AI metrics", status development, with the names of earlier versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

LATENCY = "latency_ms"
FIRST_TOKEN = "first_token_latency_ms"  # noqa: S105 - no password
SPEED = "tokens_per_second"
TOKENS = "tokens"
INPUT, OUTPUT = "input_tokens", "output_tokens"
# By ``gen_ai.token.type``; "completion" is of versions before 1.27.
TOKEN_KINDS = {"input": INPUT, "output": OUTPUT, "completion": OUTPUT}

# An execution is a value of a duration; clients and servers that both tell of the same calls count them twice.
METRICS: Mapping[str, str] = {
    "gen_ai.client.operation.duration": LATENCY,
    "gen_ai.server.request.duration": LATENCY,
    "gen_ai.client.operation.time_to_first_chunk": FIRST_TOKEN,
    "gen_ai.server.time_to_first_token": FIRST_TOKEN,
    "gen_ai.server.time_per_output_token": SPEED,
    "gen_ai.client.token.usage": TOKENS,
    # Of each call, which costs are judged by; the counters ``gen_ai.client.inference.usage.*`` tell the same tokens.
    "gen_ai.client.inference.operation.input_tokens": INPUT,
    "gen_ai.client.inference.operation.output_tokens": OUTPUT,
}

# Our unit of time is the millisecond. An empty unit is the convention's, the second.
_MILLISECONDS = {
    "s": Decimal(1000),
    "": Decimal(1000),
    "ms": Decimal(1),
    "us": Decimal("0.001"),
    "ns": Decimal("0.000001"),
}

# What holds calls of models in it, or is none: their own calls are told as operations of their own.
NO_CALLS = frozenset(
    [
        "create_agent",
        "create_memory",
        "create_memory_store",
        "delete_memory",
        "delete_memory_store",
        "execute_tool",
        "fetch_response",
        "invoke_agent",
        "invoke_workflow",
        "plan",
        "retrieval",
        "search_memory",
        "update_memory",
        "upsert_memory",
    ]
)

TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no password
OPERATION = "gen_ai.operation.name"
# The first name that is there counts; said of the point, before said of its resource.
MODEL = ("gen_ai.request.model", "gen_ai.response.model")
PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
# A service may say what its calls are for; else the operation is all that is known (chat, text_completion, …).
TASK_TYPE = ("omninode.task_type", OPERATION)
ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
ERROR = ("error.type",)
SERVICE = ("service.name",)
ENDPOINT = ("server.address",)
DEFAULT_TASK_TYPE = "unknown"
DEFAULT_ENVIRONMENT = "development"


def unit_of(kind: str, unit: str) -> Decimal | None:
    """What a value of a metric of ``kind`` is multiplied by to be in our unit; None where its unit is not known.

    Of ``SPEED`` it is seconds that come out, to be inverted.
    """
    if kind in (TOKENS, INPUT, OUTPUT):
        return Decimal(1)
    milliseconds = _MILLISECONDS.get(unit)
    if milliseconds is None or kind != SPEED:
        return milliseconds
    return milliseconds / 1000
