-- Workflows: definitions, their runs, the steps of a run and the items of its maps.
-- `place` is a step's number in an order in which every step stands after its parents, so that locks that are taken in
-- order of place are taken in one order by everybody. What undoes a step has a row of its own behind the others.

CREATE TABLE definitions (
    id           uuid        PRIMARY KEY,
    name         text        NOT NULL,
    -- None: it came with a run and has no name of its own to be asked for by.
    version      text,
    content_hash text        NOT NULL,
    definition   jsonb       NOT NULL,
    description  text        NOT NULL DEFAULT '',
    tags         text[]      NOT NULL DEFAULT '{}',
    step_count   integer     NOT NULL CHECK (step_count > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text
);

CREATE UNIQUE INDEX definitions_version ON definitions (name, version) WHERE version IS NOT NULL;
CREATE UNIQUE INDEX definitions_inline ON definitions (content_hash) WHERE version IS NULL;
-- Ids are UUIDs of version 7, so the newest of a name has the greatest.
CREATE INDEX definitions_newest ON definitions (name, id DESC) WHERE version IS NOT NULL;

-- Who waits for whom, once for each definition: its runs share it.
CREATE TABLE edges (
    definition_id uuid    NOT NULL REFERENCES definitions ON DELETE CASCADE,
    parent        integer NOT NULL,
    child         integer NOT NULL CHECK (child > parent),
    PRIMARY KEY (definition_id, parent, child)
);

CREATE TABLE runs (
    id              uuid        PRIMARY KEY,
    definition_id   uuid        NOT NULL REFERENCES definitions,
    name            text        NOT NULL,
    definition_version text,
    state           text        NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'running', 'paused', 'succeeded', 'failed', 'cancelled', 'compensating',
                         'compensated', 'timed_out')),
    version         integer     NOT NULL DEFAULT 1,
    priority        smallint    NOT NULL CHECK (priority BETWEEN 1 AND 10),
    tags            text[]      NOT NULL DEFAULT '{}',
    metadata        jsonb       NOT NULL DEFAULT '{}',
    input           jsonb       NOT NULL,
    output          jsonb,
    error_code      text,
    error           text,
    correlation_id  text        NOT NULL,
    -- Who asked for it: the name of a key, or schedule:…, trigger:…, kafka, run:….
    submitted_by    text        NOT NULL,
    idempotency_key text,
    body_digest     text,
    concurrency_key text,
    max_parallel    integer     CHECK (max_parallel > 0),
    -- How many steps that nothing depends on have not ended; none left is the end of the run.
    open_leaves     integer     NOT NULL CHECK (open_leaves >= 0),
    parent_run_id   uuid,
    parent_place    integer,
    depth           smallint    NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    -- When the clock looks at it next: at its time-out, or to begin it, or to end it.
    due_at          timestamptz,
    deadline_at     timestamptz NOT NULL,
    CONSTRAINT runs_end_time CHECK (
        (state IN ('succeeded', 'failed', 'cancelled', 'compensated', 'timed_out')) = (finished_at IS NOT NULL)
    )
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE UNIQUE INDEX runs_idempotency ON runs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_by_name ON runs (name, id DESC);
CREATE INDEX runs_open ON runs (id DESC) WHERE finished_at IS NULL;
CREATE INDEX runs_by_state ON runs (state, id DESC);
CREATE INDEX runs_by_tag ON runs USING gin (tags);
CREATE INDEX runs_concurrency ON runs (name, concurrency_key, state) WHERE concurrency_key IS NOT NULL AND finished_at IS NULL;
CREATE INDEX runs_children ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE steps (
    run_id       uuid        NOT NULL REFERENCES runs ON DELETE CASCADE,
    place        integer     NOT NULL CHECK (place >= 0),
    key          text        NOT NULL,
    kind         text        NOT NULL,
    state        text        NOT NULL
        CHECK (state IN ('pending', 'ready', 'running', 'retrying', 'waiting', 'succeeded', 'failed', 'skipped',
                         'cancelled', 'timed_out')),
    version      integer     NOT NULL DEFAULT 1,
    attempt      integer     NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- Of its parents: how many have not ended; of those that have, how many succeeded, how many can't be passed over,
    -- how many are branches that name this step, and how many of these chose it. They say what becomes of it.
    pending      integer     NOT NULL CHECK (pending >= 0),
    passed       integer     NOT NULL DEFAULT 0,
    blocked      integer     NOT NULL DEFAULT 0,
    named        integer     NOT NULL DEFAULT 0,
    chosen       integer     NOT NULL DEFAULT 0,
    queue        text        NOT NULL,
    priority     smallint    NOT NULL,
    lease_token  uuid,
    -- Whether the lease is of several steps together: then its attempt is not counted should the worker die.
    bundled      boolean     NOT NULL DEFAULT false,
    -- When the clock looks at it next. running: the lease's end; retrying: when it may run; waiting: when it is woken;
    -- ready: when a message that was lost is made good.
    due_at       timestamptz,
    waits_for    text        CHECK (waits_for IN ('time', 'signal', 'decision', 'run', 'items')),
    signal_name  text,
    items_open   integer,
    child_run_id uuid,
    compensates  integer,
    arguments    jsonb,
    output       jsonb,
    error_code   text,
    error        text,
    started_at   timestamptz,
    finished_at  timestamptz,
    PRIMARY KEY (run_id, place),
    CONSTRAINT steps_end_time CHECK (
        (state IN ('succeeded', 'failed', 'skipped', 'cancelled', 'timed_out')) = (finished_at IS NOT NULL)
    ),
    CONSTRAINT steps_lease CHECK ((state = 'running') = (lease_token IS NOT NULL)),
    CONSTRAINT steps_waits CHECK ((state = 'waiting') = (waits_for IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX steps_due ON steps (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX steps_of_child ON steps (child_run_id) WHERE child_run_id IS NOT NULL;

CREATE TABLE step_items (
    run_id      uuid        NOT NULL,
    place       integer     NOT NULL,
    index       integer     NOT NULL CHECK (index >= 0),
    state       text        NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'running', 'retrying', 'succeeded', 'failed')),
    attempt     integer     NOT NULL DEFAULT 0,
    item        jsonb       NOT NULL,
    output      jsonb,
    error_code  text,
    error       text,
    lease_token uuid,
    bundled     boolean     NOT NULL DEFAULT false,
    due_at      timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (run_id, place, index),
    FOREIGN KEY (run_id, place) REFERENCES steps ON DELETE CASCADE,
    CONSTRAINT step_items_end_time CHECK ((state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT step_items_lease CHECK ((state = 'running') = (lease_token IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX step_items_due ON step_items (due_at) WHERE due_at IS NOT NULL;

-- What came from outside for a run. A signal that comes before its step waits is kept for it.
CREATE TABLE signals (
    id          uuid        PRIMARY KEY,
    run_id      uuid        NOT NULL REFERENCES runs ON DELETE CASCADE,
    name        text        NOT NULL,
    payload     jsonb       NOT NULL,
    sent_by     text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    taken_by    integer,
    idempotency_key text
);

CREATE INDEX signals_of_run ON signals (run_id, name, id);
CREATE UNIQUE INDEX signals_idempotency ON signals (run_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Outputs that a later step with the same key may take (`cache` of a step).
CREATE TABLE step_cache (
    key        text        PRIMARY KEY,
    output     jsonb       NOT NULL,
    run_id     uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX step_cache_expired ON step_cache (expires_at);

-- In the words of earlier tools, for analysts.
CREATE VIEW workflows AS
SELECT id AS workflow_id, name, definition_version AS version, state, priority, tags, input, output, error_code, error,
       correlation_id, submitted_by, created_at, started_at, finished_at,
       extract(epoch FROM finished_at - started_at) AS duration_s
FROM runs;

CREATE VIEW workflow_tasks AS
SELECT run_id AS workflow_id, key AS task_key, kind, state, attempt, arguments, output, error_code, error, started_at,
       finished_at, extract(epoch FROM finished_at - started_at) AS duration_s
FROM steps;
