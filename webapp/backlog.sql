-- What waits, for /metrics: reads only unfinished rows, by their index.

-- name: schedules_late --
SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 AS late_s FROM schedules WHERE due_at <= now()

-- name: open_tasks --
SELECT state, count(*) AS count FROM task_states WHERE finished_at IS NULL GROUP BY state
