"""The settings of every process: one frozen object, read once from the environment.

Each field is the lower-case name of its environment variable. A secret can also come from a file that
``NAME_FILE`` names. ``load_settings`` reports every mistake at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks import setting_forms
from tasks.errors import FieldError, SettingsError
from tasks.setting_forms import Network, Pairs

ENVIRONMENTS = ("dev", "test", "staging", "prod")


def _secret(default: Any = MISSING, schemes: tuple[str, ...] = (), least_length: int = 0, begins: str = "") -> Any:
    metadata = {"secret": True, "schemes": schemes, "least_length": least_length, "begins": begins}
    return field(default=default, repr=False, metadata=metadata)


def _choice(default: str, *allowed: str) -> Any:
    return field(default=default, metadata={"allowed": allowed})


def _number(default: float, least: float, most: float) -> Any:
    return field(default=default, metadata={"range": (least, most)})


@dataclass(frozen=True)
class Settings:
    """What a process may know of its surroundings. Times are in the unit of the name's ending."""

    database_url: str = _secret(schemes=("postgresql", "postgres"))
    redis_url: str = _secret(schemes=("redis", "rediss"))

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_client: str = _choice("auto", "auto", "kafka-python", "confluent-kafka")
    kafka_ephemeral: bool = False
    kafka_topic_partitions: int = _number(3, 1, 1000)
    kafka_replication_factor: int = _number(1, 1, 100)
    kafka_security_protocol: str = _choice("PLAINTEXT", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: str | None = _secret(default=None)
    kafka_ssl_cafile: str | None = None

    environment: str = _choice("dev", *ENVIRONMENTS)
    node_id: str = "omninode-bridge"
    omninode_imports: tuple[str, ...] = ()
    log_level: str = _choice("INFO", "DEBUG", "INFO", "WARNING", "ERROR")
    log_format: str = _choice("json", "json", "text")

    db_pool_size: int = _number(8, 1, 500)
    db_statement_timeout_ms: int = _number(10_000, 10, 3_600_000)
    db_lock_timeout_ms: int = _number(2_000, 10, 3_600_000)
    db_connect_timeout_s: int = _number(2, 1, 60)
    # To be switched off behind a pooler that gives each transaction another connection.
    db_prepared_statements: bool = True

    hook_lease_s: float = _number(15.0, 0.1, 3600)
    hook_max_attempts: int = _number(5, 1, 1000)
    hook_backoff_s: float = _number(1.0, 0.01, 3600)
    hook_backoff_max_s: float = _number(300.0, 0.01, 86_400)
    hook_batch_size: int = _number(100, 1, 10_000)
    hook_body_limit_bytes: int = _number(1 << 20, 1024, 1 << 28)
    batch_body_limit_bytes: int = _number(8 << 20, 1024, 1 << 28)
    json_max_depth: int = _number(64, 4, 200)
    idempotency_window_s: int = _number(604_800, 1, 31_536_000)

    retention_hooks_days: int = _number(30, 1, 36_500)
    retention_journal_days: int = _number(30, 1, 36_500)
    retention_audit_days: int = _number(365, 1, 36_500)
    retention_tasks_days: int = _number(30, 1, 36_500)

    sweep_interval_s: float = _number(5.0, 0.1, 3600)
    hint_grace_s: float = _number(3.0, 0.0, 3600)
    task_lost_after_s: float = _number(900.0, 0.1, 604_800)
    task_max_deliveries: int = _number(5, 1, 1000)
    visibility_timeout_s: int = _number(600, 1, 604_800)
    # How soon another beat takes over from one that died.
    beat_lock_timeout_s: int = _number(15, 4, 600)
    bridge_slice_s: float = _number(10.0, 0.1, 300)
    stream_max_entries: int = _number(1_000_000, 1000, 1_000_000_000)

    # How long the body of a request may take to come.
    body_within_s: float = _number(20.0, 0.1, 3600)
    # For each web process: how many requests that write hooks may be under way at once.
    accept_limit: int = _number(128, 1, 100_000)
    low_priority_sources: tuple[str, ...] = ()
    shed_queue_age_s: float = _number(10.0, 0.1, 86_400)
    shed_journal_lag_s: float = _number(60.0, 0.1, 86_400)

    # Model metrics: rows that one task adds to the rollups at once.
    metrics_chunk_rows: int = _number(5_000, 1, 10_000)
    # How long a chord may take with a batch before others carry on with what is left of it.
    metrics_lease_s: float = _number(15.0, 0.1, 3600)
    # For each web process: how many batches may be read and written at once; others wait.
    metrics_accept_limit: int = _number(3, 1, 1000)
    retention_executions_days: int = _number(90, 1, 36_500)
    # OTLP: the most that a request may hold, inflated (its specification recommends 20 MiB); metrics, as patterns,
    # that are passed over without being told as refused.
    otlp_body_limit_bytes: int = _number(20 << 20, 1024, 1 << 28)
    otlp_ignored_metrics: tuple[str, ...] = ()
    # The AI Lab. How long a call's slot at its endpoint outlives a killed process; how many processes share an
    # endpoint's limit while Redis is away; how long the best model is waited for before a lesser one is asked.
    lab_slot_lease_s: float = _number(15.0, 0.5, 600)
    lab_processes: int = _number(4, 1, 10_000)
    lab_spill_after_s: float = _number(1.0, 0.0, 600)
    lab_max_attempts: int = _number(5, 1, 100)
    lab_answer_limit_bytes: int = _number(1 << 20, 1024, 1 << 28)
    lab_circuit_failures: int = _number(5, 1, 1000)
    lab_circuit_s: float = _number(10.0, 0.1, 3600)
    lab_circuit_max_s: float = _number(300.0, 0.1, 86_400)
    lab_check_interval_s: float = _number(30.0, 1.0, 86_400)
    # How long an attempt stays without news of its process before it is recorded as abandoned.
    lab_attempt_lease_s: float = _number(30.0, 0.5, 3600)
    # Clients of one web process that may wait for models at once.
    lab_waiting_limit: int = _number(64, 1, 100_000)
    # Of questions that are carried by a worker: the lease, and how many workers may die of one.
    lab_request_lease_s: float = _number(15.0, 0.5, 600)
    lab_request_attempts: int = _number(3, 1, 100)
    retention_lab_days: int = _number(30, 1, 36_500)

    # Steps of workflows that reach outside (tasks/workflows/kinds). Which hosts `http` may call, as patterns, and
    # which networks that are not public; which secrets (tasks/secrets.py) it may tell which hosts; the databases of
    # `sql`, each with the name of the secret that is its URL; which queues steps may ask for; how often a kind may
    # be done.
    workflow_http_allowed_hosts: tuple[str, ...] = field(default=("*",), metadata={"parse": setting_forms.hosts})
    workflow_http_allow_private: tuple[Network, ...] = field(default=(), metadata={"parse": setting_forms.networks})
    workflow_http_secrets: Pairs = field(default=(), metadata={"parse": setting_forms.secrets_to_hosts})
    workflow_http_max_bytes: int = _number(4 << 20, 1024, 1 << 28)
    workflow_sql_connections: Pairs = field(default=(), metadata={"parse": setting_forms.connections})
    workflow_sql_max_bytes: int = _number(4 << 20, 1024, 1 << 28)
    workflow_sql_pool_size: int = _number(2, 1, 100)
    # The engine (tasks/workflows/work).
    workflow_lease_s: float = _number(10.0, 0.2, 3600)
    workflow_output_limit_bytes: int = _number(4 << 20, 1024, 1 << 28)
    workflow_input_limit_bytes: int = _number(1 << 20, 1024, 1 << 28)
    retention_workflows_days: int = _number(90, 1, 36_500)
    workflow_queues: tuple[str, ...] = ("workflows",)
    workflow_rate_limits: Pairs = field(default=(), metadata={"parse": setting_forms.rates})

    # JSON Web Tokens beside API keys, where one of the keys is set: a shared secret (HS256), a public key in PEM
    # (RS256).
    jwt_secret: str | None = _secret(default=None, least_length=32)
    jwt_public_key: str | None = _secret(default=None, begins="-----BEGIN ")
    jwt_issuer: str | None = None
    jwt_audience: str = "omninode-bridge"
    jwt_leeway_s: int = _number(30, 0, 600)

    # How many proxies in front of us add to X-Forwarded-For and X-Forwarded-Proto; with 0 these are not believed.
    trusted_proxies: int = _number(0, 0, 10)

    # How often models are held against their own past.
    regression_check_interval_s: float = _number(300.0, 1.0, 86_400)

    rate_limit_enabled: bool = True
    rate_limit_hooks: str = "1000 per second"
    rate_limit_default: str = "200 per second"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads ``Settings`` from ``environ`` (the process's own by default).

    Raises:
        SettingsError: with one entry for each variable that is missing or wrong, all at once. Values of
            secrets are never in it.
    """
    source = os.environ if environ is None else environ
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    for item in fields(Settings):
        name = item.name.upper()
        try:
            text = _text_of(item, name, source)
            if text is None:
                if item.default is MISSING:
                    raise ValueError("is required and not set")
                continue
            values[item.name] = _checked(item, _parsed(item, text))
        except ValueError as problem:
            errors.append(FieldError(name, str(problem)))
    if errors:
        raise SettingsError("The settings in the environment are not usable:", errors=errors)
    return Settings(**values)


def _text_of(item: Field[Any], name: str, source: Mapping[str, str]) -> str | None:
    text = source.get(name) or None
    path = source.get(f"{name}_FILE") if item.metadata.get("secret") else None
    if not path:
        return text
    if text is not None:
        raise ValueError(f"is set, and {name}_FILE too: only one of them may be")
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError as problem:
        raise ValueError(f"{name}_FILE can't be read: {problem.strerror}") from problem


def _parsed(item: Field[Any], text: str) -> Any:
    return (item.metadata.get("parse") or _PARSERS.get(str(item.type), str))(text)


def _boolean(text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.strip().lower() not in words:
        raise ValueError("must be true or false")
    return words[text.strip().lower()]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text[:40]!r}") from None


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text[:40]!r}") from None


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": _boolean,
    "int": _integer,
    "float": _real,
    "tuple[str, ...]": setting_forms.words,
}


def _checked(item: Field[Any], value: Any) -> Any:
    allowed = item.metadata.get("allowed")
    if allowed and value not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}, not {value[:40]!r}")
    schemes = item.metadata.get("schemes")
    if schemes and urlsplit(value).scheme not in schemes:
        raise ValueError(f"must be a URL that begins with {' or '.join(s + '://' for s in schemes)}")
    least_length = item.metadata.get("least_length", 0)
    if least_length and len(value.encode()) < least_length:
        raise ValueError(f"must be at least {least_length} bytes long")
    begins = item.metadata.get("begins", "")
    if begins and not value.startswith(begins):
        raise ValueError(f"must begin with {begins!r}")
    bounds = item.metadata.get("range")
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"must be between {bounds[0]} and {bounds[1]}, not {value}")
    return value
