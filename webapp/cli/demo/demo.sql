-- What the demo shows of PostgreSQL while it runs.

-- name: states --
SELECT state, count(*) AS count FROM inbox WHERE source = ANY(%(sources)s::text[]) GROUP BY state

-- name: flow --
SELECT coalesce((SELECT max(id) FROM journal), 0) AS journal_id,
       (SELECT position FROM sink_cursors WHERE sink = 'kafka') AS relay_position,
       (SELECT count(*) FROM task_states WHERE finished_at IS NULL) AS open_tasks
