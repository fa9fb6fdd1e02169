-- Reads rollups: any parts of them, filtered and grouped as asked. A dimension by which nothing is grouped is ''. Where
-- task types don't matter, the rows that hold all of them together are read (%(together)s), a fraction of the others. Each
-- part is looked up by itself (LATERAL … OFFSET 0): the planner, which can't know how short a part is, would else read
-- the whole table and hash it.

-- name: totals --
-- Sums and merged histograms for each group and bucket of time.
SELECT CASE WHEN %(width_s)s::float IS NULL THEN %(origin)s::timestamptz
            ELSE date_bin(%(width_s)s::float * interval '1 second', bucket, %(origin)s::timestamptz) END AS at,
       CASE WHEN 'model' = ANY(%(by)s::text[]) THEN model ELSE '' END AS of_model,
       CASE WHEN 'provider' = ANY(%(by)s::text[]) THEN provider ELSE '' END AS of_provider,
       CASE WHEN 'task_type' = ANY(%(by)s::text[]) THEN task_type ELSE '' END AS of_task_type,
       CASE WHEN 'model_tier' = ANY(%(by)s::text[]) THEN model_tier ELSE '' END AS of_model_tier,
       CASE WHEN 'environment' = ANY(%(by)s::text[]) THEN environment ELSE '' END AS of_environment,
       sum(executions) AS executions, sum(successes) AS successes, sum(retries) AS retries,
       sum(escalations) AS escalations,
       sum(latency_ms_count) AS latency_count, sum(latency_ms_sum) AS latency_sum,
       sum(latency_ms)::text AS latency_histogram,
       sum(first_token_latency_ms_count) AS first_token_count, sum(first_token_latency_ms_sum) AS first_token_sum,
       sum(first_token_latency_ms) FILTER (WHERE %(first_tokens)s::boolean)::text AS first_token_histogram,
       sum(tokens_per_second_count) AS speed_count, sum(tokens_per_second_sum) AS speed_sum,
       sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
       sum(quality_score_count) AS quality_count, sum(quality_score_sum) AS quality_sum,
       sum(quality_score_sum_sq) AS quality_sum_sq,
       sum(user_satisfaction_count) AS satisfaction_count, sum(user_satisfaction_sum) AS satisfaction_sum,
       sum(cost_usd_count) AS cost_count, sum(cost_usd_sum) AS cost_sum, sum(cost_usd_sum_sq) AS cost_sum_sq
FROM unnest(%(grains)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS part (grain, since, until)
CROSS JOIN LATERAL (
    SELECT * FROM metric_rollups
    WHERE grain = part.grain AND bucket >= part.since AND bucket < part.until
      AND (task_type = '') = %(together)s::boolean
      AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s::text[]))
      AND (%(provider)s::text IS NULL OR provider = %(provider)s::text)
      AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
      AND (%(model_tier)s::text IS NULL OR model_tier = %(model_tier)s::text)
      AND (%(environment)s::text IS NULL OR environment = %(environment)s::text)
    OFFSET 0
) AS rollup
GROUP BY 1, 2, 3, 4, 5, 6

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
    SELECT * FROM metric_rollups
    WHERE grain = part.grain AND bucket >= part.since AND bucket < part.until AND without_cost_count > 0
      AND (task_type = '') = %(together)s::boolean
      AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s::text[]))
      AND (%(provider)s::text IS NULL OR provider = %(provider)s::text)
      AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
      AND (%(model_tier)s::text IS NULL OR model_tier = %(model_tier)s::text)
      AND (%(environment)s::text IS NULL OR environment = %(environment)s::text)
    OFFSET 0
) AS rollup
GROUP BY 1, 2, 3, 4, 5, 6, model, provider, width_bucket(bucket, %(changes)s::timestamptz[])
