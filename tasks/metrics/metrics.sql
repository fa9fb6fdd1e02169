-- Recording executions: durable rows, their batch and chunks, and what the journal says of them, in one statement.

-- name: record --
-- Rows go in by sorted execution_id, so that concurrent batches with common ids can't deadlock. An execution that is
-- known already is left out, and is what the statement answers with. A batch of which nothing is new leaves no trace.
-- The journal tells what was given, or, where that holds what is private, ``told``.
WITH rows AS MATERIALIZED (
    SELECT * FROM ROWS FROM (json_to_recordset(%(rows)s::json) AS (
        execution_id text, model text, provider text, endpoint text, model_tier text, task_type text,
        environment text, started_at timestamptz, completed_at timestamptz, latency_ms numeric,
        first_token_latency_ms numeric, input_tokens bigint, output_tokens bigint, context_size bigint,
        task_complexity text, success boolean, error_type text, error_message text, quality_score numeric,
        user_satisfaction numeric, retry_count integer, escalated_to_tier text, cost_usd numeric, metadata jsonb,
        told jsonb
    ), json_array_elements(%(rows)s::json)) AS row (
        execution_id, model, provider, endpoint, model_tier, task_type, environment, started_at, completed_at,
        latency_ms, first_token_latency_ms, input_tokens, output_tokens, context_size, task_complexity, success,
        error_type, error_message, quality_score, user_satisfaction, retry_count, escalated_to_tier, cost_usd,
        metadata, told, given
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
    SELECT gen_random_uuid(), 'model-execution', execution_id, 1, 'model-execution-recorded',
           coalesce(told, given::jsonb),
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

-- name: mark --
-- waiting -> applied: only who marks a chunk adds its rows, in the same transaction.
UPDATE metric_chunks SET state = 'applied', applied_at = clock_timestamp()
FROM unnest(%(batch_ids)s::uuid[], %(chunks)s::integer[]) AS wanted (batch_id, chunk)
WHERE metric_chunks.batch_id = wanted.batch_id AND metric_chunks.chunk = wanted.chunk AND state = 'waiting'
RETURNING metric_chunks.batch_id, first_id, last_id, rows

-- name: claim --
-- Waiting chunks of small batches, and those that a chord has left, oldest first; what another is adding is passed over.
SELECT metric_chunks.batch_id, chunk, rows
FROM metric_chunks JOIN metric_batches ON metric_batches.id = metric_chunks.batch_id
WHERE metric_chunks.state = 'waiting'
  AND (metric_batches.chunks = 1 OR dispatched_at < clock_timestamp() - %(lease_s)s * interval '1 second')
ORDER BY first_id
LIMIT %(limit)s
FOR UPDATE OF metric_chunks SKIP LOCKED

-- name: dispatch --
-- Batches of several chunks that nobody has sent on their way.
UPDATE metric_batches SET dispatched_at = clock_timestamp()
WHERE id IN (
    SELECT id FROM metric_batches
    WHERE state = 'received' AND chunks > 1 AND dispatched_at IS NULL
    ORDER BY received_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING id, chunks

-- name: left_open --
-- Batches whose chunks were all added, and which nobody came to close.
SELECT id FROM metric_batches
WHERE state = 'received' AND dispatched_at < clock_timestamp() - %(lease_s)s * interval '1 second'
  AND NOT EXISTS (SELECT FROM metric_chunks WHERE batch_id = metric_batches.id AND metric_chunks.state = 'waiting')
ORDER BY received_at
LIMIT 100

-- name: close --
-- received -> closed, of batches without a waiting chunk. ``counted`` are the rows that are there, not what tasks said.
WITH closed AS (
    UPDATE metric_batches SET state = 'closed', version = version + 1, closed_at = clock_timestamp(), counted = (
        SELECT coalesce(sum(found), 0)
        FROM metric_chunks, LATERAL (
            SELECT count(*) AS found
            FROM (
                SELECT batch_id FROM model_executions WHERE id BETWEEN first_id AND last_id
                UNION ALL
                SELECT batch_id FROM metric_points WHERE id BETWEEN first_id AND last_id
                OFFSET 0
            ) AS there
            WHERE batch_id IS NOT DISTINCT FROM metric_batches.id
        ) AS counts
        WHERE metric_chunks.batch_id = metric_batches.id
    )
    WHERE id = ANY(%(ids)s::uuid[]) AND state = 'received'
      AND NOT EXISTS (SELECT FROM metric_chunks WHERE batch_id = metric_batches.id AND metric_chunks.state = 'waiting')
    RETURNING id, version, source, recorded, counted, correlation_id
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'metric-batch', id::text, version, 'metric-batch-changed',
           jsonb_build_object('batch_id', id, 'from', 'received', 'state', 'closed', 'source', source,
                              'recorded', recorded, 'counted', counted),
           correlation_id
    FROM closed
    ORDER BY id
)
SELECT id, recorded, counted FROM closed

-- name: waiting --
-- Whether a batch waits for which nobody may have been told.
SELECT EXISTS (
    SELECT FROM metric_batches
    WHERE state = 'received' AND received_at < now() - %(grace_s)s * interval '1 second'
      AND (dispatched_at IS NULL OR dispatched_at < now() - %(lease_s)s * interval '1 second')
) AS waiting

-- name: get_batch --
SELECT metric_batches.id, source, metric_batches.state, submitted, recorded, chunks, counted, correlation_id, received_at,
       closed_at,
       (SELECT count(*) FROM metric_chunks WHERE batch_id = metric_batches.id AND metric_chunks.state = 'applied')
           AS chunks_applied
FROM metric_batches
WHERE metric_batches.id = %(id)s

-- name: backlog --
SELECT count(*) AS chunks, coalesce(sum(rows), 0)::bigint AS rows FROM metric_chunks WHERE state = 'waiting'

-- name: old_batches --
SELECT id, (SELECT min(first_id) FROM metric_chunks WHERE batch_id = metric_batches.id) AS first_id,
       (SELECT max(last_id) FROM metric_chunks WHERE batch_id = metric_batches.id) AS last_id
FROM metric_batches
WHERE state = 'closed' AND received_at < now() - %(keep_days)s * interval '1 day'
ORDER BY received_at
LIMIT %(limit)s

-- name: delete_executions --
DELETE FROM model_executions WHERE id BETWEEN %(first_id)s AND %(last_id)s AND batch_id = %(batch_id)s

-- name: delete_points --
DELETE FROM metric_points WHERE id BETWEEN %(first_id)s AND %(last_id)s AND batch_id = %(batch_id)s

-- name: delete_batch --
DELETE FROM metric_batches WHERE id = %(batch_id)s

-- name: delete_streams --
-- Streams that have been silent for so long that their process is gone.
DELETE FROM metric_streams
WHERE stream_key IN (
    SELECT stream_key FROM metric_streams WHERE updated_at < now() - %(keep_days)s * interval '1 day'
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
