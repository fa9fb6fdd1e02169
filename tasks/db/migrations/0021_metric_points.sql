-- Points of OTLP metrics, and one view of all that the rollups are made of.

-- What one data point adds to the rollups: the values of many executions at once, without the executions.
CREATE TABLE metric_points (
    id          bigint      PRIMARY KEY DEFAULT nextval('metric_row_id_seq'),
    batch_id    uuid        NOT NULL,
    -- Digest of the stream's identity and the point's times: a point that is sent again has the same.
    point_key   bytea       NOT NULL,
    metric      text        NOT NULL,
    kind        text        NOT NULL
        CHECK (kind IN ('latency_ms', 'first_token_latency_ms', 'tokens_per_second', 'input_tokens', 'output_tokens')),
    at          timestamptz NOT NULL,
    model       text        NOT NULL,
    provider    text        NOT NULL,
    task_type   text        NOT NULL,
    model_tier  text        NOT NULL,
    environment text        NOT NULL,
    -- Null where the executions were successful.
    error_type  text,
    count       bigint      NOT NULL CHECK (count >= 0),
    sum         numeric     NOT NULL,
    -- Of the buckets' middles: a histogram does not tell more.
    sum_sq      numeric     NOT NULL,
    histogram   histogram,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX metric_points_key ON metric_points (point_key);
CREATE INDEX metric_points_at ON metric_points (at);

-- Where the cumulative streams of OTLP stand, so that what a point adds can be told from the one before.
CREATE TABLE metric_streams (
    stream_key bytea       PRIMARY KEY,
    start_ns   bigint      NOT NULL,
    last_ns    bigint      NOT NULL,
    last_point jsonb       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX metric_streams_updated ON metric_streams (updated_at);

-- Of successful executions that gave any tokens.
ALTER TABLE model_executions ADD COLUMN tokens_per_second numeric GENERATED ALWAYS AS (
    CASE WHEN success AND output_tokens > 0 AND latency_ms > 0 THEN round(output_tokens * 1000 / latency_ms, 3) END
) STORED;

-- What each raw row adds to the rollups. An execution adds one value at most to a histogram (``…_index``), a point of
-- OTLP many (``…_values``).
CREATE VIEW metric_contributions AS
SELECT id, batch_id, started_at AS at, model, provider, task_type, model_tier, environment,
       1::bigint AS executions, success::integer::bigint AS successes,
       CASE WHEN NOT success THEN coalesce(error_type, 'unknown') END AS error_type,
       retry_count::bigint AS retries, (escalated_to_tier IS NOT NULL)::integer::bigint AS escalations,
       1::bigint AS latency_ms_count, latency_ms AS latency_ms_sum, latency_ms * latency_ms AS latency_ms_sum_sq,
       histogram_index(latency_ms::double precision) AS latency_ms_index, NULL::histogram AS latency_ms_values,
       (first_token_latency_ms IS NOT NULL)::integer::bigint AS first_token_latency_ms_count,
       first_token_latency_ms AS first_token_latency_ms_sum,
       first_token_latency_ms * first_token_latency_ms AS first_token_latency_ms_sum_sq,
       histogram_index(first_token_latency_ms::double precision) AS first_token_latency_ms_index,
       NULL::histogram AS first_token_latency_ms_values,
       (tokens_per_second IS NOT NULL)::integer::bigint AS tokens_per_second_count,
       tokens_per_second AS tokens_per_second_sum, tokens_per_second * tokens_per_second AS tokens_per_second_sum_sq,
       histogram_index(tokens_per_second::double precision) AS tokens_per_second_index,
       NULL::histogram AS tokens_per_second_values,
       input_tokens::numeric AS input_tokens, output_tokens::numeric AS output_tokens,
       quality_score, user_satisfaction, cost_usd, cost_usd IS NULL AS without_cost,
       input_tokens::numeric * input_tokens AS input_sq, output_tokens::numeric * output_tokens AS output_sq,
       input_tokens::numeric * output_tokens AS input_output
FROM model_executions
UNION ALL
SELECT id, batch_id, at, model, provider, task_type, model_tier, environment,
       CASE WHEN kind = 'latency_ms' THEN count ELSE 0 END,
       CASE WHEN kind = 'latency_ms' AND error_type IS NULL THEN count ELSE 0 END,
       CASE WHEN kind = 'latency_ms' THEN error_type END,
       0, 0,
       CASE WHEN kind = 'latency_ms' THEN count ELSE 0 END,
       CASE WHEN kind = 'latency_ms' THEN sum END, CASE WHEN kind = 'latency_ms' THEN sum_sq END,
       NULL, CASE WHEN kind = 'latency_ms' THEN histogram END,
       CASE WHEN kind = 'first_token_latency_ms' THEN count ELSE 0 END,
       CASE WHEN kind = 'first_token_latency_ms' THEN sum END,
       CASE WHEN kind = 'first_token_latency_ms' THEN sum_sq END,
       NULL, CASE WHEN kind = 'first_token_latency_ms' THEN histogram END,
       CASE WHEN kind = 'tokens_per_second' THEN count ELSE 0 END,
       CASE WHEN kind = 'tokens_per_second' THEN sum END, CASE WHEN kind = 'tokens_per_second' THEN sum_sq END,
       NULL, CASE WHEN kind = 'tokens_per_second' THEN histogram END,
       CASE WHEN kind = 'input_tokens' THEN sum ELSE 0 END, CASE WHEN kind = 'output_tokens' THEN sum ELSE 0 END,
       NULL, NULL, NULL, true,
       CASE WHEN kind = 'input_tokens' THEN sum_sq ELSE 0 END,
       CASE WHEN kind = 'output_tokens' THEN sum_sq ELSE 0 END,
       0
FROM metric_points;
