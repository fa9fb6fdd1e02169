-- The SQL of runs together with their steps, where both are one statement. As in steps.sql and runs.sql a state changes
-- under a guard on the old one, with its journal row, and a run's row is locked after its steps.

-- name: submit --
-- A run and its first steps, which are all where they are few. One that may begin now does so with it: pending -> running
-- without a moment between the two, each with its journal row. No row where a run of its idempotency key is there, or its
-- definition is not.
WITH definition AS MATERIALIZED (
    SELECT id FROM definitions WHERE id = %(definition_id)s FOR KEY SHARE
), made AS (
    INSERT INTO runs (
        id, definition_id, name, definition_version, state, version, priority, tags, metadata, input, correlation_id,
        submitted_by, idempotency_scope, idempotency_key, body_digest, concurrency_key, max_parallel, open_leaves,
        parent_run_id, parent_place, depth, started_at, deadline_at, due_at
    )
    SELECT
        %(id)s, id, %(name)s, %(definition_version)s, CASE WHEN %(begun)s THEN 'running' ELSE 'pending' END,
        CASE WHEN %(begun)s THEN 2 ELSE 1 END, %(priority)s, %(tags)s::text[], %(metadata)s::jsonb, %(input)s::jsonb,
        %(correlation_id)s, %(submitted_by)s, %(idempotency_scope)s, %(idempotency_key)s, %(body_digest)s,
        %(concurrency_key)s, %(max_parallel)s, %(open_leaves)s, %(parent_run_id)s::uuid, %(parent_place)s, %(depth)s,
        CASE WHEN %(begun)s THEN clock_timestamp() END, now() + %(timeout_s)s * interval '1 second',
        now() + CASE WHEN %(begun)s THEN %(timeout_s)s::float ELSE %(grace_s)s END * interval '1 second'
    FROM definition
    ON CONFLICT (idempotency_scope, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
), stepped AS (
    INSERT INTO steps (run_id, place, key, kind, state, pending, queue, priority, due_at)
    SELECT made.id, place, key, kind, CASE WHEN pending = 0 THEN 'ready' ELSE 'pending' END, pending, queue, priority,
           CASE WHEN pending = 0 AND %(begun)s THEN now() + %(step_grace_s)s * interval '1 second' END
    FROM made, json_to_recordset(%(rows)s::json) AS row (
        place integer, key text, kind text, pending integer, queue text, priority smallint
    )
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'run', made.id::text, change.version, event,
           jsonb_strip_nulls(jsonb_build_object(
               'workflow_id', made.id, 'name', %(name)s::text, 'version', %(definition_version)s::text
           ) || payload),
           %(correlation_id)s
    FROM made, (
        SELECT 1 AS version, 'workflow-submitted' AS event, jsonb_build_object(
            'state', 'pending', 'priority', %(priority)s, 'submitted_by', %(submitted_by)s::text,
            'parent', %(parent_run_id)s::text
        ) AS payload
        UNION ALL
        SELECT 2, 'workflow-started', jsonb_build_object('from', 'pending', 'state', 'running') WHERE %(begun)s
    ) AS change
    ORDER BY change.version
)
SELECT id FROM made

-- name: under_way --
-- What a worker needs to know of a run whose steps are to be worked on: what does not change, and which are ready.
SELECT id, definition_id, name, definition_version, priority, tags, metadata, input, correlation_id, submitted_by,
       concurrency_key, max_parallel, parent_run_id, parent_place, depth, created_at, started_at,
       ARRAY(
           SELECT place FROM steps
           WHERE run_id = %(id)s AND steps.state = 'ready' AND compensates IS NULL
           ORDER BY steps.priority DESC, place
           LIMIT %(limit)s
       ) AS ready
FROM runs WHERE id = %(id)s AND state = 'running' AND open_leaves > 0

-- name: conclude --
-- The last step of a run, running -> succeeded, and with it the run, where that is running and no other leaf is open.
WITH done AS (
    UPDATE steps
    SET state = 'succeeded', version = version + 1, output = %(step_output)s::jsonb, arguments = %(arguments)s::jsonb,
        error_code = NULL, error = NULL, lease_token = NULL, due_at = NULL, finished_at = clock_timestamp()
    WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'running' AND lease_token = %(token)s
    RETURNING key, kind, attempt, version, started_at, finished_at
), was AS MATERIALIZED (
    SELECT runs.id, runs.state = 'running' AND open_leaves = 1 AS over, done.finished_at AS ended_at
    FROM runs, done
    WHERE runs.id = %(run_id)s
    FOR NO KEY UPDATE OF runs
), ended AS (
    UPDATE runs
    SET open_leaves = open_leaves - 1, version = CASE WHEN over THEN version + 1 ELSE version END,
        state = CASE WHEN over THEN 'succeeded' ELSE state END,
        finished_at = CASE WHEN over THEN ended_at ELSE finished_at END,
        output = CASE WHEN over THEN %(output)s::jsonb ELSE output END,
        error_code = CASE WHEN over THEN NULL ELSE error_code END,
        error = CASE WHEN over THEN NULL ELSE error END,
        due_at = CASE WHEN over THEN NULL ELSE due_at END
    FROM was
    WHERE runs.id = was.id
    RETURNING runs.id, name, definition_version, state, version, started_at, finished_at, correlation_id,
              concurrency_key, parent_run_id, parent_place, open_leaves, priority, over
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), type, %(run_id)s || key, change.version, event,
           jsonb_build_object('workflow_id', %(run_id)s::text, 'name', ended.name, 'from', 'running',
                              'state', 'succeeded', 'duration_ms', round(extract(epoch FROM took) * 1000, 3)) || detail,
           ended.correlation_id
    FROM (
        SELECT 'step' AS type, '/' || key AS key, version, 'workflow-step-changed' AS event,
               finished_at - started_at AS took,
               jsonb_build_object('step', key, 'kind', kind, 'attempt', attempt) AS detail
        FROM done
        UNION ALL
        SELECT 'run', '', version, 'workflow-completed', finished_at - started_at,
               jsonb_strip_nulls(jsonb_build_object('version', definition_version))
        FROM ended WHERE over
    ) AS change, ended
)
SELECT id, 'running' AS old, state, name, concurrency_key, parent_run_id, parent_place, open_leaves, priority, over
FROM ended
