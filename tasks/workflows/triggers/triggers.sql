-- The SQL of triggers.

-- name: insert --
INSERT INTO triggers (
    id, name, state, families, event_types, sources, filter, workflow, workflow_version, input, priority, tags,
    metadata, created_by
)
VALUES (
    %(id)s, %(name)s, 'active', %(families)s, %(event_types)s, %(sources)s, %(filter)s, %(workflow)s,
    %(workflow_version)s, %(input)s::jsonb, %(priority)s, %(tags)s, %(metadata)s::jsonb, %(created_by)s
)
ON CONFLICT (name) DO NOTHING
RETURNING *

-- name: lock --
SELECT * FROM triggers WHERE id = %(id)s::uuid OR name = %(name)s FOR UPDATE

-- name: update --
UPDATE triggers
SET name = %(name)s, state = %(state)s, version = version + 1, families = %(families)s,
    event_types = %(event_types)s, sources = %(sources)s, filter = %(filter)s, workflow = %(workflow)s,
    workflow_version = %(workflow_version)s, input = %(input)s::jsonb, priority = %(priority)s, tags = %(tags)s,
    metadata = %(metadata)s::jsonb, updated_at = clock_timestamp()
WHERE id = %(id)s
RETURNING *

-- name: delete --
DELETE FROM triggers WHERE id = %(id)s RETURNING id, name, version + 1 AS version

-- name: count_change --
-- In the transaction of the change: who sees the new count sees the change.
UPDATE trigger_changes SET count = count + 1

-- name: changes --
SELECT count FROM trigger_changes

-- name: active --
SELECT * FROM triggers WHERE state = 'active' ORDER BY name

-- name: get --
SELECT * FROM triggers WHERE id = %(id)s::uuid OR name = %(name)s

-- name: list --
SELECT * FROM triggers
WHERE (%(state)s IS NULL OR state = %(state)s)
  AND (%(workflow)s IS NULL OR workflow = %(workflow)s)
  AND (%(after)s IS NULL OR name > %(after)s)
ORDER BY name
LIMIT %(limit)s

-- name: record_firings --
-- A trigger that was removed a moment ago leaves no trace of a firing; its run goes on.
INSERT INTO trigger_firings (trigger_id, hook_id, hook_version, outcome, run_id, detail)
SELECT triggers.id, hook_id, hook_version, outcome, run_id, detail
FROM json_to_recordset(%(rows)s::json) AS row (
    trigger_id uuid, hook_id uuid, hook_version integer, outcome text, run_id uuid, detail text
)
JOIN triggers ON triggers.id = row.trigger_id

-- name: recent_firings --
SELECT hook_id, outcome, run_id, detail, recorded_at, runs.state AS run_state, runs.finished_at AS run_finished_at
FROM trigger_firings LEFT JOIN runs ON runs.id = run_id
WHERE trigger_id = %(id)s
ORDER BY recorded_at DESC
LIMIT %(limit)s

-- name: delete_old_firings --
DELETE FROM trigger_firings
WHERE (trigger_id, hook_id, hook_version) IN (
    SELECT trigger_id, hook_id, hook_version FROM trigger_firings
    WHERE recorded_at < now() - %(keep_days)s * interval '1 day'
    ORDER BY recorded_at
    LIMIT %(limit)s
)
