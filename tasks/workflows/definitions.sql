-- The SQL of workflow definitions. A row never changes: another content is another version.

-- name: lock_name --
-- Versions of one name are given out one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('definitions:' || %(name)s, 0))

-- name: known_version --
SELECT id, version, content_hash FROM definitions WHERE name = %(name)s AND version = %(version)s

-- name: newest --
SELECT id, version, content_hash FROM definitions
WHERE name = %(name)s AND version IS NOT NULL
ORDER BY id DESC
LIMIT 1

-- name: newest_for --
-- The newest version that was there when the run was submitted, or, of a child, the run at the top of its family.
WITH RECURSIVE family AS (
    SELECT parent_run_id, created_at FROM runs WHERE id = %(run_id)s
    UNION ALL
    SELECT runs.parent_run_id, runs.created_at FROM family JOIN runs ON runs.id = family.parent_run_id
)
SELECT version FROM definitions
WHERE name = %(name)s AND version IS NOT NULL AND created_at <= (SELECT min(created_at) FROM family)
ORDER BY id DESC
LIMIT 1

-- name: next_number --
-- One more than the greatest version that is a number.
SELECT coalesce(max(version::bigint), 0) + 1 AS number FROM definitions
WHERE name = %(name)s AND version ~ '^[0-9]{1,15}$'

-- name: insert --
-- Inline ones (version NULL) are one for each content; who comes second waits for the first's end and gets nothing.
INSERT INTO definitions (id, name, version, content_hash, definition, description, tags, step_count, created_by)
VALUES (%(id)s, %(name)s, %(version)s, %(content_hash)s, %(definition)s::jsonb, %(description)s, %(tags)s::text[],
        %(step_count)s, %(created_by)s)
ON CONFLICT (content_hash) WHERE version IS NULL DO NOTHING
RETURNING created_at

-- name: insert_edges --
INSERT INTO edges (definition_id, parent, child)
SELECT %(id)s, parent, child FROM unnest(%(parents)s::integer[], %(children)s::integer[]) AS rows (parent, child)

-- name: keep_inline --
-- Locked, so that it can't be deleted before the run that came with it is there.
SELECT id, created_at, created_by FROM definitions
WHERE content_hash = %(content_hash)s AND version IS NULL
FOR KEY SHARE

-- name: by_id --
-- One of many steps comes without them: ``steps`` has them.
SELECT id, content_hash, created_at, created_by, step_count > %(large)s AS is_large,
       CASE WHEN step_count > %(large)s THEN definition - 'steps' ELSE definition END::text AS definition
FROM definitions WHERE id = %(id)s

-- name: steps --
-- In order, so many to a row that who reads them holds little at a time, and few rows that this costs nothing.
SELECT json_agg(step ORDER BY number)::text AS steps
FROM definitions, jsonb_array_elements(definition -> 'steps') WITH ORDINALITY AS each (step, number)
WHERE id = %(id)s
GROUP BY (number - 1) / %(part)s
ORDER BY min(number)

-- name: list --
-- The newest version of each name, by name; the cursor is the last name.
SELECT DISTINCT ON (name) id, name, version, description, tags, step_count, created_at, created_by
FROM definitions
WHERE version IS NOT NULL
  AND (%(after)s::text IS NULL OR name > %(after)s::text)
  AND (%(search)s::text IS NULL OR strpos(lower(name), lower(%(search)s::text)) > 0)
ORDER BY name, id DESC
LIMIT %(limit)s

-- name: versions --
-- Newest first; the cursor is the last id.
SELECT id, name, version, description, tags, step_count, created_at, created_by
FROM definitions
WHERE name = %(name)s AND version IS NOT NULL AND (%(before_id)s::uuid IS NULL OR id < %(before_id)s::uuid)
ORDER BY id DESC
LIMIT %(limit)s

-- name: names --
-- Each name once, by jumps along the index: there may be many versions.
WITH RECURSIVE found AS (
    (SELECT name FROM definitions WHERE version IS NOT NULL ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT name FROM definitions WHERE version IS NOT NULL AND name > found.name ORDER BY name LIMIT 1)
    FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL LIMIT 100000
