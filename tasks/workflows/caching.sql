-- Outputs of steps that a later step with the same key may take. Losing one costs time only.

-- name: find --
SELECT output, run_id FROM step_cache WHERE key = %(key)s AND expires_at > now()

-- name: store --
-- Whoever finds another at the same key leaves it to that one: completions must not wait for each other here.
INSERT INTO step_cache (key, output, run_id, expires_at)
SELECT %(key)s, %(output)s::jsonb, %(run_id)s::uuid, now() + make_interval(secs => %(ttl_s)s)
WHERE pg_try_advisory_xact_lock(hashtextextended(%(key)s, 5227))
ON CONFLICT (key) DO UPDATE
SET output = EXCLUDED.output, run_id = EXCLUDED.run_id, expires_at = EXCLUDED.expires_at

-- name: delete_expired --
DELETE FROM step_cache
WHERE key IN (
    SELECT key FROM step_cache WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
