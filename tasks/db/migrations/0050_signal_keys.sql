-- A signal's idempotency key belongs to the API key that sent it, as a run's does: two keys may have the same name.

ALTER TABLE signals ADD COLUMN idempotency_scope text NOT NULL DEFAULT '';

-- Those before are their sender's still: of the one key with that name, or else of the name.
UPDATE signals
SET idempotency_scope = coalesce(
    (SELECT min(id::text) FROM api_keys WHERE api_keys.name = sent_by HAVING count(*) = 1), sent_by
)
WHERE idempotency_key IS NOT NULL;

DROP INDEX signals_idempotency;
CREATE UNIQUE INDEX signals_idempotency ON signals (run_id, idempotency_scope, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
