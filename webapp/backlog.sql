-- What waits, for /metrics: each query reads only unfinished rows or ends of indexes.

-- name: open_tasks --
SELECT state, count(*) AS count FROM task_states WHERE finished_at IS NULL GROUP BY state

-- name: journal_lag --
-- In journal ids: rolled back transactions leave gaps, so it is an upper bound of rows.
SELECT sink, greatest(0, coalesce((SELECT max(id) FROM journal), 0) - position) AS lag
FROM sink_cursors WHERE reads = 'journal'
