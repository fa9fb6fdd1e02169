-- Attempts of the lab that are under way: whoever asks a model says so first, so that a killed process leaves a record.

-- A row lives as long as its attempt and a lease more; then the sweeper takes it. ``record``: what would be recorded.
CREATE TABLE lab_attempts (
    execution_id   uuid        PRIMARY KEY,
    record         jsonb       NOT NULL,
    task_type      text        NOT NULL,
    metadata       jsonb       NOT NULL,
    correlation_id text,
    lease_until    timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX lab_attempts_lease ON lab_attempts (lease_until);

-- What a carried question was asking when its worker died stands there now, for every question alike.
ALTER TABLE lab_requests DROP COLUMN under_way;

-- The lab's attempts that nobody let finish, because their caller went away or their process died, say nothing of how a
-- model does: they are recorded, and count in no rollup.
CREATE OR REPLACE VIEW metric_contributions AS
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
WHERE endpoint IS NULL OR error_type IS NULL OR error_type NOT IN ('abandoned', 'cancelled')
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
       input_output
FROM metric_points;
