-- What is shown of runs and steps: reads only. Values are cut at %(cut)s characters, so that a page stays a page.

-- name: run --
SELECT id AS workflow_id, definition_id, name, definition_version AS version, state, priority, tags, metadata,
       left(input::text, %(cut)s + 1) AS input, left(output::text, %(cut)s + 1) AS output,
       CASE WHEN length(input::text) > %(cut)s THEN octet_length(input::text) END AS input_bytes,
       CASE WHEN length(output::text) > %(cut)s THEN octet_length(output::text) END AS output_bytes,
       error_code, error, correlation_id, submitted_by, concurrency_key, max_parallel,
       parent_run_id AS parent_workflow_id, created_at, started_at, finished_at, deadline_at
FROM runs WHERE id = %(id)s

-- name: head --
-- A run without what it was given and what it gave.
SELECT id AS workflow_id, definition_id, name, definition_version AS version, state, priority, tags, error_code, error,
       correlation_id, submitted_by, parent_run_id AS parent_workflow_id, created_at, started_at, finished_at, deadline_at
FROM runs WHERE id = %(id)s

-- name: counts --
SELECT state, count(*) FILTER (WHERE compensates IS NULL) AS steps,
       count(*) FILTER (WHERE compensates IS NOT NULL) AS compensations
FROM steps WHERE run_id = %(id)s GROUP BY state

-- name: waiting --
-- What somebody outside can move on: decisions and signals, the first by place.
SELECT place, key, kind, waits_for, signal_name, left(arguments ->> 'message', 500) AS message, started_at AS since
FROM steps
WHERE run_id = %(id)s AND state = 'waiting' AND waits_for IN ('signal', 'decision')
ORDER BY place
LIMIT %(limit)s

-- name: steps --
-- By place; the cursor is the last place.
SELECT place, key, kind, state, attempt, queue, priority, waits_for, signal_name, items_open, child_run_id, compensates,
       CASE WHEN state IN ('retrying', 'waiting') THEN due_at END AS due_at,
       left(output::text, %(cut)s + 1) AS output,
       CASE WHEN length(output::text) > %(cut)s THEN octet_length(output::text) END AS output_bytes,
       error_code, error, started_at, finished_at
FROM steps
WHERE run_id = %(id)s AND place > %(after)s AND (%(state)s::text IS NULL OR state = %(state)s::text)
ORDER BY place
LIMIT %(limit)s

-- name: step --
SELECT place, key, kind, state, attempt, queue, priority, waits_for, signal_name, items_open, child_run_id, compensates,
       CASE WHEN state IN ('retrying', 'waiting') THEN due_at END AS due_at,
       left(arguments::text, %(cut)s + 1) AS arguments, left(output::text, %(cut)s + 1) AS output,
       CASE WHEN length(arguments::text) > %(cut)s THEN octet_length(arguments::text) END AS arguments_bytes,
       CASE WHEN length(output::text) > %(cut)s THEN octet_length(output::text) END AS output_bytes,
       error_code, error, started_at, finished_at
FROM steps
WHERE run_id = %(id)s AND place = %(place)s

-- name: place_of --
-- The place of what has no place in the definition: a step that undoes another.
SELECT place FROM steps WHERE run_id = %(id)s AND key = %(key)s AND compensates IS NOT NULL

-- name: items --
SELECT state, count(*) AS count FROM step_items WHERE run_id = %(id)s AND place = %(place)s GROUP BY state

-- name: failed_items --
SELECT index, attempt, error_code, error, finished_at FROM step_items
WHERE run_id = %(id)s AND place = %(place)s AND state = 'failed'
ORDER BY index
LIMIT %(limit)s

-- name: list_items --
-- By index; the cursor is the last index.
SELECT index, state, attempt, left(item::text, %(cut)s + 1) AS item, left(output::text, %(cut)s + 1) AS output,
       CASE WHEN length(item::text) > %(cut)s THEN octet_length(item::text) END AS item_bytes,
       CASE WHEN length(output::text) > %(cut)s THEN octet_length(output::text) END AS output_bytes,
       error_code, error, CASE WHEN state = 'retrying' THEN due_at END AS due_at, finished_at
FROM step_items
WHERE run_id = %(id)s AND place = %(place)s AND index > %(after)s
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
ORDER BY index
LIMIT %(limit)s

-- name: chart --
-- Every step of a run as a chart shows it, by place.
SELECT place, key, kind, state, attempt, queue, waits_for, items_open, compensates, left(error, 200) AS error, started_at,
       finished_at
FROM steps WHERE run_id = %(id)s ORDER BY place

-- name: run_names --
-- Each name of a run once, by jumps along the index: there are many runs of few names.
WITH RECURSIVE found AS (
    (SELECT name FROM runs ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT name FROM runs WHERE name > found.name ORDER BY name LIMIT 1)
    FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL AND strpos(lower(name), lower(%(search)s::text)) > 0 LIMIT 1000

-- name: runs --
-- Newest first; the cursor is the last id. Ids are UUIDs of version 7, so bounds of time are bounds of id too.
SELECT id AS workflow_id, name, definition_version AS version, state, priority, tags, error_code, left(error, 500) AS error,
       correlation_id, submitted_by, parent_run_id AS parent_workflow_id, created_at, started_at, finished_at
FROM runs
WHERE (%(name)s::text IS NULL OR name = %(name)s::text)
  AND (%(names)s::text[] IS NULL OR name = ANY(%(names)s::text[]))
  AND (%(states)s::text[] IS NULL OR state = ANY(%(states)s::text[]))
  AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s::text])
  AND (%(active)s::boolean IS NOT TRUE OR finished_at IS NULL)
  AND (%(correlation_id)s::text IS NULL OR correlation_id = %(correlation_id)s::text)
  AND (%(parent_id)s::uuid IS NULL OR parent_run_id = %(parent_id)s::uuid)
  AND (%(since)s::timestamptz IS NULL OR (created_at >= %(since)s::timestamptz AND id >= %(since_id)s::uuid))
  AND (%(until)s::timestamptz IS NULL OR (created_at < %(until)s::timestamptz AND id < %(until_id)s::uuid))
  AND (%(before_id)s::uuid IS NULL OR id < %(before_id)s::uuid)
ORDER BY id DESC
LIMIT %(limit)s

-- name: open_runs --
-- For telemetry: runs that have not ended, by state.
SELECT state, count(*) AS count FROM runs WHERE finished_at IS NULL GROUP BY state

-- name: open_steps --
-- For telemetry: steps that the clock looks at, by state.
SELECT state, count(*) AS count FROM steps WHERE due_at IS NOT NULL GROUP BY state
