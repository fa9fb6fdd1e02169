"""The table of executions by hand, the statement that fills it, and the question that is answered from it."""

SCHEMA = """
CREATE TABLE executions (
    execution_id           text PRIMARY KEY,
    model                  text NOT NULL,
    task_type              text NOT NULL,
    started_at             timestamptz NOT NULL,
    latency_ms             double precision NOT NULL,
    input_tokens           bigint NOT NULL,
    output_tokens          bigint NOT NULL,
    success                boolean NOT NULL,
    model_tier             text NOT NULL,
    provider               text,
    environment            text NOT NULL,
    endpoint               text,
    completed_at           timestamptz,
    first_token_latency_ms double precision,
    context_size           bigint,
    task_complexity        text,
    error_type             text,
    error_message          text,
    quality_score          double precision,
    user_satisfaction      double precision,
    retry_count            integer NOT NULL,
    escalated_to_tier      text,
    cost_usd               double precision,
    metadata               jsonb NOT NULL
);
CREATE INDEX executions_model_started ON executions (model, started_at);
"""

COLUMNS = (
    "execution_id", "model", "task_type", "started_at", "latency_ms", "input_tokens", "output_tokens", "success",
    "model_tier", "provider", "environment", "endpoint", "completed_at", "first_token_latency_ms", "context_size",
    "task_complexity", "error_type", "error_message", "quality_score", "user_satisfaction", "retry_count",
    "escalated_to_tier", "cost_usd", "metadata",
)  # fmt: skip

INSERT = f"""
INSERT INTO executions ({", ".join(COLUMNS)}) VALUES ({", ".join(["%s"] * len(COLUMNS))})
ON CONFLICT (execution_id) DO NOTHING
"""

QUESTION = """
SELECT model, count(*) AS count, avg(success::integer)::double precision AS success_rate,
       percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms) AS latency_ms
FROM executions
WHERE started_at >= %(since)s AND started_at < %(until)s
GROUP BY model
"""
