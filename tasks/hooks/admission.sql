-- What admission looks at, each by the first row of an index.

-- name: waiting --
SELECT
    (
        SELECT extract(epoch FROM now() - due.next_attempt_at)::float8
        FROM (
            SELECT next_attempt_at FROM inbox
            WHERE state IN ('received', 'retrying')
            ORDER BY next_attempt_at
            LIMIT 1
        ) AS due
    ) AS queue_age_s,
    (
        SELECT extract(epoch FROM now() - waiting.recorded_at)::float8
        FROM (
            SELECT recorded_at FROM journal
            WHERE id > (SELECT min(position) FROM sink_cursors WHERE reads = 'journal')
            ORDER BY id
            LIMIT 1
        ) AS waiting
    ) AS journal_lag_s
