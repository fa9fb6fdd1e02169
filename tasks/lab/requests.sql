-- The SQL of questions that a worker carries, and of comparisons. A state changes only here, under a guard on the old one.

-- name: insert --
-- One row for each question, and one for the comparison that they make, if they do. A known idempotency key adds nothing.
WITH compared AS (
    INSERT INTO lab_comparisons (id, models, correlation_id, idempotency_key, body_digest, deadline_at)
    SELECT %(comparison_id)s::uuid, %(models)s::text[], %(correlation_id)s::text, %(idempotency_key)s::text, %(body_digest)s::bytea,
           clock_timestamp() + %(timeout_s)s::float8 * interval '1 second'
    WHERE %(comparison_id)s::uuid IS NOT NULL
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id
)
INSERT INTO lab_requests (
    id, comparison_id, place, request, timeout_s, correlation_id, idempotency_key, body_digest
)
SELECT row.id, compared.id, row.place, row.request, %(timeout_s)s::float8, %(correlation_id)s::text,
       CASE WHEN compared.id IS NULL THEN %(idempotency_key)s::text END, CASE WHEN compared.id IS NULL THEN %(body_digest)s::bytea END
FROM json_to_recordset(%(rows)s::json) AS row (id uuid, place integer, request jsonb)
LEFT JOIN compared ON true
WHERE %(comparison_id)s::uuid IS NULL OR compared.id IS NOT NULL
ORDER BY row.place
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id

-- name: known_request --
SELECT id, body_digest FROM lab_requests WHERE idempotency_key = %(idempotency_key)s

-- name: known_comparison --
SELECT id, body_digest FROM lab_comparisons WHERE idempotency_key = %(idempotency_key)s

-- name: claim --
-- pending -> running, or running -> running where the worker is gone (its lease ran out).
UPDATE lab_requests
SET state = 'running', attempt = attempt + 1, version = version + 1, lease_token = %(token)s,
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second',
    started_at = coalesce(started_at, clock_timestamp())
FROM (
    SELECT id, state FROM lab_requests WHERE id = %(id)s FOR UPDATE
) AS old
WHERE lab_requests.id = old.id AND attempt < %(max_attempts)s
  AND (lab_requests.state = 'pending' OR (lab_requests.state = 'running' AND lease_until < clock_timestamp()))
RETURNING lab_requests.id, lab_requests.comparison_id, request, timeout_s, attempt, version, correlation_id,
          old.state AS old_state,
          (SELECT extract(epoch FROM deadline_at - clock_timestamp())::float8
           FROM lab_comparisons WHERE lab_comparisons.id = lab_requests.comparison_id) AS left_s

-- name: renew --
UPDATE lab_requests SET lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE id = %(id)s AND state = 'running' AND lease_token = %(token)s

-- name: succeed --
-- running -> succeeded, under the lease.
UPDATE lab_requests
SET state = 'succeeded', version = version + 1, lease_token = NULL, lease_until = NULL,
    answer = %(answer)s::jsonb, finished_at = clock_timestamp()
WHERE id = %(id)s AND state = 'running' AND lease_token = %(token)s
RETURNING id, comparison_id, version, attempt, correlation_id

-- name: give_back --
-- running -> pending, under the lease: the worker shuts down. The sweeper sends it on at once.
UPDATE lab_requests
SET state = 'pending', version = version + 1, attempt = attempt - 1, lease_token = NULL, lease_until = NULL,
    hinted_at = 'epoch'
WHERE id = %(id)s AND state = 'running' AND lease_token = %(token)s
RETURNING id, comparison_id, version, attempt, correlation_id

-- name: fail --
-- running -> failed, under the lease.
UPDATE lab_requests
SET state = 'failed', version = version + 1, lease_token = NULL, lease_until = NULL,
    error_code = %(error_code)s, error = %(error)s, errors = %(errors)s::jsonb, finished_at = clock_timestamp()
WHERE id = %(id)s AND state = 'running' AND lease_token = %(token)s
RETURNING id, comparison_id, version, attempt, correlation_id

-- name: fail_lost --
-- running -> failed: each of the workers that took it died.
WITH lost AS (
    SELECT id FROM lab_requests
    WHERE state = 'running' AND lease_until < statement_timestamp() AND attempt >= %(max_attempts)s
    ORDER BY lease_until
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE lab_requests
SET state = 'failed', version = version + 1, lease_token = NULL, lease_until = NULL,
    error_code = %(error_code)s, error = %(error)s, finished_at = clock_timestamp()
FROM lost
WHERE lab_requests.id = lost.id
RETURNING lab_requests.id, comparison_id, version, attempt, correlation_id

-- name: waiting --
-- What the sweeper sends on: questions that wait without a message, or whose worker is gone. Marked, so that a message is
-- not sent again before it had its time.
WITH pending AS (
    SELECT id FROM lab_requests
    WHERE state = 'pending' AND hinted_at < statement_timestamp() - %(grace_s)s * interval '1 second'
    ORDER BY hinted_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), leased AS (
    SELECT id FROM lab_requests
    WHERE state = 'running' AND lease_until < statement_timestamp()
    ORDER BY lease_until
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE lab_requests SET hinted_at = clock_timestamp()
WHERE id = ANY (ARRAY(SELECT id FROM pending UNION ALL SELECT id FROM leased))
RETURNING id

-- name: get --
SELECT id, comparison_id, state, attempt, timeout_s, correlation_id, answer, error_code, error, errors, created_at,
       started_at, finished_at
FROM lab_requests WHERE id = %(id)s

-- name: get_comparison --
SELECT id, state, models, correlation_id, deadline_at, created_at, finished_at FROM lab_comparisons WHERE id = %(id)s

-- name: members --
SELECT id, place, state, attempt, answer, error_code, error, errors, started_at, finished_at,
       request ->> 'model' AS model
FROM lab_requests WHERE comparison_id = %(comparison_id)s ORDER BY place

-- name: pending_members --
SELECT id FROM lab_requests WHERE comparison_id = %(comparison_id)s AND state = 'pending' ORDER BY place

-- name: lock_comparison --
SELECT id, version, correlation_id, deadline_at <= clock_timestamp() AS is_over
FROM lab_comparisons WHERE id = %(id)s AND state = 'running' FOR UPDATE

-- name: end_members --
-- pending | running -> failed: the comparison's deadline has passed. What still comes finds no lease any more.
WITH open AS (
    SELECT id FROM lab_requests
    WHERE comparison_id = %(comparison_id)s AND state IN ('pending', 'running')
    ORDER BY id
    FOR UPDATE
)
UPDATE lab_requests
SET state = 'failed', version = version + 1, lease_token = NULL, lease_until = NULL,
    error_code = %(error_code)s, error = %(error)s, finished_at = clock_timestamp()
FROM open
WHERE lab_requests.id = open.id
RETURNING lab_requests.id, comparison_id, version, attempt, correlation_id

-- name: conclude --
-- running -> succeeded (all have answered), partial (some have), failed (none has); not while one is still open.
UPDATE lab_comparisons
SET state = members.state, version = version + 1, finished_at = clock_timestamp()
FROM (
    SELECT CASE WHEN bool_and(state = 'succeeded') THEN 'succeeded'
                WHEN bool_or(state = 'succeeded') THEN 'partial' ELSE 'failed' END AS state
    FROM lab_requests WHERE comparison_id = %(id)s
    HAVING bool_and(state IN ('succeeded', 'failed'))
) AS members
WHERE id = %(id)s AND lab_comparisons.state = 'running'
RETURNING id, lab_comparisons.state, version, correlation_id

-- name: open_comparisons --
-- What the sweeper concludes: those past their deadline, and those whose members have all ended, the chord lost.
SELECT id FROM lab_comparisons
WHERE state = 'running' AND (
    deadline_at < clock_timestamp() OR NOT EXISTS (
        SELECT 1 FROM lab_requests
        WHERE comparison_id = lab_comparisons.id AND state IN ('pending', 'running')
    )
)
ORDER BY deadline_at
LIMIT %(limit)s

-- name: counts --
SELECT state, count(*) AS count FROM lab_requests WHERE state = 'pending' OR state = 'running' GROUP BY state

-- name: delete_old_requests --
DELETE FROM lab_requests
WHERE id IN (
    SELECT id FROM lab_requests
    WHERE finished_at < now() - %(keep_days)s * interval '1 day' AND comparison_id IS NULL
    ORDER BY finished_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)

-- name: delete_old_comparisons --
DELETE FROM lab_comparisons
WHERE id IN (
    SELECT id FROM lab_comparisons
    WHERE finished_at < now() - %(keep_days)s * interval '1 day'
    ORDER BY finished_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
