-- The SQL of what becomes of steps by the counters of their parents, beside steps.sql, whose rules about locks hold here.

-- name: lock_pending --
SELECT place, pending, passed, blocked, named, chosen FROM steps
WHERE run_id = %(run_id)s AND place = ANY(%(places)s::integer[]) AND state = 'pending'
ORDER BY place
FOR UPDATE

-- name: settle --
-- Pending steps whose parents ended: their counters, and what becomes of them.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (
        place integer, state text, pending integer, passed integer, blocked integer, named integer, chosen integer
    )
), run AS MATERIALIZED (
    SELECT name, correlation_id, state FROM runs WHERE id = %(run_id)s
), changed AS (
    UPDATE steps
    SET state = rows.state, pending = rows.pending, passed = rows.passed, blocked = rows.blocked, named = rows.named,
        chosen = rows.chosen,
        version = CASE WHEN rows.state = 'pending' THEN version ELSE version + 1 END,
        finished_at = CASE WHEN rows.state IN ('skipped', 'cancelled') THEN clock_timestamp() END,
        due_at = CASE WHEN rows.state = 'ready' AND run.state IN ('running', 'compensating')
                      THEN clock_timestamp() + %(grace_s)s * interval '1 second' END
    FROM rows, run
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(%(places)s::integer[]) AND steps.place = rows.place
      AND steps.state = 'pending'
    RETURNING steps.place, key, kind, attempt, version, steps.state
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', 'pending',
               'state', changed.state, 'attempt', attempt
           ),
           correlation_id
    FROM changed, run
    WHERE changed.state <> 'pending'
)
SELECT place, state FROM changed ORDER BY place

-- name: reopen --
-- failed, timed_out, cancelled -> pending or ready: a run is tried again from where it failed.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (
        place integer, state text, pending integer, passed integer, blocked integer, named integer, chosen integer
    )
), changed AS (
    UPDATE steps
    SET state = rows.state, pending = rows.pending, passed = rows.passed, blocked = rows.blocked, named = rows.named,
        chosen = rows.chosen, version = version + 1, attempt = 0, finished_at = NULL, error_code = NULL, error = NULL,
        output = NULL, items_open = NULL, child_run_id = NULL,
        due_at = CASE WHEN rows.state = 'ready' THEN clock_timestamp() + %(grace_s)s * interval '1 second' END
    FROM rows
    WHERE steps.run_id = %(run_id)s AND steps.place = rows.place
      AND steps.state IN ('failed', 'timed_out', 'cancelled')
    RETURNING steps.place, key, kind, version, steps.state
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, changed.version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind,
               'state', changed.state, 'attempt', 0, 'reason', 'retry of the run'
           ),
           correlation_id
    FROM changed, runs WHERE runs.id = %(run_id)s
)
SELECT count(*) AS count FROM changed
