-- What waits, for /metrics: reads only unfinished rows, by their index.

-- name: open_tasks --
SELECT state, count(*) AS count FROM task_states WHERE finished_at IS NULL GROUP BY state
