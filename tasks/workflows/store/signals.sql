-- The SQL of signals: what came from outside for a run, taken once by the first step that waits for its name.

-- name: insert --
INSERT INTO signals (id, run_id, name, payload, sent_by, idempotency_scope, idempotency_key)
VALUES (%(id)s, %(run_id)s, %(name)s, %(payload)s::jsonb, %(sent_by)s, %(idempotency_scope)s, %(idempotency_key)s)
ON CONFLICT (run_id, idempotency_scope, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id

-- name: by_key --
SELECT id, name, payload, taken_by FROM signals
WHERE run_id = %(run_id)s AND idempotency_scope = %(idempotency_scope)s AND idempotency_key = %(idempotency_key)s

-- name: take --
-- The oldest signal of this name that nobody took.
UPDATE signals SET taken_by = %(place)s
WHERE id = (
    SELECT id FROM signals
    WHERE run_id = %(run_id)s AND name = %(name)s AND taken_by IS NULL
    ORDER BY id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, payload, sent_by

-- name: waiting --
-- Who waits for this signal, the first by place.
SELECT place FROM steps
WHERE run_id = %(run_id)s AND state = 'waiting' AND waits_for = 'signal' AND signal_name = %(name)s
ORDER BY place
LIMIT 1
FOR UPDATE
