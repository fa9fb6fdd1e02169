-- Schedules: workflows that begin by the clock, and what became of each tick.

CREATE TABLE schedules (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL UNIQUE,
    state          text        NOT NULL CHECK (state IN ('active', 'paused', 'ended')),
    version        integer     NOT NULL DEFAULT 1,
    cron           text,
    every_s        integer     CHECK (every_s > 0),
    timezone       text        NOT NULL,
    starts_at      timestamptz,
    ends_at        timestamptz,
    jitter_s       integer     NOT NULL CHECK (jitter_s >= 0),
    catch_up       text        NOT NULL CHECK (catch_up IN ('skip', 'one', 'all')),
    catch_up_limit integer     NOT NULL CHECK (catch_up_limit > 0),
    grace_s        integer     NOT NULL CHECK (grace_s >= 0),
    overlap        text        NOT NULL CHECK (overlap IN ('allow', 'skip')),
    workflow       text        NOT NULL,
    workflow_version text,
    input          jsonb       NOT NULL,
    priority       smallint    CHECK (priority BETWEEN 1 AND 10),
    tags           text[]      NOT NULL,
    metadata       jsonb       NOT NULL,
    -- The tick to come, and when it is to be looked at: the tick, and its jitter.
    next_tick      timestamptz,
    due_at         timestamptz,
    last_tick      timestamptz,
    last_run_id    uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text        NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schedules_cadence CHECK ((cron IS NULL) <> (every_s IS NULL)),
    CONSTRAINT schedules_next CHECK (
        (state = 'active') = (due_at IS NOT NULL) AND (due_at IS NULL) = (next_tick IS NULL)
    )
) WITH (fillfactor = 70);

CREATE INDEX schedules_due ON schedules (due_at) WHERE due_at IS NOT NULL;

-- One row for each tick that a schedule came to: a second one for the same tick is impossible. Of ticks that were
-- missed together, the last stands for all.
CREATE TABLE schedule_ticks (
    schedule_id uuid        NOT NULL REFERENCES schedules ON DELETE CASCADE,
    tick        timestamptz NOT NULL,
    manual      boolean     NOT NULL DEFAULT false,
    outcome     text        NOT NULL CHECK (outcome IN ('started', 'overlapped', 'missed', 'failed')),
    run_id      uuid,
    detail      text,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schedule_id, tick, manual),
    CONSTRAINT schedule_ticks_run CHECK ((outcome = 'started') = (run_id IS NOT NULL))
);

CREATE INDEX schedule_ticks_recorded ON schedule_ticks (recorded_at);
