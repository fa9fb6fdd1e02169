-- How the lab's endpoints did, from the executions that they made. The rollups know no endpoints, so raw rows are read:
-- those of a few days at most, by the index of their time.

-- name: performance --
SELECT
    endpoint, model,
    count(*) AS attempts,
    avg(success::integer)::float8 AS success_rate,
    count(escalated_to_tier) AS escalations,
    avg(latency_ms) FILTER (WHERE success)::float8 AS latency_mean,
    percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms::float8) FILTER (WHERE success)
        AS latency,
    avg(first_token_latency_ms) FILTER (WHERE success)::float8 AS first_token_mean,
    percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY first_token_latency_ms::float8)
        FILTER (WHERE success AND first_token_latency_ms IS NOT NULL) AS first_token,
    sum(input_tokens)::bigint AS input_tokens,
    sum(output_tokens)::bigint AS output_tokens,
    (sum(output_tokens) FILTER (WHERE success AND latency_ms > 0)
        / nullif(sum(latency_ms) FILTER (WHERE success AND output_tokens > 0 AND latency_ms > 0), 0) * 1000)::float8
        AS tokens_per_second,
    avg(quality_score)::float8 AS quality_score
FROM model_executions
WHERE started_at >= %(since)s AND started_at < %(until)s AND endpoint = ANY(%(endpoints)s::text[])
GROUP BY GROUPING SETS ((endpoint), (model))
ORDER BY endpoint, model

-- name: errors --
SELECT endpoint, model, error_type, count(*) AS count
FROM model_executions
WHERE started_at >= %(since)s AND started_at < %(until)s AND endpoint = ANY(%(endpoints)s::text[]) AND NOT success
GROUP BY GROUPING SETS ((endpoint, error_type), (model, error_type))
ORDER BY endpoint, model, error_type
