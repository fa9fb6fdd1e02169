-- The SQL of a map's items. Each is claimed and ends in its row; the step counts those that are open.

-- name: any --
SELECT EXISTS (SELECT FROM step_items WHERE run_id = %(run_id)s AND place = %(place)s) AS found

-- name: drop --
-- Those of an earlier time, but what succeeded and is the same item still.
WITH kept AS MATERIALIZED (
    SELECT step_items.index FROM step_items
    JOIN json_array_elements(%(items)s::json) WITH ORDINALITY AS given (item, number)
      ON given.number = step_items.index + 1 AND given.item::jsonb = step_items.item
    WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'succeeded'
)
DELETE FROM step_items WHERE run_id = %(run_id)s AND place = %(place)s AND index NOT IN (SELECT index FROM kept)

-- name: insert --
INSERT INTO step_items (run_id, place, index, item, due_at)
SELECT %(run_id)s, %(place)s, (index - 1)::integer, item, now() + %(grace_s)s * interval '1 second'
FROM json_array_elements(%(items)s::json) WITH ORDINALITY AS row (item, index)
ON CONFLICT (run_id, place, index) DO NOTHING

-- name: claim --
-- ready -> running: the first of these ranges, as long as the map's step waits for them and its run goes on.
WITH map AS MATERIALIZED (
    SELECT steps.place FROM steps JOIN runs ON runs.id = steps.run_id
    WHERE steps.run_id = %(run_id)s AND steps.place = %(place)s AND steps.state = 'waiting' AND runs.state = 'running'
), wanted AS (
    SELECT index FROM step_items JOIN unnest(%(firsts)s::integer[], %(ends)s::integer[]) AS part (first, stop)
      ON index >= part.first AND index < part.stop
    WHERE run_id = %(run_id)s AND step_items.place = (SELECT place FROM map) AND state = 'ready'
    ORDER BY index
    LIMIT %(limit)s
    FOR UPDATE OF step_items SKIP LOCKED
)
UPDATE step_items
SET state = 'running', attempt = attempt + 1, lease_token = %(token)s, bundled = %(limit)s > 1,
    due_at = clock_timestamp() + %(lease_s)s * interval '1 second'
FROM wanted
WHERE run_id = %(run_id)s AND step_items.place = %(place)s AND step_items.index = wanted.index
RETURNING step_items.index, item, attempt

-- name: renew --
-- Nobody's any more once the map was called off.
UPDATE step_items SET due_at = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE run_id = %(run_id)s AND place = %(place)s AND index = ANY(%(indexes)s::integer[]) AND state = 'running'
  AND lease_token = %(token)s
  AND EXISTS (SELECT FROM steps WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'waiting')

-- name: end --
-- running -> succeeded | failed | retrying | ready, what is still held under the token; the step counts the ends. The
-- journal is told of attempts that failed. An item begins anew with its map's step, so that the step's version, which
-- has grown by then, is the greater part of the item's.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (
        index integer, state text, output jsonb, error_code text, error text, delay_s float
    )
), ended AS (
    UPDATE step_items
    SET state = rows.state, output = rows.output, error_code = rows.error_code, error = rows.error,
        lease_token = NULL, bundled = false,
        attempt = attempt - CASE WHEN rows.state = 'ready' THEN 1 ELSE 0 END,
        due_at = CASE WHEN rows.state IN ('retrying', 'ready')
                      THEN clock_timestamp() + coalesce(rows.delay_s, 0) * interval '1 second' END,
        finished_at = CASE WHEN rows.state IN ('succeeded', 'failed') THEN clock_timestamp() END
    FROM rows
    WHERE run_id = %(run_id)s AND place = %(place)s AND step_items.index = ANY(%(indexes)s::integer[])
      AND step_items.index = rows.index AND step_items.state = 'running' AND lease_token = %(token)s
    RETURNING step_items.index, step_items.state, attempt, step_items.error_code, step_items.error
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'item', %(run_id)s || '/' || steps.key || '/' || ended.index,
           steps.version * 1000 + ended.attempt, 'workflow-item-changed',
           jsonb_build_object(
               'workflow_id', %(run_id)s::text, 'name', runs.name, 'step', steps.key, 'item', ended.index,
               'from', 'running', 'state', ended.state, 'attempt', ended.attempt, 'error_code', ended.error_code,
               'error', ended.error
           ),
           runs.correlation_id
    FROM ended, steps, runs
    WHERE ended.state IN ('failed', 'retrying') AND runs.id = %(run_id)s
      AND steps.run_id = %(run_id)s AND steps.place = %(place)s
), counted AS (
    UPDATE steps
    SET items_open = items_open - (SELECT count(*) FROM ended WHERE state IN ('succeeded', 'failed'))
    WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'waiting'
      AND EXISTS (SELECT FROM ended WHERE state IN ('succeeded', 'failed'))
    RETURNING items_open
)
SELECT (SELECT count(*) FROM ended) AS count, (SELECT items_open FROM counted) AS items_open

-- name: open --
SELECT index FROM step_items
WHERE run_id = %(run_id)s AND place = %(place)s AND state = 'ready'
ORDER BY index
LIMIT %(limit)s

-- name: counts --
SELECT count(*) FILTER (WHERE finished_at IS NULL) AS open, min(index) FILTER (WHERE state = 'failed') AS first_failed,
       coalesce(sum(pg_column_size(output)), 0)::bigint AS bytes
FROM step_items WHERE run_id = %(run_id)s AND place = %(place)s

-- name: outputs --
-- As one text: nobody needs to take it apart here.
SELECT coalesce(json_agg(output ORDER BY index), '[]')::text AS outputs
FROM step_items WHERE run_id = %(run_id)s AND place = %(place)s

-- name: error_of --
SELECT error_code, error FROM step_items WHERE run_id = %(run_id)s AND place = %(place)s AND index = %(index)s

-- name: due --
-- What the clock looks at: items that are to run again, whose worker is gone, or whose message was lost.
SELECT run_id, place, index, state, attempt, bundled FROM step_items
WHERE due_at <= now()
ORDER BY due_at
LIMIT %(limit)s

-- name: release --
-- retrying | running | ready -> ready, of what is still due. The journal is told of an attempt whose lease ended: it has
-- failed. One of a bundle gives its attempt back, so that there is nothing to tell, nor a version to tell it under: an
-- item's is made of its attempt.
WITH was AS MATERIALIZED (
    SELECT run_id, place, index, state, bundled
    FROM step_items
    JOIN unnest(%(run_ids)s::uuid[], %(places)s::integer[], %(indexes)s::integer[])
         AS seen (seen_run, seen_place, seen_index)
      ON run_id = seen_run AND place = seen_place AND index = seen_index
    WHERE due_at <= now()
    ORDER BY run_id, place, index
    FOR UPDATE OF step_items
), released AS (
    UPDATE step_items
    SET state = 'ready', lease_token = NULL, bundled = false,
        attempt = attempt - CASE WHEN was.state = 'running' AND was.bundled THEN 1 ELSE 0 END,
        due_at = clock_timestamp() + %(delay_s)s * interval '1 second'
    FROM was
    WHERE (step_items.run_id, step_items.place, step_items.index) = (was.run_id, was.place, was.index)
    RETURNING was.*, attempt
)
INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
SELECT gen_random_uuid(), 'item', released.run_id || '/' || steps.key || '/' || released.index,
       steps.version * 1000 + released.attempt, 'workflow-item-changed',
       jsonb_build_object(
           'workflow_id', released.run_id::text, 'name', runs.name, 'step', steps.key, 'item', released.index,
           'from', 'running', 'state', 'ready', 'attempt', released.attempt, 'error_code', 'WorkerLost',
           'error', 'The attempt ended with its worker gone.'
       ),
       runs.correlation_id
FROM released
JOIN steps ON steps.run_id = released.run_id AND steps.place = released.place
JOIN runs ON runs.id = released.run_id
WHERE released.state = 'running' AND NOT released.bundled

-- name: forget --
-- Items of a map that is over are nobody's business.
UPDATE step_items SET due_at = NULL
FROM unnest(%(run_ids)s::uuid[], %(places)s::integer[]) AS seen (seen_run, seen_place)
WHERE run_id = seen_run AND place = seen_place AND due_at IS NOT NULL

-- name: map_of --
SELECT steps.state, runs.state AS run_state, steps.queue, steps.priority, steps.key
FROM steps JOIN runs ON runs.id = steps.run_id
WHERE run_id = %(run_id)s AND place = %(place)s

-- name: token --
-- Under which lease an item is that the clock gives up.
SELECT lease_token FROM step_items
WHERE run_id = %(run_id)s AND place = %(place)s AND index = %(index)s AND state = 'running' AND due_at <= now()
FOR UPDATE
