-- The AI Lab's servers of models. Secrets are not here, only their names.

CREATE TABLE lab_endpoints (
    id                    uuid        PRIMARY KEY,
    name                  text        NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$'),
    kind                  text        NOT NULL CHECK (kind IN ('ollama', 'openai')),
    url                   text        NOT NULL CHECK (url ~ '^https?://'),
    tier                  text        NOT NULL
        CHECK (tier IN ('tiny', 'small', 'medium', 'large', 'xlarge', 'huge', 'custom', 'cloud')),
    models                text[]      NOT NULL DEFAULT '{}',
    model_tiers           jsonb       NOT NULL DEFAULT '{}',
    provider              text,
    secret                text        CHECK (secret ~ '^[A-Z][A-Z0-9_]{0,62}$'),
    max_concurrency       integer     NOT NULL CHECK (max_concurrency BETWEEN 1 AND 10000),
    connect_timeout_s     float8      NOT NULL CHECK (connect_timeout_s > 0),
    first_token_timeout_s float8      NOT NULL CHECK (first_token_timeout_s > 0),
    enabled               boolean     NOT NULL DEFAULT true,
    -- What the last health check found.
    state                 text        NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'healthy', 'unhealthy')),
    check_due_at          timestamptz NOT NULL DEFAULT now(),
    checked_at            timestamptz,
    check_latency_ms      float8,
    check_error           text,
    -- The circuit. Open: nothing passes until circuit_until. Half open: one call is under way to try it, and if nothing
    -- was heard of that one by circuit_until, another may.
    circuit               text        NOT NULL DEFAULT 'closed' CHECK (circuit IN ('closed', 'open', 'half_open')),
    failures              integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    openings              integer     NOT NULL DEFAULT 0 CHECK (openings >= 0),
    circuit_until         timestamptz,
    -- The server asked to be left alone until then (Retry-After).
    paused_until          timestamptz,
    version               integer     NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lab_endpoints_circuit CHECK ((circuit = 'closed') = (circuit_until IS NULL)),
    CONSTRAINT lab_endpoints_checked CHECK ((state = 'unknown') = (checked_at IS NULL))
) WITH (fillfactor = 70);

-- What each endpoint offered when it was last asked.
CREATE TABLE lab_models (
    endpoint_id   uuid        NOT NULL REFERENCES lab_endpoints (id) ON DELETE CASCADE,
    model         text        NOT NULL,
    details       jsonb       NOT NULL DEFAULT '{}',
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (endpoint_id, model)
);
