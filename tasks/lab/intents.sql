-- The SQL of attempts that are under way: begun, renewed while they last, and taken by the sweeper when nobody renews.

-- name: begin --
INSERT INTO lab_attempts (execution_id, record, task_type, metadata, correlation_id, lease_until)
VALUES (%(execution_id)s, %(record)s::jsonb, %(task_type)s, %(metadata)s::jsonb, %(correlation_id)s,
        clock_timestamp() + %(lease_s)s * interval '1 second')

-- name: renew --
UPDATE lab_attempts SET lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE execution_id = ANY(%(ids)s::uuid[])

-- name: over --
-- Those that nobody renews: they ended and were recorded, or their process is gone.
SELECT lab_attempts.execution_id, record, lab_attempts.task_type, lab_attempts.metadata, correlation_id,
       lease_until - %(lease_s)s * interval '1 second' AS seen_at,
       -- LIMIT, so that each is looked up: else all executions may be read for a few attempts.
       (SELECT true FROM model_executions
        WHERE model_executions.execution_id = lab_attempts.execution_id::text LIMIT 1) IS NOT NULL AS recorded
FROM lab_attempts
WHERE lease_until < statement_timestamp()
ORDER BY lease_until
LIMIT %(limit)s
FOR UPDATE OF lab_attempts SKIP LOCKED

-- name: forget --
DELETE FROM lab_attempts WHERE execution_id = ANY(%(ids)s::uuid[])
