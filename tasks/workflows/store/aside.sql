-- The clock failed at these rows, and looks at them again only after a while. Whoever holds one locked is not waited for.

-- name: steps --
UPDATE steps SET due_at = clock_timestamp() + %(delay_s)s * interval '1 second'
FROM (
    SELECT run_id, place FROM steps
    JOIN unnest(%(run_ids)s::uuid[], %(places)s::integer[]) AS failed (failed_run, failed_place)
      ON run_id = failed_run AND place = failed_place
    WHERE due_at <= now()
    FOR NO KEY UPDATE OF steps SKIP LOCKED
) AS free
WHERE steps.run_id = free.run_id AND steps.place = free.place
RETURNING steps.run_id, steps.place

-- name: runs --
UPDATE runs SET due_at = clock_timestamp() + %(delay_s)s * interval '1 second'
FROM (
    SELECT id FROM runs WHERE id = ANY(%(run_ids)s::uuid[]) AND due_at <= now() FOR NO KEY UPDATE SKIP LOCKED
) AS free
WHERE runs.id = free.id
RETURNING runs.id AS run_id

-- name: items --
UPDATE step_items SET due_at = clock_timestamp() + %(delay_s)s * interval '1 second'
FROM (
    SELECT run_id, place, index FROM step_items
    JOIN unnest(%(run_ids)s::uuid[], %(places)s::integer[], %(indexes)s::integer[])
         AS failed (failed_run, failed_place, failed_index)
      ON run_id = failed_run AND place = failed_place AND index = failed_index
    WHERE due_at <= now()
    FOR NO KEY UPDATE OF step_items SKIP LOCKED
) AS free
WHERE step_items.run_id = free.run_id AND step_items.place = free.place AND step_items.index = free.index
RETURNING step_items.run_id, step_items.place, step_items.index
