-- Triggers: workflows that begin with a webhook, and what became of each webhook that one matched.

CREATE TABLE triggers (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL UNIQUE,
    state       text        NOT NULL CHECK (state IN ('active', 'paused')),
    version     integer     NOT NULL DEFAULT 1,
    -- Patterns; an empty list matches all.
    families    text[]      NOT NULL,
    event_types text[]      NOT NULL,
    sources     text[]      NOT NULL,
    filter      text,
    workflow    text        NOT NULL,
    workflow_version text,
    input       jsonb       NOT NULL,
    priority    smallint    CHECK (priority BETWEEN 1 AND 10),
    tags        text[]      NOT NULL,
    metadata    jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text        NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Counts the changes of all triggers, so that a worker which keeps them sees by one small row whether they are new.
CREATE TABLE trigger_changes (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    count bigint  NOT NULL
);

INSERT INTO trigger_changes (count) VALUES (0);

-- `hook_version` is the hook's at that handling: a replay is another.
CREATE TABLE trigger_firings (
    trigger_id   uuid        NOT NULL REFERENCES triggers ON DELETE CASCADE,
    hook_id      uuid        NOT NULL,
    hook_version integer     NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('started', 'failed')),
    run_id       uuid,
    detail       text,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (trigger_id, hook_id, hook_version),
    CONSTRAINT trigger_firings_run CHECK ((outcome = 'started') = (run_id IS NOT NULL))
);

CREATE INDEX trigger_firings_recent ON trigger_firings (trigger_id, recorded_at DESC);
CREATE INDEX trigger_firings_recorded ON trigger_firings (recorded_at);
