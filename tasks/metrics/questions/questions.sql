-- Reads rollups: any parts of them, filtered and grouped as asked. A dimension by which nothing is grouped is ''. Each
-- part is looked up by itself (LATERAL … OFFSET 0): the planner, which can't know how short a part is, would else read
-- the whole table and hash it.

-- name: totals --
-- Sums, and percentiles and moments of logarithms from merged histograms, for each group and bucket of time. Groups are
-- numbered first, so that the many buckets of histograms are hashed by two small numbers.
WITH rows AS MATERIALIZED (
    SELECT CASE WHEN %(width_s)s::float IS NULL THEN %(origin)s::timestamptz
                ELSE date_bin(%(width_s)s::float * interval '1 second', bucket, %(origin)s::timestamptz) END AS at,
           CASE WHEN 'model' = ANY(%(by)s::text[]) THEN model ELSE '' END AS of_model,
           CASE WHEN 'provider' = ANY(%(by)s::text[]) THEN provider ELSE '' END AS of_provider,
           CASE WHEN 'task_type' = ANY(%(by)s::text[]) THEN task_type ELSE '' END AS of_task_type,
           CASE WHEN 'model_tier' = ANY(%(by)s::text[]) THEN model_tier ELSE '' END AS of_model_tier,
           CASE WHEN 'environment' = ANY(%(by)s::text[]) THEN environment ELSE '' END AS of_environment,
           executions, successes, retries, escalations,
           latency_ms_count, latency_ms_sum, latency_ms,
           first_token_latency_ms_count, first_token_latency_ms_sum, first_token_latency_ms,
           tokens_per_second_count, tokens_per_second_sum, input_tokens, output_tokens,
           quality_score_count, quality_score_sum, quality_score_sum_sq,
           user_satisfaction_count, user_satisfaction_sum, cost_usd_count, cost_usd_sum, cost_usd_sum_sq
    FROM unnest(%(grains)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS part (grain, since, until)
    CROSS JOIN LATERAL (
        SELECT * FROM model_rollups
        WHERE grain = part.grain AND bucket >= part.since AND bucket < part.until
          AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s::text[]))
          AND (%(provider)s::text IS NULL OR provider = %(provider)s::text)
          AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
          AND (%(model_tier)s::text IS NULL OR model_tier = %(model_tier)s::text)
          AND (%(environment)s::text IS NULL OR environment = %(environment)s::text)
        OFFSET 0
    ) AS rollup
), groups AS MATERIALIZED (
    SELECT row_number() OVER () AS id, *
    FROM (SELECT DISTINCT at, of_model, of_provider, of_task_type, of_model_tier, of_environment FROM rows) AS found
), numbered AS MATERIALIZED (
    SELECT id, rows.*
    FROM rows JOIN groups USING (at, of_model, of_provider, of_task_type, of_model_tier, of_environment)
), sums AS (
    SELECT id, sum(executions) AS executions, sum(successes) AS successes, sum(retries) AS retries,
           sum(escalations) AS escalations,
           sum(latency_ms_count) AS latency_count, sum(latency_ms_sum) AS latency_sum,
           sum(first_token_latency_ms_count) AS first_token_count, sum(first_token_latency_ms_sum) AS first_token_sum,
           sum(tokens_per_second_count) AS speed_count, sum(tokens_per_second_sum) AS speed_sum,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
           sum(quality_score_count) AS quality_count, sum(quality_score_sum) AS quality_sum,
           sum(quality_score_sum_sq) AS quality_sum_sq,
           sum(user_satisfaction_count) AS satisfaction_count, sum(user_satisfaction_sum) AS satisfaction_sum,
           sum(cost_usd_count) AS cost_count, sum(cost_usd_sum) AS cost_sum, sum(cost_usd_sum_sq) AS cost_sum_sq
    FROM numbered
    GROUP BY id
), merged AS (
    SELECT id, false AS first, index, sum(count) AS count
    FROM (SELECT id, unnest((latency_ms).indexes) AS index, unnest((latency_ms).counts) AS count FROM numbered) AS told
    GROUP BY id, index
    UNION ALL
    SELECT id, true, index, sum(count)
    FROM (SELECT id, unnest((first_token_latency_ms).indexes) AS index,
                 unnest((first_token_latency_ms).counts) AS count
          FROM numbered WHERE %(first_tokens)s::boolean) AS told
    GROUP BY id, index
), ranked AS (
    SELECT *, sum(count) OVER (PARTITION BY id, first ORDER BY index) AS up_to,
           sum(count) OVER (PARTITION BY id, first) AS total,
           -- A latency of 0 has no logarithm: it counts as the least that a latency can tell, a microsecond.
           ln(greatest(histogram_value(index), 0.001)) AS log
    FROM merged
), shapes AS (
    SELECT id, first,
           histogram_value(min(index) FILTER (WHERE up_to >= 0.5 * total)) AS p50,
           histogram_value(min(index) FILTER (WHERE up_to >= 0.9 * total)) AS p90,
           histogram_value(min(index) FILTER (WHERE up_to >= 0.95 * total)) AS p95,
           histogram_value(min(index) FILTER (WHERE up_to >= 0.99 * total)) AS p99,
           sum(count) AS count, sum(count * log) AS log_sum, sum(count * log * log) AS log_sum_sq
    FROM ranked
    GROUP BY id, first
)
SELECT at, of_model AS model, of_provider AS provider, of_task_type AS task_type, of_model_tier AS model_tier,
       of_environment AS environment, sums.*,
       latency.p50 AS latency_p50, latency.p90 AS latency_p90, latency.p95 AS latency_p95, latency.p99 AS latency_p99,
       latency.count AS log_count, latency.log_sum, latency.log_sum_sq,
       first_token.p50 AS first_token_p50, first_token.p90 AS first_token_p90, first_token.p95 AS first_token_p95,
       first_token.p99 AS first_token_p99
FROM groups JOIN sums USING (id)
LEFT JOIN shapes AS latency ON latency.id = groups.id AND NOT latency.first
LEFT JOIN shapes AS first_token ON first_token.id = groups.id AND first_token.first

-- name: without_cost --
-- The tokens of executions that told no cost, by what a price depends on: model, provider, and the days between two
-- changes of prices (%(changes)s, in order).
SELECT CASE WHEN %(width_s)s::float IS NULL THEN %(origin)s::timestamptz
            ELSE date_bin(%(width_s)s::float * interval '1 second', bucket, %(origin)s::timestamptz) END AS at,
       CASE WHEN 'model' = ANY(%(by)s::text[]) THEN model ELSE '' END AS of_model,
       CASE WHEN 'provider' = ANY(%(by)s::text[]) THEN provider ELSE '' END AS of_provider,
       CASE WHEN 'task_type' = ANY(%(by)s::text[]) THEN task_type ELSE '' END AS of_task_type,
       CASE WHEN 'model_tier' = ANY(%(by)s::text[]) THEN model_tier ELSE '' END AS of_model_tier,
       CASE WHEN 'environment' = ANY(%(by)s::text[]) THEN environment ELSE '' END AS of_environment,
       model, provider, min(bucket) AS priced_at,
       sum(without_cost_count) AS count, sum(without_cost_input) AS input, sum(without_cost_output) AS output,
       sum(without_cost_input_sq) AS input_sq, sum(without_cost_output_sq) AS output_sq,
       sum(without_cost_input_output) AS input_output
FROM unnest(%(grains)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS part (grain, since, until)
CROSS JOIN LATERAL (
    SELECT * FROM model_rollups
    WHERE grain = part.grain AND bucket >= part.since AND bucket < part.until AND without_cost_count > 0
      AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s::text[]))
      AND (%(provider)s::text IS NULL OR provider = %(provider)s::text)
      AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
      AND (%(model_tier)s::text IS NULL OR model_tier = %(model_tier)s::text)
      AND (%(environment)s::text IS NULL OR environment = %(environment)s::text)
    OFFSET 0
) AS rollup
GROUP BY 1, 2, 3, 4, 5, 6, model, provider, width_bucket(bucket, %(changes)s::timestamptz[])
