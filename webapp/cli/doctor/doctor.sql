-- What the doctor asks of PostgreSQL; each query reads little.

-- name: clock --
SELECT clock_timestamp() AS now, current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version, current_setting('synchronous_commit') AS synchronous_commit

-- name: partitions --
SELECT to_char(day, 'YYYY-MM-DD') AS day,
       to_regclass('journal_' || to_char(day, 'YYYYMMDD')) IS NOT NULL AS present
FROM generate_series(
    (now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 2, interval '1 day'
) AS day
ORDER BY day

-- name: default_partition --
SELECT EXISTS (SELECT 1 FROM journal_default) AS used

-- name: inbox --
SELECT
    (SELECT extract(epoch FROM now() - min(next_attempt_at))::float8
     FROM inbox WHERE state IN ('received', 'retrying') AND next_attempt_at <= now()) AS oldest_due_s,
    (SELECT count(*) FROM inbox WHERE state IN ('received', 'retrying') AND next_attempt_at <= now()) AS due,
    (SELECT count(*) FROM inbox WHERE state = 'processing' AND lease_until < now()) AS expired,
    (SELECT count(*) FROM inbox WHERE state = 'dead') AS dead

-- name: mirror --
SELECT stream_position FROM sink_cursors WHERE sink = 'mirror'

-- name: lost_tasks --
SELECT count(*) AS count FROM task_states
WHERE state = 'lost' AND finished_at > now() - interval '1 hour'

-- name: schedules --
SELECT
    (SELECT count(*) FROM schedules WHERE state = 'active') AS active,
    (SELECT extract(epoch FROM now() - min(due_at))::float8 FROM schedules WHERE due_at <= now()) AS late_s,
    (SELECT count(*) FROM schedule_ticks WHERE outcome = 'failed' AND recorded_at > now() - interval '1 hour') AS failed,
    (SELECT count(*) FROM trigger_firings WHERE outcome = 'failed' AND recorded_at > now() - interval '1 hour')
        AS triggers_failed

-- name: keys --
SELECT count(*) AS count FROM api_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
