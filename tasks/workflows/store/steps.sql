-- The SQL of steps. A state changes only here, in counters.sql and in runs.sql, under a guard on the old state, with its
-- journal row. Locks are taken in order of place, and a run's row after its steps.

-- name: insert --
INSERT INTO steps (run_id, place, key, kind, state, pending, queue, priority, due_at)
SELECT %(run_id)s, place, key, kind, CASE WHEN pending = 0 THEN 'ready' ELSE 'pending' END, pending, queue, priority,
       CASE WHEN pending = 0 AND %(begun)s THEN now() + %(grace_s)s * interval '1 second' END
FROM json_to_recordset(%(rows)s::json) AS row (
    place integer, key text, kind text, pending integer, queue text, priority smallint
)

-- name: claim --
-- ready -> running, those of the named places that are ready and whose run goes on.
WITH wanted AS (
    SELECT steps.place, steps.state, runs.correlation_id, runs.name
    FROM steps JOIN runs ON runs.id = steps.run_id
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(%(places)s::integer[]) AND steps.state = 'ready'
      AND runs.state = CASE WHEN steps.compensates IS NULL THEN 'running' ELSE 'compensating' END
    ORDER BY steps.place
    FOR UPDATE OF steps SKIP LOCKED
), claimed AS (
    UPDATE steps
    SET state = 'running', attempt = attempt + 1, version = version + 1, lease_token = %(token)s,
        bundled = %(bundled)s, due_at = clock_timestamp() + %(lease_s)s * interval '1 second',
        started_at = clock_timestamp()
    FROM wanted
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(%(places)s::integer[]) AND steps.place = wanted.place
    RETURNING steps.place, key, kind, attempt, version, compensates, wanted.correlation_id, wanted.name
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', 'ready',
               'state', 'running', 'attempt', attempt
           ),
           correlation_id
    FROM claimed
)
SELECT place, attempt, compensates FROM claimed ORDER BY place

-- name: claim_limited --
-- As claim, in a run that allows only so many steps at once. The caller has locked the run's row in a statement before
-- this one, so that what is counted here is what those before have claimed.
WITH run AS MATERIALIZED (
    SELECT id, name, correlation_id, max_parallel FROM runs
    WHERE id = %(run_id)s AND state = 'running'
), wanted AS (
    SELECT steps.place FROM steps
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(%(places)s::integer[]) AND steps.state = 'ready'
      AND (SELECT max_parallel FROM run)
          > (SELECT count(*) FROM steps WHERE run_id = %(run_id)s AND state = 'running')
    ORDER BY steps.priority DESC, steps.place
    LIMIT 1
    FOR UPDATE OF steps SKIP LOCKED
), claimed AS (
    UPDATE steps
    SET state = 'running', attempt = attempt + 1, version = version + 1, lease_token = %(token)s,
        bundled = %(bundled)s, due_at = clock_timestamp() + %(lease_s)s * interval '1 second',
        started_at = clock_timestamp()
    FROM wanted
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(%(places)s::integer[]) AND steps.place = wanted.place
    RETURNING steps.place, key, kind, attempt, version, compensates
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', 'ready',
               'state', 'running', 'attempt', attempt
           ),
           correlation_id
    FROM claimed, run
)
SELECT place, attempt, compensates FROM claimed

-- name: renew --
UPDATE steps SET due_at = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE run_id = %(run_id)s AND place = ANY(%(places)s::integer[]) AND state = 'running' AND lease_token = %(token)s

-- name: release --
-- running -> ready: claimed with others, and not begun.
WITH released AS (
    UPDATE steps
    SET state = 'ready', version = version + 1, attempt = attempt - 1, lease_token = NULL, bundled = false,
        due_at = clock_timestamp()
    WHERE run_id = %(run_id)s AND place = ANY(%(places)s::integer[]) AND state = 'running' AND lease_token = %(token)s
    RETURNING key, kind, attempt, version
)
INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, released.version, 'workflow-step-changed',
       jsonb_build_object(
           'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', 'running',
           'state', 'ready', 'attempt', attempt, 'reason', 'released'
       ),
       correlation_id
FROM released, runs WHERE runs.id = %(run_id)s

-- name: complete --
-- running -> succeeded for all of the rows, or for none where one of them is held no more; their children count them.
-- A child with nothing left to wait for becomes ready; one of %(candidates)s, of this queue, is claimed at once under
-- the next token. A child that must be passed over instead stays pending with pending = 0, for the caller to settle in
-- this transaction. The places stand in arrays too, so that each is found by the index whatever the size of the run; made
-- here, for a plan that must guess how many there are costs as much as one that knows, so that PostgreSQL keeps it.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (place integer, output jsonb, arguments jsonb)
), below AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(below)s::json) AS row (place integer, ended integer, named integer, chosen integer)
), held AS MATERIALIZED (
    SELECT steps.place FROM steps JOIN rows ON rows.place = steps.place
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(ARRAY(SELECT place FROM rows)) AND steps.state = 'running'
      AND steps.lease_token = %(token)s
    ORDER BY steps.place
    FOR UPDATE OF steps
), run AS MATERIALIZED (
    SELECT name, correlation_id, state FROM runs
    WHERE id = %(run_id)s AND (SELECT count(*) FROM held) = %(count)s
), done AS (
    UPDATE steps
    SET state = 'succeeded', version = version + 1, output = rows.output, arguments = rows.arguments,
        error_code = NULL, error = NULL, lease_token = NULL, due_at = NULL, finished_at = clock_timestamp()
    FROM rows, run
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(ARRAY(SELECT place FROM rows)) AND steps.place = rows.place
    RETURNING steps.place, key, kind, attempt, version, started_at, finished_at
), locked AS MATERIALIZED (
    SELECT steps.place, queue, ended, below.named, below.chosen,
           CASE
               WHEN steps.pending > ended THEN 'pending'
               WHEN blocked > 0 OR (steps.named + below.named > 0 AND steps.chosen + below.chosen = 0) THEN 'settle'
               ELSE 'ready'
           END AS verdict
    FROM steps JOIN below ON below.place = steps.place
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(ARRAY(SELECT place FROM below)) AND steps.state = 'pending'
      AND EXISTS (SELECT FROM run)
    ORDER BY steps.place
    FOR UPDATE OF steps
), next AS MATERIALIZED (
    SELECT min(place) AS place FROM locked
    WHERE verdict = 'ready' AND place = ANY(%(candidates)s::integer[])
      AND (SELECT state FROM run) IN ('running', 'compensating')
), touched AS (
    UPDATE steps
    SET pending = pending - ended, passed = passed + ended, named = steps.named + locked.named,
        chosen = steps.chosen + locked.chosen,
        state = CASE WHEN locked.place = next.place THEN 'running' WHEN verdict = 'ready' THEN 'ready' ELSE state END,
        version = CASE WHEN verdict = 'ready' THEN version + 1 ELSE version END,
        attempt = CASE WHEN locked.place = next.place THEN 1 ELSE attempt END,
        lease_token = CASE WHEN locked.place = next.place THEN %(next_token)s::uuid END,
        bundled = false,
        started_at = CASE WHEN locked.place = next.place THEN clock_timestamp() ELSE started_at END,
        due_at = CASE
            WHEN locked.place = next.place THEN clock_timestamp() + %(lease_s)s * interval '1 second'
            WHEN verdict = 'ready' AND (SELECT state FROM run) IN ('running', 'compensating')
            THEN clock_timestamp() + %(grace_s)s * interval '1 second'
        END
    FROM locked, next
    WHERE steps.run_id = %(run_id)s AND steps.place = ANY(ARRAY(SELECT place FROM below)) AND steps.place = locked.place
    RETURNING steps.place, key, kind, attempt, version, state, verdict
), ended AS (
    UPDATE runs
    SET open_leaves = open_leaves - %(leaves)s,
        due_at = CASE WHEN open_leaves = %(leaves)s AND state <> 'paused'
                      THEN clock_timestamp() + %(grace_s)s * interval '1 second' ELSE due_at END
    WHERE id = %(run_id)s AND %(leaves)s > 0 AND EXISTS (SELECT FROM run)
    RETURNING open_leaves
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, change.version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', run.name, 'step', key, 'kind', kind, 'from', old,
               'state', change.state, 'attempt', attempt
           ) || detail,
           run.correlation_id
    FROM (
        SELECT key, kind, version, 'running' AS old, 'succeeded' AS state, attempt,
               jsonb_build_object('duration_ms', round(extract(epoch FROM finished_at - started_at) * 1000, 3)) AS detail
        FROM done
        UNION ALL
        SELECT key, kind, version, 'pending', state, attempt, '{}'::jsonb FROM touched WHERE verdict = 'ready'
    ) AS change, run
)
SELECT (SELECT count(*) FROM done) AS done, (SELECT open_leaves FROM ended) AS open_leaves,
       (SELECT state FROM run) AS run_state, (SELECT place FROM next) AS next,
       ARRAY(SELECT place FROM touched WHERE state = 'ready' ORDER BY place) AS ready,
       ARRAY(SELECT place FROM touched WHERE verdict = 'settle' ORDER BY place) AS unsettled

-- name: advance --
-- As complete, for one step with one child that waits for it alone: down a line in two thirds of the time.
WITH run AS (
    SELECT name, correlation_id, state, state IN ('running', 'compensating') AS goes_on FROM runs WHERE id = %(run_id)s
), done AS (
    UPDATE steps
    SET state = 'succeeded', version = version + 1, output = %(output)s::jsonb, arguments = %(arguments)s::jsonb,
        error_code = NULL, error = NULL, lease_token = NULL, due_at = NULL, finished_at = clock_timestamp()
    WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'running' AND lease_token = %(token)s
    RETURNING key, kind, attempt, version, started_at, finished_at
), gone_on AS (
    UPDATE steps
    SET pending = 0, passed = steps.passed + 1, version = steps.version + 1, bundled = false,
        state = CASE WHEN %(next_token)s::uuid IS NOT NULL AND goes_on THEN 'running' ELSE 'ready' END,
        attempt = CASE WHEN %(next_token)s::uuid IS NOT NULL AND goes_on THEN 1 ELSE steps.attempt END,
        lease_token = CASE WHEN goes_on THEN %(next_token)s::uuid END,
        started_at = CASE WHEN %(next_token)s::uuid IS NOT NULL AND goes_on THEN done.finished_at
                          ELSE steps.started_at END,
        due_at = CASE WHEN goes_on THEN done.finished_at + %(due_s)s * interval '1 second' END
    FROM done, run
    WHERE steps.run_id = %(run_id)s AND steps.place = %(child)s AND steps.state = 'pending' AND steps.pending = 1
    RETURNING steps.key, steps.kind, steps.attempt, steps.version, steps.state
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, change.version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', run.name, 'step', key, 'kind', kind, 'from', old,
               'state', change.state, 'attempt', attempt
           ) || detail,
           run.correlation_id
    FROM (
        SELECT key, kind, version, 'running' AS old, 'succeeded' AS state, attempt,
               jsonb_build_object('duration_ms', round(extract(epoch FROM finished_at - started_at) * 1000, 3)) AS detail
        FROM done
        UNION ALL
        SELECT key, kind, version, 'pending', state, attempt, '{}'::jsonb FROM gone_on
    ) AS change, run
)
SELECT (SELECT count(*) FROM done) AS done, (SELECT state FROM run) AS run_state, (SELECT state FROM gone_on) AS child

-- name: change --
-- One step from one of the states %(from)s, under its token where one is given, with what else is told.
WITH was AS MATERIALIZED (
    SELECT place, state FROM steps
    WHERE run_id = %(run_id)s AND place = %(place)s AND state = ANY(%(from)s::text[])
      AND (%(token)s::uuid IS NULL OR lease_token = %(token)s::uuid)
      AND (NOT %(overdue)s OR due_at <= now())
    FOR UPDATE
), changed AS (
    UPDATE steps
    SET state = %(state)s, version = version + 1, lease_token = NULL,
        attempt = attempt - CASE WHEN %(uncounted)s = 'always' OR %(uncounted)s = 'bundled' AND bundled THEN 1 ELSE 0 END,
        bundled = false,
        waits_for = %(waits_for)s, signal_name = %(signal_name)s,
        items_open = coalesce(%(items_open)s, items_open),
        child_run_id = coalesce(%(child_run_id)s::uuid, child_run_id),
        due_at = CASE WHEN %(delay_s)s::float IS NOT NULL
                      THEN clock_timestamp() + %(delay_s)s::float * interval '1 second' END,
        output = coalesce(%(output)s::jsonb, output),
        arguments = coalesce(%(arguments)s::jsonb, arguments),
        error_code = %(error_code)s, error = %(error)s,
        finished_at = CASE WHEN %(terminal)s THEN clock_timestamp() END
    FROM was
    WHERE steps.run_id = %(run_id)s AND steps.place = was.place
    RETURNING steps.place, key, kind, attempt, version, was.state AS old, started_at
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, changed.version, 'workflow-step-changed',
           jsonb_strip_nulls(jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', old,
               'state', %(state)s::text, 'attempt', attempt, 'waits_for', %(waits_for)s::text,
               'error_code', %(error_code)s::text, 'error', %(error)s::text, 'reason', %(reason)s::text,
               'duration_ms', CASE WHEN %(terminal)s
                                   THEN round(extract(epoch FROM clock_timestamp() - changed.started_at) * 1000, 3) END
           )),
           correlation_id
    FROM changed, runs WHERE runs.id = %(run_id)s
)
SELECT place, key, attempt, old FROM changed

-- name: wake --
-- waiting -> running: what it waited for has come, and it is to end in this transaction.
WITH was AS MATERIALIZED (
    SELECT steps.place, runs.name, runs.correlation_id FROM steps JOIN runs ON runs.id = steps.run_id
    WHERE run_id = %(run_id)s AND place = %(place)s AND steps.state = 'waiting' AND waits_for = %(waits_for)s
      AND runs.finished_at IS NULL
    FOR UPDATE OF steps
), woken AS (
    UPDATE steps
    SET state = 'running', version = version + 1, lease_token = %(token)s, waits_for = NULL, signal_name = NULL,
        due_at = clock_timestamp() + %(lease_s)s * interval '1 second'
    FROM was
    WHERE steps.run_id = %(run_id)s AND steps.place = was.place
    RETURNING steps.place, key, kind, attempt, version, arguments, child_run_id, name, correlation_id
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', 'waiting',
               'state', 'running', 'attempt', attempt, 'reason', 'woken'
           ),
           correlation_id
    FROM woken
)
SELECT place, key, attempt, arguments, child_run_id FROM woken

-- name: lock_signals --
-- Between the look for a signal and the wait for it none may come unseen.
SELECT pg_advisory_xact_lock(7302, hashtext(%(run_id)s))

-- name: waiting_by_key --
SELECT place, state, waits_for FROM steps WHERE run_id = %(run_id)s AND key = %(key)s

-- name: lock_open --
-- Every step that has not ended, in order of place, before a run is called off.
SELECT place FROM steps WHERE run_id = %(run_id)s AND finished_at IS NULL ORDER BY place FOR UPDATE

-- name: cancel_open --
WITH changed AS (
    UPDATE steps
    SET state = 'cancelled', version = version + 1, lease_token = NULL, due_at = NULL, waits_for = NULL,
        signal_name = NULL, finished_at = clock_timestamp(), error_code = coalesce(error_code, %(error_code)s)
    FROM (
        SELECT place, state FROM steps WHERE run_id = %(run_id)s AND finished_at IS NULL ORDER BY place FOR UPDATE
    ) AS was
    WHERE steps.run_id = %(run_id)s AND steps.place = was.place
    RETURNING key, kind, attempt, version, was.state AS old
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'step', %(run_id)s || '/' || key, changed.version, 'workflow-step-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', name, 'step', key, 'kind', kind, 'from', old,
               'state', 'cancelled', 'attempt', attempt, 'reason', %(reason)s::text
           ),
           correlation_id
    FROM changed, runs WHERE runs.id = %(run_id)s
)
SELECT count(*) AS count FROM changed

-- name: states --
-- Every step of a run, by place, without what compensates.
SELECT place, key, state, attempt FROM steps WHERE run_id = %(run_id)s AND compensates IS NULL ORDER BY place

-- name: trouble --
-- Of the steps of a run that are in these states: how many were called off, and the keys of the first.
SELECT count(*) FILTER (WHERE state = 'cancelled') AS cancelled, (array_agg(key ORDER BY place))[:20] AS first
FROM steps WHERE run_id = %(run_id)s AND compensates IS NULL AND state = ANY(%(states)s::text[])

-- name: results --
-- What expressions may read of these steps.
SELECT place, state, output FROM steps WHERE run_id = %(run_id)s AND place = ANY(%(places)s::integer[])

-- name: ready --
-- What waits for a worker, of a run that goes on; the most urgent first.
SELECT place FROM steps JOIN runs ON runs.id = steps.run_id
WHERE run_id = %(run_id)s AND steps.state = 'ready'
  AND runs.state = CASE WHEN compensates IS NULL THEN 'running' ELSE 'compensating' END
ORDER BY steps.priority DESC, place
LIMIT %(limit)s

-- name: release_ready --
-- The clock looks at what became ready while its run was paused, or not begun.
UPDATE steps SET due_at = clock_timestamp() + %(grace_s)s * interval '1 second'
WHERE run_id = %(run_id)s AND state = 'ready'

-- name: hold_ready --
-- What is ready in a paused run is nobody's business until it goes on.
UPDATE steps SET due_at = NULL WHERE run_id = %(run_id)s AND state = 'ready'

-- name: to_undo --
-- What succeeded and was not undone yet, newest first: the order in which it is undone.
SELECT place FROM steps
WHERE run_id = %(run_id)s AND state = 'succeeded' AND compensates IS NULL
  AND NOT EXISTS (
      SELECT FROM steps AS undone
      WHERE undone.run_id = %(run_id)s AND undone.compensates = steps.place AND undone.state = 'succeeded'
  )
ORDER BY finished_at DESC, place DESC

-- name: last_place --
SELECT max(place) AS place FROM steps WHERE run_id = %(run_id)s

-- name: drop_compensations --
-- Those of an earlier time that did not come to their end; new ones take their place.
DELETE FROM steps WHERE run_id = %(run_id)s AND compensates IS NOT NULL AND state <> 'succeeded'
RETURNING compensates, version

-- name: insert_compensations --
-- A line of steps, each undoing one, the first of them ready.
INSERT INTO steps (run_id, place, key, kind, state, version, pending, queue, priority, compensates, due_at)
SELECT %(run_id)s, place, key, kind, CASE WHEN pending = 0 THEN 'ready' ELSE 'pending' END, version, pending, queue,
       priority, compensates, CASE WHEN pending = 0 THEN now() + %(grace_s)s * interval '1 second' END
FROM json_to_recordset(%(rows)s::json) AS row (
    place integer, key text, kind text, version integer, pending integer, queue text, priority smallint,
    compensates integer
)

-- name: compensations --
SELECT place, compensates, state FROM steps WHERE run_id = %(run_id)s AND compensates IS NOT NULL ORDER BY place

-- name: due --
-- What the clock looks at, oldest first.
SELECT run_id, place, key, queue, state, attempt, bundled, lease_token, waits_for, child_run_id, compensates
FROM steps
WHERE due_at <= now()
ORDER BY due_at
LIMIT %(limit)s

-- name: postpone --
-- The clock has looked; a message was sent, or need not be. Only of what is ready: the time at which a wait or a retry
-- is over is no message's business. Who holds one locked is at work on it, and not waited for.
UPDATE steps SET due_at = clock_timestamp() + %(delay_s)s * interval '1 second'
FROM (
    SELECT run_id, place FROM steps
    JOIN unnest(%(run_ids)s::uuid[], %(places)s::integer[]) AS seen (seen_run, seen_place)
      ON run_id = seen_run AND place = seen_place
    WHERE state = 'ready' AND due_at IS NOT NULL
    FOR NO KEY UPDATE OF steps SKIP LOCKED
) AS free
WHERE steps.run_id = free.run_id AND steps.place = free.place

-- name: end_leaves --
-- Steps that nothing depends on have ended without being completed: skipped, cancelled or failed.
UPDATE runs
SET open_leaves = open_leaves - %(leaves)s,
    due_at = CASE WHEN open_leaves = %(leaves)s AND state <> 'paused'
                  THEN clock_timestamp() + %(grace_s)s * interval '1 second' ELSE due_at END
WHERE id = %(run_id)s
RETURNING open_leaves

-- name: next_due --
-- Seconds until the clock has something to look at; none: nothing waits for it.
SELECT extract(epoch FROM least(
    (SELECT min(due_at) FROM steps WHERE due_at IS NOT NULL),
    (SELECT min(due_at) FROM step_items WHERE due_at IS NOT NULL),
    (SELECT min(due_at) FROM runs WHERE due_at IS NOT NULL)
) - clock_timestamp())::float AS wait_s

-- name: waiting_child --
-- Whom the step waits for, if for a run.
SELECT attempt, child_run_id FROM steps
WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'waiting' AND waits_for = 'run'
