-- The SQL of runs. A state changes only here, under a guard on the old state, with its journal row.

-- name: by_idempotency_key --
SELECT id, state, name, definition_version, body_digest, priority FROM runs
WHERE idempotency_scope = %(idempotency_scope)s AND idempotency_key = %(idempotency_key)s

-- name: lock_concurrency --
-- Whoever begins or ends runs of one key does so one after the other.
SELECT pg_advisory_xact_lock(7301, hashtext(%(name)s || ' ' || %(concurrency_key)s))

-- name: under_way --
-- One that was paused before it began holds no place.
SELECT count(*) AS count FROM runs
WHERE name = %(name)s AND concurrency_key = %(concurrency_key)s AND finished_at IS NULL AND state <> 'pending'
  AND started_at IS NOT NULL

-- name: next_of_key --
-- The runs that wait for their key, the most urgent and then the oldest first.
SELECT id FROM runs
WHERE name = %(name)s AND concurrency_key = %(concurrency_key)s AND state = 'pending'
ORDER BY priority DESC, id
LIMIT 1

-- name: context --
-- What does not change while a run goes on.
SELECT id, definition_id, name, definition_version, priority, tags, metadata, input, correlation_id, submitted_by,
       concurrency_key, max_parallel, parent_run_id, parent_place, depth, created_at, started_at
FROM runs WHERE id = %(id)s

-- name: look --
SELECT id, definition_id, name, state, version, priority, concurrency_key, open_leaves, parent_run_id, parent_place,
       deadline_at <= now() AS overdue, started_at, error_code, output, error
FROM runs WHERE id = %(id)s

-- name: lock --
SELECT id, definition_id, name, state, version, priority, concurrency_key, open_leaves, parent_run_id, parent_place,
       deadline_at <= now() AS overdue, started_at, error_code, output, error
FROM runs WHERE id = %(id)s
FOR NO KEY UPDATE

-- name: change --
-- A run from one of the states %(from)s to another. No key changes, and who adds a signal to it meanwhile, with a step
-- to lock after that, is not to wait for this.
WITH was AS MATERIALIZED (
    SELECT id, state FROM runs
    WHERE id = %(id)s AND state = ANY(%(from)s::text[])
      AND (%(leaves)s::integer IS NULL OR open_leaves = %(leaves)s::integer)
    FOR NO KEY UPDATE
), changed AS (
    UPDATE runs
    SET state = %(state)s, version = version + 1,
        started_at = CASE %(state)s WHEN 'running' THEN coalesce(started_at, clock_timestamp())
                                    WHEN 'pending' THEN NULL ELSE started_at END,
        finished_at = CASE WHEN %(terminal)s THEN clock_timestamp() END,
        output = coalesce(%(output)s::jsonb, output),
        error_code = CASE WHEN %(keep_error)s THEN error_code ELSE %(error_code)s END,
        error = CASE WHEN %(keep_error)s THEN error ELSE %(error)s END,
        open_leaves = coalesce(%(open_leaves)s, open_leaves),
        deadline_at = CASE WHEN %(timeout_s)s::float IS NULL THEN deadline_at
                           ELSE clock_timestamp() + %(timeout_s)s::float * interval '1 second' END,
        due_at = CASE WHEN %(terminal)s OR %(state)s = 'compensating' THEN NULL
                      WHEN %(state)s = 'pending' THEN clock_timestamp() + %(grace_s)s * interval '1 second'
                      WHEN coalesce(%(open_leaves)s, open_leaves) = 0 AND %(state)s = 'running' THEN clock_timestamp()
                      WHEN %(timeout_s)s::float IS NULL THEN deadline_at
                      ELSE clock_timestamp() + %(timeout_s)s::float * interval '1 second' END
    FROM was
    WHERE runs.id = was.id
    RETURNING runs.*, was.state AS old
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'run', id::text, version, %(event)s,
           jsonb_strip_nulls(jsonb_build_object(
               'workflow_id', id, 'name', name, 'version', definition_version, 'from', old, 'state', state,
               'error_code', error_code, 'error', error, 'by', %(by)s::text, 'reason', %(reason)s::text,
               'duration_ms', round(extract(epoch FROM finished_at - started_at) * 1000, 3)
           )),
           correlation_id
    FROM changed
)
SELECT id, old, state, name, concurrency_key, parent_run_id, parent_place, open_leaves, priority FROM changed

-- name: due --
-- What the clock looks at: runs to begin, to end, and to call off.
SELECT id, state, open_leaves, deadline_at <= now() AS overdue FROM runs
WHERE due_at <= now()
ORDER BY due_at
LIMIT %(limit)s

-- name: postpone --
-- The clock has looked. One past its deadline is looked at again too, should it not have been called off.
UPDATE runs SET due_at = least(clock_timestamp() + %(delay_s)s * interval '1 second',
                               CASE WHEN state <> 'compensating' AND deadline_at > now() THEN deadline_at END)
WHERE id = ANY(%(ids)s::uuid[]) AND finished_at IS NULL

-- name: orphans --
-- Children under way whose parent's step does not wait for them any more, because it was called off.
SELECT child.id FROM runs AS child
JOIN steps ON steps.run_id = child.parent_run_id AND steps.place = child.parent_place
WHERE child.finished_at IS NULL AND child.state <> 'compensating' AND child.parent_place IS NOT NULL
  AND (steps.state <> 'waiting' OR steps.child_run_id IS DISTINCT FROM child.id)
ORDER BY child.id
LIMIT %(limit)s

-- name: children --
-- Of one run, those of them.
SELECT child.id FROM runs AS child
JOIN steps ON steps.run_id = child.parent_run_id AND steps.place = child.parent_place
WHERE child.parent_run_id = %(id)s AND child.finished_at IS NULL AND child.state <> 'compensating'
  AND child.parent_place IS NOT NULL AND (steps.state <> 'waiting' OR steps.child_run_id IS DISTINCT FROM child.id)

-- name: detach --
-- A child that is tried again when nobody waits for it any more goes on by itself.
UPDATE runs SET parent_place = NULL
WHERE id = %(id)s AND parent_place IS NOT NULL AND NOT EXISTS (
    SELECT FROM steps
    WHERE run_id = parent_run_id AND place = parent_place AND steps.state = 'waiting' AND child_run_id = runs.id
)

-- name: delete_old --
-- Ended runs past the retention, with their steps; those first that ended first. Children of open runs stay.
DELETE FROM runs WHERE id IN (
    SELECT id FROM runs
    WHERE finished_at < now() - %(keep_days)s * interval '1 day'
    ORDER BY finished_at
    LIMIT %(limit)s
)
