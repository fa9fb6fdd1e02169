-- The foundation: inbox, journal, sinks, mirrored task states, keys and audit.
-- Times are timestamptz; states are text under a CHECK; a terminal state has an end time, and only a terminal state has one.

-- ---------------------------------------------------------------- journal

CREATE SEQUENCE journal_id_seq AS bigint CACHE 1;

-- The relay reads in id order and waits for a missing id until every transaction that could own it has ended.
-- That is sound only if a transaction has its xid before it takes an id, so both are taken here, in this order.
CREATE FUNCTION journal_next_id() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_current_xact_id();
    RETURN nextval('journal_id_seq');
END $$;

CREATE TABLE journal (
    id             bigint      NOT NULL DEFAULT journal_next_id(),
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id       uuid        NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    version        integer     NOT NULL CHECK (version > 0),
    event_type     text        NOT NULL CHECK (event_type ~ '^[a-z][a-z0-9-]*$'),
    payload        jsonb       NOT NULL,
    correlation_id text,
    causation_id   text,
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (id, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE INDEX journal_aggregate ON journal (aggregate_type, aggregate_id, version);

-- Partitions are made ahead by a beat task. What falls outside all of them (a clock far off) is still kept.
CREATE TABLE journal_default PARTITION OF journal DEFAULT;

-- Makes the partition of one UTC day; does nothing where it exists. Returns its name.
CREATE FUNCTION journal_make_partition(day date) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    partition text := 'journal_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(partition) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF journal FOR VALUES FROM (%L) TO (%L)',
            partition,
            day::timestamp AT TIME ZONE 'UTC',
            (day + 1)::timestamp AT TIME ZONE 'UTC');
    END IF;
    RETURN partition;
END $$;

SELECT journal_make_partition((now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, 3) AS ahead;

-- One row for each loop that carries rows onward. 'journal' sinks hold back the dropping of partitions.
CREATE TABLE sink_cursors (
    sink            text        PRIMARY KEY,
    reads           text        NOT NULL CHECK (reads IN ('journal', 'stream')),
    position        bigint      NOT NULL DEFAULT 0,
    stream_position text        NOT NULL DEFAULT '0-0',
    note            text,
    detail          jsonb       NOT NULL DEFAULT '{}',
    updated_at      timestamptz NOT NULL DEFAULT now()
);

INSERT INTO sink_cursors (sink, reads) VALUES ('kafka', 'journal'), ('mirror', 'stream');

-- ------------------------------------------------------------------ inbox

CREATE TABLE inbox (
    id              uuid        PRIMARY KEY,
    source          text        NOT NULL,
    delivery_id     text,
    body_digest     bytea       NOT NULL,
    family          text        NOT NULL,
    event_type      text        NOT NULL,
    action          text        NOT NULL,
    resource        text        NOT NULL,
    resource_id     text        NOT NULL,
    schema_version  text        NOT NULL,
    environment     text        NOT NULL,
    body            jsonb       NOT NULL,
    correlation_id  text        NOT NULL,
    state           text        NOT NULL DEFAULT 'received'
        CHECK (state IN ('received', 'processing', 'retrying', 'handled', 'dead')),
    version         integer     NOT NULL DEFAULT 1,
    attempt         integer     NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_token     uuid,
    lease_until     timestamptz,
    error_code      text,
    error           text,
    received_at     timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT inbox_end_time CHECK ((state IN ('handled', 'dead')) = (finished_at IS NOT NULL)),
    CONSTRAINT inbox_lease CHECK ((state = 'processing') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT inbox_dead_reason CHECK (state <> 'dead' OR error IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- One delivery of one source is one row; the retention task clears the id when the idempotency window has passed.
CREATE UNIQUE INDEX inbox_delivery ON inbox (source, delivery_id) WHERE delivery_id IS NOT NULL;
-- What a handler may claim, oldest first. Small: only unfinished rows are in it.
CREATE INDEX inbox_due ON inbox (next_attempt_at) WHERE state IN ('received', 'retrying');
CREATE INDEX inbox_leased ON inbox (lease_until) WHERE state = 'processing';
CREATE INDEX inbox_dead ON inbox (id) WHERE state = 'dead';
CREATE INDEX inbox_finished ON inbox (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX inbox_by_source ON inbox (source, id);
CREATE INDEX inbox_by_type ON inbox (event_type, id);
CREATE INDEX inbox_keyed ON inbox (received_at) WHERE delivery_id IS NOT NULL;

-- ------------------------------------------------------------ task_states

CREATE TABLE task_states (
    task_id        text        PRIMARY KEY,
    name           text        NOT NULL,
    state          text        NOT NULL
        CHECK (state IN ('sent', 'received', 'started', 'retried', 'succeeded', 'failed', 'revoked', 'rejected', 'lost')),
    rank           smallint    NOT NULL,
    attempt        integer     NOT NULL DEFAULT 0,
    deliveries     integer     NOT NULL DEFAULT 0,
    version        integer     NOT NULL CHECK (version > 0),
    queue          text,
    worker         text,
    correlation_id text,
    parent_id      text,
    root_id        text,
    error_type     text,
    error          text,
    first_seen_at  timestamptz NOT NULL,
    started_at     timestamptz,
    finished_at    timestamptz,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT task_states_end_time
        CHECK ((state IN ('succeeded', 'failed', 'revoked', 'rejected', 'lost')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX task_states_recent ON task_states (first_seen_at DESC, task_id DESC);
CREATE INDEX task_states_by_name ON task_states (name, first_seen_at DESC, task_id DESC);
CREATE INDEX task_states_open ON task_states (updated_at) WHERE finished_at IS NULL;
CREATE INDEX task_states_finished ON task_states (finished_at) WHERE finished_at IS NOT NULL;

-- ----------------------------------------------------------------- access

CREATE TABLE api_keys (
    id           uuid        PRIMARY KEY,
    name         text        NOT NULL,
    prefix       text        NOT NULL,
    key_hash     bytea       NOT NULL UNIQUE,
    scopes       text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

CREATE TABLE security_audit_log (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id       uuid        NOT NULL UNIQUE,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    kind           text        NOT NULL CHECK (kind IN ('refusal', 'admin')),
    code           text        NOT NULL,
    actor          text,
    address        text,
    method         text,
    path           text,
    detail         text,
    correlation_id text
);

CREATE INDEX security_audit_log_recent ON security_audit_log (recorded_at);
