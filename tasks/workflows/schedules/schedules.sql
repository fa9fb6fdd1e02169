-- The SQL of schedules. A schedule's state and its next tick change only here.

-- name: insert --
INSERT INTO schedules (
    id, name, state, cron, every_s, timezone, starts_at, ends_at, jitter_s, catch_up, catch_up_limit, grace_s, overlap,
    workflow, workflow_version, input, priority, tags, metadata, next_tick, due_at, created_at, created_by
)
VALUES (
    %(id)s, %(name)s, %(state)s, %(cron)s, %(every_s)s, %(timezone)s, %(starts_at)s, %(ends_at)s, %(jitter_s)s,
    %(catch_up)s, %(catch_up_limit)s, %(grace_s)s, %(overlap)s, %(workflow)s, %(workflow_version)s, %(input)s::jsonb,
    %(priority)s, %(tags)s, %(metadata)s::jsonb, %(next_tick)s, %(due_at)s, %(created_at)s, %(created_by)s
)
ON CONFLICT (name) DO NOTHING
RETURNING *

-- name: now --
SELECT clock_timestamp() AS now

-- name: lock --
-- By id, or by name: neither can be taken for the other.
SELECT *, clock_timestamp() AS now FROM schedules
WHERE id = %(id)s::uuid OR name = %(name)s
FOR UPDATE

-- name: update --
-- What its owner changed, and what follows of it.
UPDATE schedules
SET name = %(name)s, state = %(state)s, version = version + 1, cron = %(cron)s, every_s = %(every_s)s,
    timezone = %(timezone)s, starts_at = %(starts_at)s, ends_at = %(ends_at)s, jitter_s = %(jitter_s)s,
    catch_up = %(catch_up)s, catch_up_limit = %(catch_up_limit)s, grace_s = %(grace_s)s, overlap = %(overlap)s,
    workflow = %(workflow)s, workflow_version = %(workflow_version)s, input = %(input)s::jsonb,
    priority = %(priority)s, tags = %(tags)s, metadata = %(metadata)s::jsonb, next_tick = %(next_tick)s,
    due_at = %(due_at)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND version = %(version)s
RETURNING *

-- name: delete --
DELETE FROM schedules WHERE id = %(id)s RETURNING id, name, version + 1 AS version

-- name: get --
SELECT * FROM schedules WHERE id = %(id)s::uuid OR name = %(name)s

-- name: list --
SELECT * FROM schedules
WHERE (%(state)s IS NULL OR state = %(state)s)
  AND (%(workflow)s IS NULL OR workflow = %(workflow)s)
  AND (%(after)s IS NULL OR name > %(after)s)
ORDER BY name
LIMIT %(limit)s

-- name: claim_due --
-- Those whose tick has come, the longest overdue first; what another beat is at is passed over.
SELECT schedules.*, clock_timestamp() AS now,
       EXISTS (
           SELECT FROM runs WHERE runs.id = schedules.last_run_id AND runs.finished_at IS NULL
       ) AS previous_open
FROM schedules
WHERE due_at <= statement_timestamp()
ORDER BY due_at
LIMIT %(limit)s
FOR UPDATE OF schedules SKIP LOCKED

-- name: move_on --
-- To the next tick, each from the very tick that was claimed; no tick to come is the end.
UPDATE schedules
SET version = version + 1, state = CASE WHEN row.next_tick IS NULL THEN 'ended' ELSE 'active' END,
    next_tick = row.next_tick, due_at = row.due_at, last_tick = row.last_tick,
    last_run_id = coalesce(row.last_run_id, schedules.last_run_id)
FROM json_to_recordset(%(rows)s::json) AS row (
    id uuid, claimed_tick timestamptz, next_tick timestamptz, due_at timestamptz, last_tick timestamptz,
    last_run_id uuid
)
WHERE schedules.id = row.id AND schedules.next_tick = row.claimed_tick AND state = 'active'
RETURNING schedules.id, version

-- name: started_by_hand --
UPDATE schedules SET version = version + 1, last_run_id = %(run_id)s WHERE id = %(id)s
RETURNING id, version

-- name: record_ticks --
INSERT INTO schedule_ticks (schedule_id, tick, manual, outcome, run_id, detail)
SELECT schedule_id, tick, manual, outcome, run_id, detail
FROM json_to_recordset(%(rows)s::json) AS row (
    schedule_id uuid, tick timestamptz, manual boolean, outcome text, run_id uuid, detail text
)

-- name: recent_ticks --
SELECT tick, manual, outcome, run_id, detail, recorded_at, runs.state AS run_state,
       runs.finished_at AS run_finished_at
FROM schedule_ticks LEFT JOIN runs ON runs.id = run_id
WHERE schedule_id = %(id)s
ORDER BY tick DESC, manual
LIMIT %(limit)s

-- name: next_due --
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 AS due_in_s FROM schedules WHERE due_at IS NOT NULL

-- name: try_lock --
-- One of the tasks that look at schedules stays to wait for the next tick; the rows themselves need no lock.
SELECT pg_try_advisory_lock(7301, 3) AS held

-- name: delete_old_ticks --
DELETE FROM schedule_ticks
WHERE (schedule_id, tick, manual) IN (
    SELECT schedule_id, tick, manual FROM schedule_ticks
    WHERE recorded_at < now() - %(keep_days)s * interval '1 day'
    ORDER BY recorded_at
    LIMIT %(limit)s
)
