-- What the agreement check asks of PostgreSQL. Read-only; each query is one statement, so it sees one moment.

-- name: mark --
SELECT coalesce((SELECT max(id) FROM journal), 0) AS journal_id, clock_timestamp() AS taken_at

-- name: hooks_by_state --
SELECT state, count(*) AS count
FROM inbox
WHERE %(prefix)s::text IS NULL OR starts_with(source, %(prefix)s)
GROUP BY state

-- name: unfinished_hooks --
SELECT count(*) AS count FROM inbox
WHERE state IN ('received', 'processing', 'retrying')
  AND (%(prefix)s::text IS NULL OR starts_with(source, %(prefix)s))

-- name: states_of_hooks --
SELECT id, state FROM inbox WHERE id = ANY(%(ids)s::uuid[])

-- name: open_tasks --
-- Tasks that were first seen in the window and have no end. The bridges' loops are always at work, each task for a
-- slice of seconds: only one that is silent for a minute counts.
SELECT name, state, count(*) AS count
FROM task_states
WHERE finished_at IS NULL
  AND NOT (name IN ('bridges.relay', 'bridges.drain') AND updated_at > now() - interval '1 minute')
  AND (%(since)s::timestamptz IS NULL OR first_seen_at >= %(since)s) AND first_seen_at <= %(until)s
GROUP BY name, state
ORDER BY name, state

-- name: ended_tasks --
SELECT count(*) AS count
FROM task_states
WHERE finished_at IS NOT NULL
  AND (%(since)s::timestamptz IS NULL OR first_seen_at >= %(since)s) AND first_seen_at <= %(until)s

-- name: relay_position --
SELECT position, note FROM sink_cursors WHERE sink = 'kafka'

-- name: broken_histories --
-- Aggregates whose versions, in id order, do not go 1, 2, 3, …; where old days were dropped a history may begin later.
-- A step's first version is its row, of which the submission of its run tells. An item's versions only grow: each holds
-- its map's version and the attempt, and attempts that succeed are not told.
WITH rows AS (
    SELECT id, aggregate_type, aggregate_id, version,
           lag(version) OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY id) AS before,
           CASE aggregate_type WHEN 'step' THEN 2 ELSE 1 END AS first
    FROM journal
    WHERE id <= %(upto)s
), first_day AS (
    SELECT to_regclass('journal_' || to_char(min(applied_at) AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL AS kept
    FROM schema_migrations
)
SELECT aggregate_type, aggregate_id, min(id) AS id
FROM rows CROSS JOIN first_day
WHERE CASE aggregate_type
          WHEN 'item' THEN version <= before
          ELSE version <> before + 1 OR (before IS NULL AND version > first AND kept)
      END
GROUP BY aggregate_type, aggregate_id
ORDER BY min(id)
LIMIT 20

-- name: disagreeing_rows --
-- Hooks and tasks whose row is not at the version and state that their last journal row tells.
WITH last AS (
    SELECT DISTINCT ON (aggregate_type, aggregate_id)
           aggregate_type, aggregate_id, version,
           payload->>(CASE aggregate_type WHEN 'task' THEN 'current_state' ELSE 'state' END) AS state
    FROM journal
    WHERE aggregate_type IN ('hook', 'task')
    ORDER BY aggregate_type, aggregate_id, version DESC
), rows AS (
    SELECT 'hook' AS kind, id::text AS id, version, state, received_at AS began_at FROM inbox
    UNION ALL
    SELECT 'task', task_id, version, state, first_seen_at FROM task_states
)
SELECT rows.kind, rows.id, rows.version, rows.state, last.version AS told_version, last.state AS told_state
FROM rows LEFT JOIN last ON last.aggregate_type = rows.kind AND last.aggregate_id = rows.id
WHERE (last.version IS NULL AND rows.began_at >= (SELECT min(recorded_at) FROM journal))
   OR last.version <> rows.version OR last.state <> rows.state
ORDER BY rows.kind, rows.id
LIMIT 20

-- name: journal_slice --
SELECT id, event_id, coalesce(partition_key, aggregate_id) AS key
FROM journal
WHERE id > %(after)s AND id <= %(upto)s
ORDER BY id
LIMIT %(limit)s

-- name: other_events --
-- Which of these ids are journal rows outside the compared range.
SELECT event_id FROM journal WHERE NOT (id > %(after)s AND id <= %(upto)s) AND event_id = ANY(%(ids)s::uuid[])
