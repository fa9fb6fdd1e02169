-- How the lab's endpoints did, from the executions that they made. The rollups know no endpoints, so executions are read:
-- from the index that holds just those of endpoints, with all that is said here, and added up without sorting.

-- name: sums --
SELECT endpoint, model, error_type, count(*) AS attempts, count(*) FILTER (WHERE success) AS successes,
       count(escalated_to_tier) AS escalations,
       sum(latency_ms) FILTER (WHERE success) AS latency,
       sum(first_token_latency_ms) FILTER (WHERE success) AS first_token,
       count(first_token_latency_ms) FILTER (WHERE success) AS first_tokens,
       sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
       sum(output_tokens) FILTER (WHERE success AND latency_ms > 0) AS spoken_tokens,
       sum(latency_ms) FILTER (WHERE success AND latency_ms > 0 AND output_tokens > 0) AS speaking_ms,
       sum(quality_score) AS quality, count(quality_score) AS scored
FROM model_executions
WHERE endpoint = ANY(%(endpoints)s::text[]) AND started_at >= %(since)s AND started_at < %(until)s
GROUP BY endpoint, model, error_type

-- name: histograms --
-- Of attempts that succeeded; ``first``: the times to the first token, else the latencies.
SELECT endpoint, model, false AS first, histogram_index(latency_ms::float8) AS index, count(*) AS count
FROM model_executions
WHERE endpoint = ANY(%(endpoints)s::text[]) AND started_at >= %(since)s AND started_at < %(until)s AND success
GROUP BY 1, 2, 4
UNION ALL
SELECT endpoint, model, true, histogram_index(first_token_latency_ms::float8), count(*)
FROM model_executions
WHERE endpoint = ANY(%(endpoints)s::text[]) AND started_at >= %(since)s AND started_at < %(until)s AND success
  AND first_token_latency_ms IS NOT NULL
GROUP BY 1, 2, 4
