-- Recording points: where cumulative streams stand, and durable rows with their batch, chunks and journal, as
-- executions have them (metrics.sql). A transaction locks streams first and points then, each in the order of their
-- keys, so that concurrent requests can't deadlock.

-- name: begin_streams --
-- Streams that nobody has told of before, so that there is a row to lock.
INSERT INTO metric_streams (stream_key, start_ns, last_ns, last_point)
SELECT stream_key, start_ns, -1, 'null'
FROM unnest(%(keys)s::bytea[], %(starts)s::bigint[]) AS stream (stream_key, start_ns)
ORDER BY stream_key
ON CONFLICT (stream_key) DO NOTHING

-- name: lock_streams --
SELECT stream_key, last_ns, last_point
FROM metric_streams
WHERE stream_key = ANY(%(keys)s::bytea[])
ORDER BY stream_key
FOR UPDATE

-- name: move_streams --
UPDATE metric_streams SET last_ns = moved.last_ns, last_point = moved.last_point, updated_at = clock_timestamp()
FROM unnest(%(keys)s::bytea[], %(times)s::bigint[], %(points)s::jsonb[]) AS moved (stream_key, last_ns, last_point)
WHERE metric_streams.stream_key = moved.stream_key

-- name: record_points --
-- Rows go in by sorted key. A point that is known already is left out; a batch of which nothing is new leaves no trace.
WITH rows AS MATERIALIZED (
    SELECT row.*, decode(row.key, 'hex') AS point_key FROM json_to_recordset(%(rows)s::json) AS row (
        key text, metric text, kind text, at timestamptz, model text, provider text, task_type text, environment text,
        error_type text, service text, endpoint text, count bigint, sum numeric, sum_sq numeric, input_output numeric,
        histogram histogram
    )
), fresh AS (
    INSERT INTO metric_points (
        batch_id, point_key, metric, kind, at, model, provider, task_type, model_tier, environment, error_type, service,
        endpoint, count, sum, sum_sq, input_output, histogram
    )
    SELECT %(batch_id)s::uuid, point_key, metric, kind, at, model, provider, task_type, 'custom', environment, error_type,
           service, endpoint, count, sum, sum_sq, input_output, histogram
    FROM rows
    ORDER BY point_key
    ON CONFLICT (point_key) DO NOTHING
    RETURNING id
), chunks AS (
    SELECT chunk, min(id) AS first_id, max(id) AS last_id, count(*) AS rows
    FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / %(chunk_rows)s::integer AS chunk FROM fresh) AS numbered
    GROUP BY chunk
), batch AS (
    INSERT INTO metric_batches (id, source, submitted, recorded, chunks, correlation_id)
    SELECT %(batch_id)s::uuid, 'otlp', (SELECT count(*) FROM rows), sum(rows), count(*), %(correlation_id)s::text
    FROM chunks
    HAVING count(*) > 0
    RETURNING id, source, submitted, recorded, chunks
), chunked AS (
    INSERT INTO metric_chunks (batch_id, chunk, first_id, last_id, rows)
    SELECT %(batch_id)s::uuid, chunk, first_id, last_id, rows FROM chunks
), told_batch AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'metric-batch', id::text, 1, 'metric-batch-changed',
           jsonb_build_object('batch_id', id, 'state', 'received', 'source', source, 'submitted', submitted,
                              'recorded', recorded, 'chunks', chunks),
           %(correlation_id)s::text
    FROM batch
)
SELECT count(*) AS recorded FROM fresh
