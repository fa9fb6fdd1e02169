-- Questions to the lab that a worker carries, and comparisons of several models, which are made of such questions.

CREATE TABLE lab_comparisons (
    id              uuid        PRIMARY KEY,
    state           text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'partial', 'failed')),
    version         integer     NOT NULL DEFAULT 1,
    models          text[]      NOT NULL CHECK (cardinality(models) > 0),
    correlation_id  text        NOT NULL,
    idempotency_key text        UNIQUE,
    body_digest     bytea       NOT NULL,
    -- What has not come by then does not count any more.
    deadline_at     timestamptz NOT NULL,
    hinted_at       timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT lab_comparisons_end CHECK ((state = 'running') = (finished_at IS NULL))
) WITH (fillfactor = 70);

CREATE INDEX lab_comparisons_open ON lab_comparisons (deadline_at) WHERE state = 'running';
CREATE INDEX lab_comparisons_finished ON lab_comparisons (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE lab_requests (
    id              uuid        PRIMARY KEY,
    comparison_id   uuid        REFERENCES lab_comparisons (id) ON DELETE CASCADE,
    place           integer     NOT NULL DEFAULT 0,
    state           text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'succeeded', 'failed')),
    version         integer     NOT NULL DEFAULT 1,
    request         jsonb       NOT NULL,
    timeout_s       float8      NOT NULL CHECK (timeout_s > 0),
    -- How many workers took it. One that died leaves behind what it was just asking, in under_way.
    attempt         integer     NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    under_way       jsonb,
    lease_token     uuid,
    lease_until     timestamptz,
    correlation_id  text        NOT NULL,
    idempotency_key text        UNIQUE,
    body_digest     bytea,
    answer          jsonb,
    error_code      text,
    error           text,
    errors          jsonb,
    hinted_at       timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    CONSTRAINT lab_requests_end CHECK ((state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT lab_requests_lease CHECK ((state = 'running') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT lab_requests_answer CHECK ((state = 'succeeded') = (answer IS NOT NULL)),
    CONSTRAINT lab_requests_reason CHECK ((state = 'failed') = (error IS NOT NULL))
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX lab_requests_of_comparison ON lab_requests (comparison_id, place) WHERE comparison_id IS NOT NULL;
CREATE INDEX lab_requests_pending ON lab_requests (hinted_at) WHERE state = 'pending';
CREATE INDEX lab_requests_leased ON lab_requests (lease_until) WHERE state = 'running';
CREATE INDEX lab_requests_finished ON lab_requests (finished_at) WHERE finished_at IS NOT NULL;
