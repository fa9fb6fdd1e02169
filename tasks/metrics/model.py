"""What an execution of a model is, and what becomes of the batch that it came in.

A batch (``metric_batches``) and its chunks (``metric_chunks``):

    batch:  received ──► closed            chunk:  waiting ──► applied

The executions are durable, and told to Kafka, when the batch is ``received``. A chunk is ``applied`` in the
transaction that adds it to the rollups; a batch is ``closed`` when all of its chunks are, and its rows were counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from msgspec import Meta, Struct

TIERS = ("tiny", "small", "medium", "large", "xlarge", "huge", "custom", "cloud")
TASK_TYPES = (
    "code_generation",
    "code_review",
    "debugging",
    "documentation",
    "api_design",
    "testing",
    "architecture",
    "security_audit",
    "performance_optimization",
    "webhook_processing",
    "event_transformation",
    "general_reasoning",
)
GRAINS = ("minute", "hour", "day")
SOURCES = ("http", "otlp", "import", "lab", "service")

MAX_BATCH = 10_000
NAME_LIMIT = 200
MESSAGE_LIMIT = 2_000
MAX_MS = 1e9
MAX_COUNT = 1_000_000_000_000
MAX_RETRIES = 1_000_000
MAX_COST_USD = 1_000_000.0

Tier = Literal["tiny", "small", "medium", "large", "xlarge", "huge", "custom", "cloud"]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT)]
Milliseconds = Annotated[float, Meta(ge=0, le=MAX_MS)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Moment = Annotated[datetime, Meta(tz=True)]


class Execution(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One call of a model, as CONTRACT.md (section 4) has it. ``task_type`` is one of ``TASK_TYPES`` or a user's own.

    The annotations are what decoding from JSON checks; making one in Python checks nothing. Times have a time zone.
    ``environment`` is where the caller runs, and a dimension of the rollups, as ``provider`` is ("" where not given).
    """

    execution_id: Name
    model: Name
    task_type: Name
    started_at: Moment
    latency_ms: Milliseconds
    input_tokens: Count
    output_tokens: Count
    success: bool
    model_tier: Tier = "custom"
    provider: Name | None = None
    environment: Name = "development"
    endpoint: Annotated[str, Meta(min_length=1, max_length=MESSAGE_LIMIT)] | None = None
    completed_at: Moment | None = None
    first_token_latency_ms: Milliseconds | None = None
    context_size: Count | None = None
    task_complexity: Name | None = None
    error_type: Name | None = None
    error_message: Annotated[str, Meta(max_length=MESSAGE_LIMIT)] | None = None
    quality_score: Annotated[float, Meta(ge=0, le=1)] | None = None
    user_satisfaction: Annotated[float, Meta(ge=1, le=5)] | None = None
    retry_count: Annotated[int, Meta(ge=0, le=MAX_RETRIES)] = 0
    escalated_to_tier: Tier | None = None
    cost_usd: Annotated[float, Meta(ge=0, le=MAX_COST_USD)] | None = None
    metadata: dict[str, Any] = {}


@dataclass(frozen=True)
class Recorded:
    """A batch that is durable. ``batch_id`` is None where nothing in it was new.

    ``duplicates`` are the ids of executions that were recorded before; they count as they did then.
    """

    batch_id: UUID | None
    duplicates: frozenset[str]


class Chunk(NamedTuple):
    """A part of a batch, by its place."""

    batch_id: UUID
    number: int


class Piece(NamedTuple):
    """The raw rows of a chunk: those of the batch whose ids are in the range. ``rows`` is how many there are."""

    batch_id: UUID
    first_id: int
    last_id: int
    rows: int
