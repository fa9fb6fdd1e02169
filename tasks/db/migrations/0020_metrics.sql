-- Model metrics: executions as they were told, the batches and chunks they came in, and rollups with histograms.

-- ------------------------------------------------------------- histograms

-- An exponential histogram as OpenTelemetry has it (Metrics data model, "ExponentialHistogram"), at scale 6 and sparse:
-- bucket i counts the values in (2^(i/64), 2^((i+1)/64)], indexes ascend, counts are not 0. A bucket's middle is within
-- 0.542 % of all its values: (b - 1) / (b + 1) with b = 2^(1/64). Two histograms merge by adding counts, without loss
-- (Masson et al., "DDSketch", VLDB 2019, section 2.3). Index -32768 counts what is 0, or below 1e-9.
CREATE TYPE histogram AS (indexes integer[], counts bigint[]);

CREATE FUNCTION histogram_index(value double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value >= 1e-9 THEN ceil(ln(value) / ln(2::double precision) * 64)::integer - 1
            WHEN value IS NOT NULL THEN -32768 END;

-- The value that stands for a bucket: the one with the least relative error.
CREATE FUNCTION histogram_value(index integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN index > -32768 THEN 2 * power(2::double precision, (index + 1) / 64.0::double precision)
                                     / (1 + power(2::double precision, 1 / 64.0::double precision))
            WHEN index IS NOT NULL THEN 0 END;

CREATE FUNCTION histogram_merge(a histogram, b histogram) RETURNS histogram
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN a IS NULL THEN b WHEN b IS NULL THEN a ELSE (
        SELECT ROW(array_agg(index ORDER BY index), array_agg(count ORDER BY index))::histogram
        FROM (
            SELECT index, sum(count)::bigint AS count
            FROM (
                SELECT unnest((a).indexes) AS index, unnest((a).counts) AS count
                UNION ALL
                SELECT unnest((b).indexes), unnest((b).counts)
            ) AS both_sides
            GROUP BY index
        ) AS merged
    ) END
$$;

-- Merges any number of histograms. For thousands of rows, unnest indexes and counts and GROUP BY index: far faster.
CREATE AGGREGATE histogram_sum(histogram) (
    SFUNC = histogram_merge, STYPE = histogram, COMBINEFUNC = histogram_merge, PARALLEL = SAFE
);

-- The q-quantile by nearest rank, as percentile_disc has it, within 0.542 %; null of nothing.
CREATE FUNCTION histogram_quantile(h histogram, q double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT histogram_value(index)
    FROM (
        SELECT index, sum(count) OVER (ORDER BY index) AS up_to, sum(count) OVER () AS total
        FROM (SELECT unnest((h).indexes) AS index, unnest((h).counts) AS count) AS buckets
    ) AS ranked
    WHERE up_to >= q * total
    ORDER BY index
    LIMIT 1
$$;

-- The sum of two objects of counts by name, as {"timeout": 3, "http_429": 1}.
CREATE FUNCTION counts_merge(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN a = '{}' THEN b WHEN b = '{}' THEN a ELSE (
        SELECT jsonb_object_agg(name, count)
        FROM (
            SELECT name, sum(count::bigint) AS count
            FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) AS both_sides (name, count)
            GROUP BY name
        ) AS merged
    ) END
$$;

-- ------------------------------------------------------- batches, chunks

-- One row for each accepted batch. ``recorded`` of its rows were new; ``counted`` is what was found when it was closed.
CREATE TABLE metric_batches (
    id             uuid        PRIMARY KEY,
    source         text        NOT NULL CHECK (source IN ('http', 'otlp', 'import', 'lab', 'service')),
    state          text        NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'closed')),
    version        integer     NOT NULL DEFAULT 1,
    submitted      integer     NOT NULL,
    recorded       integer     NOT NULL CHECK (recorded > 0),
    chunks         integer     NOT NULL CHECK (chunks > 0),
    counted        integer,
    correlation_id text,
    received_at    timestamptz NOT NULL DEFAULT now(),
    -- When its chunks were last sent on their way, by a chord; nobody else takes them for a while.
    dispatched_at  timestamptz,
    closed_at      timestamptz,
    CONSTRAINT metric_batches_end CHECK ((state = 'closed') = (closed_at IS NOT NULL AND counted IS NOT NULL))
);

CREATE INDEX metric_batches_open ON metric_batches (received_at) WHERE state = 'received';
CREATE INDEX metric_batches_received ON metric_batches (received_at);

-- Ids of all raw rows, so that a range of ids is of one chunk and kind.
CREATE SEQUENCE metric_row_id_seq AS bigint CACHE 1;

-- A chunk is applied to the rollups in the transaction that marks it: so it counts once.
CREATE TABLE metric_chunks (
    batch_id   uuid        NOT NULL REFERENCES metric_batches ON DELETE CASCADE,
    chunk      integer     NOT NULL,
    first_id   bigint      NOT NULL,
    last_id    bigint      NOT NULL,
    rows       integer     NOT NULL,
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'applied')),
    applied_at timestamptz,
    PRIMARY KEY (batch_id, chunk),
    CONSTRAINT metric_chunks_end CHECK ((state = 'applied') = (applied_at IS NOT NULL))
) WITH (fillfactor = 80);

CREATE INDEX metric_chunks_waiting ON metric_chunks (first_id) WHERE state = 'waiting';

-- ------------------------------------------------------------ executions

-- Not partitioned: a repeat counts as one however much later it comes, so execution_id is unique over all days.
CREATE TABLE model_executions (
    id                     bigint         PRIMARY KEY DEFAULT nextval('metric_row_id_seq'),
    batch_id               uuid           NOT NULL,
    execution_id           text           NOT NULL,
    model                  text           NOT NULL,
    provider               text           NOT NULL DEFAULT '',
    endpoint               text,
    model_tier             text           NOT NULL
        CHECK (model_tier IN ('tiny', 'small', 'medium', 'large', 'xlarge', 'huge', 'custom', 'cloud')),
    task_type              text           NOT NULL,
    environment            text           NOT NULL,
    started_at             timestamptz    NOT NULL,
    completed_at           timestamptz,
    latency_ms             numeric(14, 3) NOT NULL CHECK (latency_ms >= 0),
    first_token_latency_ms numeric(14, 3) CHECK (first_token_latency_ms >= 0),
    input_tokens           bigint         NOT NULL CHECK (input_tokens >= 0),
    output_tokens          bigint         NOT NULL CHECK (output_tokens >= 0),
    context_size           bigint         CHECK (context_size >= 0),
    task_complexity        text,
    success                boolean        NOT NULL,
    error_type             text,
    error_message          text,
    quality_score          numeric(7, 6)  CHECK (quality_score BETWEEN 0 AND 1),
    user_satisfaction      numeric(7, 6)  CHECK (user_satisfaction BETWEEN 1 AND 5),
    retry_count            integer        NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    escalated_to_tier      text,
    cost_usd               numeric(20, 10) CHECK (cost_usd >= 0),
    metadata               jsonb,
    recorded_at            timestamptz    NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE UNIQUE INDEX model_executions_execution ON model_executions (execution_id);
CREATE INDEX model_executions_started ON model_executions (started_at);

-- --------------------------------------------------------------- rollups

-- Sums are numeric, so that they are exact and do not depend on the order in which rows came. Empty text stands for a
-- dimension that was not given. ``_count`` says how many executions told that value.
CREATE TABLE model_rollups (
    grain                        text        NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
    bucket                       timestamptz NOT NULL,
    model                        text        NOT NULL,
    provider                     text        NOT NULL,
    task_type                    text        NOT NULL,
    model_tier                   text        NOT NULL,
    environment                  text        NOT NULL,

    executions                   bigint      NOT NULL,
    successes                    bigint      NOT NULL,
    error_types                  jsonb       NOT NULL DEFAULT '{}',
    retries                      bigint      NOT NULL,
    escalations                  bigint      NOT NULL,

    latency_ms_count             bigint      NOT NULL,
    latency_ms_sum               numeric     NOT NULL,
    latency_ms_sum_sq            numeric     NOT NULL,
    latency_ms                   histogram,
    first_token_latency_ms_count bigint      NOT NULL,
    first_token_latency_ms_sum   numeric     NOT NULL,
    first_token_latency_ms_sum_sq numeric    NOT NULL,
    first_token_latency_ms       histogram,
    -- Output tokens over latency, of successful executions that gave any.
    tokens_per_second_count      bigint      NOT NULL,
    tokens_per_second_sum        numeric     NOT NULL,
    tokens_per_second_sum_sq     numeric     NOT NULL,
    tokens_per_second            histogram,

    input_tokens                 numeric     NOT NULL,
    output_tokens                numeric     NOT NULL,
    quality_score_count          bigint      NOT NULL,
    quality_score_sum            numeric     NOT NULL,
    quality_score_sum_sq         numeric     NOT NULL,
    user_satisfaction_count      bigint      NOT NULL,
    user_satisfaction_sum        numeric     NOT NULL,
    user_satisfaction_sum_sq     numeric     NOT NULL,
    -- Of executions that told what they cost.
    cost_usd_count               bigint      NOT NULL,
    cost_usd_sum                 numeric     NOT NULL,
    cost_usd_sum_sq              numeric     NOT NULL,
    -- Of those that did not: what a price table needs for their cost, its mean and its variance.
    without_cost_count           bigint      NOT NULL,
    without_cost_input           numeric     NOT NULL,
    without_cost_output          numeric     NOT NULL,
    without_cost_input_sq        numeric     NOT NULL,
    without_cost_output_sq       numeric     NOT NULL,
    without_cost_input_output    numeric     NOT NULL,

    PRIMARY KEY (grain, bucket, model, provider, task_type, model_tier, environment)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX model_rollups_by_model ON model_rollups (grain, model, bucket);
