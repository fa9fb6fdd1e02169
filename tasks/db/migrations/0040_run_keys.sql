-- Idempotency keys belong to who sends them: two clients that use the same key mean two runs, or two signals.
-- Runs are found by their correlation id.

ALTER TABLE runs ADD COLUMN idempotency_scope text NOT NULL DEFAULT '';

DROP INDEX runs_idempotency;
CREATE UNIQUE INDEX runs_idempotency ON runs (idempotency_scope, idempotency_key) WHERE idempotency_key IS NOT NULL;

DROP INDEX signals_idempotency;
CREATE UNIQUE INDEX signals_idempotency ON signals (run_id, sent_by, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE INDEX runs_by_correlation ON runs (correlation_id, id DESC);
