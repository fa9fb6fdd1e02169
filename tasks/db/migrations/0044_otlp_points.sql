-- OTLP points know who saw the calls, and how tokens of prompts and answers go together; streams are cheap to move on.

-- ``service`` and ``endpoint`` say who told of calls of what, where a figure must be traced back.
ALTER TABLE metric_points
    ADD COLUMN service      text,
    ADD COLUMN endpoint     text,
    -- Sum of input times output tokens, for the variance of costs. Metrics tell of both apart: it is estimated as if one
    -- did not depend on the other, and stands with the point of the output tokens.
    ADD COLUMN input_output numeric NOT NULL DEFAULT 0;

-- Every export moves all of its streams on: without an index on the time that is a small update in place (HOT), and who
-- looks for silent streams, once a day, reads the table through.
DROP INDEX metric_streams_updated;
ALTER TABLE metric_streams SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON COLUMN metric_streams.stream_key IS
    'Digest of the identity of the stream and of its start: one that begins anew is another.';

-- What each raw row adds to the rollups, as before, with ``input_output`` of points.
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
