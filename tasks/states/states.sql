-- The mirror's SQL. A row shows the greatest transition by (attempt, rank) of all that came, in whatever order.

-- name: apply --
-- Many tasks in one statement, in the order of their ids, so that two writers cannot deadlock. Each transition is
-- one version. Answers with what the row showed before.
WITH changes AS (
    SELECT * FROM unnest(
        %(task_ids)s::text[], %(names)s::text[], %(states)s::text[], %(ranks)s::smallint[], %(attempts)s::integer[],
        %(deliveries)s::integer[], %(transitions)s::integer[], %(queues)s::text[], %(workers)s::text[],
        %(correlation_ids)s::text[], %(parent_ids)s::text[], %(root_ids)s::text[], %(error_types)s::text[],
        %(errors)s::text[], %(first_seen_ats)s::timestamptz[], %(started_ats)s::timestamptz[],
        %(finished_ats)s::timestamptz[], %(due_ats)s::timestamptz[]
    ) AS rows (
        task_id, name, state, rank, attempt, deliveries, transitions, queue, worker, correlation_id, parent_id,
        root_id, error_type, error, first_seen_at, started_at, finished_at, due_at
    )
), before AS (
    SELECT task_id, state, attempt FROM task_states WHERE task_id = ANY(%(task_ids)s::text[])
), applied AS (
    INSERT INTO task_states AS old (
        task_id, name, state, rank, attempt, deliveries, version, queue, worker, correlation_id, parent_id, root_id,
        error_type, error, first_seen_at, started_at, finished_at, due_at, updated_at
    )
    SELECT task_id, name, state, rank, attempt, deliveries, transitions, queue, worker, correlation_id, parent_id,
           root_id, error_type, error, first_seen_at, started_at, finished_at, due_at, now()
    FROM changes
    ORDER BY task_id
    ON CONFLICT (task_id) DO UPDATE SET
        version = old.version + EXCLUDED.version,
        deliveries = old.deliveries + EXCLUDED.deliveries,
        correlation_id = COALESCE(old.correlation_id, EXCLUDED.correlation_id),
        parent_id = COALESCE(old.parent_id, EXCLUDED.parent_id),
        root_id = COALESCE(old.root_id, EXCLUDED.root_id),
        first_seen_at = LEAST(old.first_seen_at, EXCLUDED.first_seen_at),
        started_at = LEAST(old.started_at, EXCLUDED.started_at),
        due_at = GREATEST(old.due_at, EXCLUDED.due_at),
        updated_at = now(),
        name = CASE WHEN old.name = 'unknown' THEN EXCLUDED.name ELSE old.name END,
        state = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN EXCLUDED.state ELSE old.state END,
        attempt = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN EXCLUDED.attempt ELSE old.attempt END,
        rank = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN EXCLUDED.rank ELSE old.rank END,
        error_type = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN EXCLUDED.error_type ELSE old.error_type END,
        error = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN EXCLUDED.error ELSE old.error END,
        finished_at = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN EXCLUDED.finished_at ELSE old.finished_at END,
        queue = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN COALESCE(EXCLUDED.queue, old.queue)
                     ELSE COALESCE(old.queue, EXCLUDED.queue) END,
        worker = CASE WHEN (EXCLUDED.attempt, EXCLUDED.rank) > (old.attempt, old.rank) THEN COALESCE(EXCLUDED.worker, old.worker)
                      ELSE COALESCE(old.worker, EXCLUDED.worker) END
    RETURNING task_id, version
)
SELECT applied.task_id, applied.version, before.state, before.attempt
FROM applied
LEFT JOIN before USING (task_id)

-- name: mark_lost --
-- sent | received | started | retried -> lost: no news for too long. Rows that the drain is changing are passed over.
WITH silent AS (
    SELECT task_id FROM task_states
    WHERE finished_at IS NULL
      AND updated_at < now() - %(lost_after_s)s * interval '1 second'
      AND (due_at IS NULL OR due_at < now() - %(lost_after_s)s * interval '1 second')
    ORDER BY updated_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE task_states
SET state = 'lost', rank = %(rank)s, version = version + 1, error_type = 'Lost', error = %(error)s,
    finished_at = clock_timestamp(), updated_at = clock_timestamp()
FROM silent
WHERE task_states.task_id = silent.task_id
RETURNING task_states.task_id, name, state, attempt, version, queue, worker, correlation_id, parent_id, root_id,
          error_type, error, finished_at

-- name: get --
SELECT task_id, name, state, attempt, deliveries, version, queue, worker, correlation_id, parent_id, root_id,
       error_type, error, first_seen_at, due_at, started_at, finished_at, updated_at
FROM task_states
WHERE task_id = %(task_id)s

-- name: list --
-- Newest first; the cursor is the last row's (first_seen_at, task_id).
SELECT task_id, name, state, attempt, deliveries, version, queue, worker, correlation_id, parent_id, root_id,
       error_type, error, first_seen_at, due_at, started_at, finished_at, updated_at
FROM task_states
WHERE (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(name)s::text IS NULL OR name = %(name)s)
  AND (%(before_at)s::timestamptz IS NULL
       OR (first_seen_at, task_id) < (%(before_at)s::timestamptz, %(before_id)s::text))
ORDER BY first_seen_at DESC, task_id DESC
LIMIT %(limit)s

-- name: delete_old --
-- Tasks that ended long ago.
DELETE FROM task_states
WHERE task_id IN (
    SELECT task_id FROM task_states
    WHERE finished_at < now() - %(keep_days)s * interval '1 day'
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)

-- name: delete_housekeeping --
-- The system's own periodic tasks that ended well more than a day ago, found by name.
DELETE FROM task_states
WHERE task_id IN (
    SELECT task_id FROM task_states
    WHERE name = ANY(%(names)s::text[]) AND first_seen_at < now() - interval '1 day'
      AND state IN ('succeeded', 'revoked')
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)

-- name: known_events --
-- Which of the tasks' transitions the journal has.
SELECT event_id FROM journal WHERE aggregate_type = 'task' AND aggregate_id = ANY(%(task_ids)s::text[])
