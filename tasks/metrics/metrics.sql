-- Recording executions: durable rows, their batch and chunks, and what the journal says of them, in one statement.

-- name: record --
-- Rows go in by sorted execution_id, so that concurrent batches with common ids can't deadlock. An execution that is
-- known already is left out, and is what the statement answers with. A batch of which nothing is new leaves no trace.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (
        execution_id text, model text, provider text, endpoint text, model_tier text, task_type text,
        environment text, started_at timestamptz, completed_at timestamptz, latency_ms numeric,
        first_token_latency_ms numeric, input_tokens bigint, output_tokens bigint, context_size bigint,
        task_complexity text, success boolean, error_type text, error_message text, quality_score numeric,
        user_satisfaction numeric, retry_count integer, escalated_to_tier text, cost_usd numeric, metadata jsonb,
        told jsonb
    )
), fresh AS (
    INSERT INTO model_executions (
        batch_id, execution_id, model, provider, endpoint, model_tier, task_type, environment, started_at,
        completed_at, latency_ms, first_token_latency_ms, input_tokens, output_tokens, context_size,
        task_complexity, success, error_type, error_message, quality_score, user_satisfaction, retry_count,
        escalated_to_tier, cost_usd, metadata
    )
    SELECT %(batch_id)s::uuid, execution_id, model, coalesce(provider, ''), endpoint, coalesce(model_tier, 'custom'),
           task_type, coalesce(environment, 'development'), started_at, completed_at, latency_ms,
           first_token_latency_ms, input_tokens, output_tokens, context_size, task_complexity, success, error_type,
           error_message, quality_score, user_satisfaction, coalesce(retry_count, 0), escalated_to_tier, cost_usd,
           metadata
    FROM rows
    ORDER BY execution_id COLLATE "C"
    ON CONFLICT (execution_id) DO NOTHING
    RETURNING id, execution_id
), chunks AS (
    SELECT chunk, min(id) AS first_id, max(id) AS last_id, count(*) AS rows
    FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / %(chunk_rows)s::integer AS chunk FROM fresh) AS numbered
    GROUP BY chunk
), batch AS (
    INSERT INTO metric_batches (id, source, submitted, recorded, chunks, correlation_id)
    SELECT %(batch_id)s::uuid, %(source)s::text, (SELECT count(*) FROM rows), sum(rows), count(*),
           %(correlation_id)s::text
    FROM chunks
    HAVING count(*) > 0
    RETURNING id, source, submitted, recorded, chunks
), chunked AS (
    INSERT INTO metric_chunks (batch_id, chunk, first_id, last_id, rows)
    SELECT %(batch_id)s::uuid, chunk, first_id, last_id, rows FROM chunks
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id, causation_id)
    SELECT gen_random_uuid(), 'model-execution', execution_id, 1, 'model-execution-recorded', told,
           %(correlation_id)s::text, %(batch_id)s::text
    FROM rows JOIN fresh USING (execution_id)
    ORDER BY id
), told_batch AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'metric-batch', id::text, 1, 'metric-batch-changed',
           jsonb_build_object('batch_id', id, 'state', 'received', 'source', source, 'submitted', submitted,
                              'recorded', recorded, 'chunks', chunks),
           %(correlation_id)s::text
    FROM batch
)
SELECT execution_id FROM rows
WHERE NOT EXISTS (SELECT FROM fresh WHERE fresh.execution_id = rows.execution_id)
