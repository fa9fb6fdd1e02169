-- The rollups: raw rows added up by minute, hour and day, for each task type and for all of them together (''). Nothing
-- else writes them.

-- name: share --
-- Held by who adds chunks, against who builds days anew: %(lock)s is the same number for both. The planner knows nothing
-- of what a chunk holds and expects one row; nested loops over thousands would be the result.
SELECT pg_advisory_xact_lock_shared(%(lock)s), set_config('enable_nestloop', 'off', true),
       set_config('work_mem', '32MB', true)

-- name: exclude --
-- Groups are sorted, not hashed: the sum of a histogram takes kilobytes while it is made, and a day has many groups.
SELECT pg_advisory_xact_lock(%(lock)s), set_config('enable_nestloop', 'off', true),
       set_config('enable_hashagg', 'off', true), set_config('work_mem', '128MB', true)

-- name: add_up --
-- Adds raw rows to the rollups: those of some chunks, given by their batch and range of ids, or, to build days anew, all
-- of a span of time whose chunk was applied. Every figure is a sum, histograms too (migration 0046). Rollup rows are
-- touched in the order of their key, so that concurrent writers can't deadlock.
WITH told AS (
    -- OFFSET 0, and not "=": each range is looked up by the index, not the table hashed by batch_id.
    SELECT row.*
    FROM unnest(%(batch_ids)s::uuid[], %(first_ids)s::bigint[], %(last_ids)s::bigint[]) AS piece (batch_id, first_id, last_id),
         LATERAL (SELECT * FROM metric_contributions AS contribution
                  WHERE contribution.id BETWEEN piece.first_id AND piece.last_id
                    AND contribution.batch_id IS NOT DISTINCT FROM piece.batch_id OFFSET 0) AS row
    UNION ALL
    SELECT * FROM metric_contributions AS contribution
    WHERE at >= %(since)s::timestamptz AND at < %(until)s::timestamptz
      AND NOT EXISTS (SELECT FROM metric_chunks AS waiting
                      WHERE waiting.state = 'waiting' AND waiting.batch_id = contribution.batch_id
                        AND contribution.id BETWEEN waiting.first_id AND waiting.last_id)
), minutes AS MATERIALIZED (
    -- By the kind of error, too, so that the rows need to be read only once.
    SELECT date_trunc('minute', at, 'UTC') AS minute, model, provider, task_type, model_tier, environment, error_type,
           count(*) AS rows, sum(executions) AS executions, sum(successes) AS successes, sum(retries) AS retries,
           sum(escalations) AS escalations,
           sum(latency_ms_count) AS latency_ms_count, sum(latency_ms_sum) AS latency_ms_sum,
           sum(latency_ms_sum_sq) AS latency_ms_sum_sq,
           sum(CASE WHEN latency_ms_index IS NULL THEN histogram_pack(latency_ms_values)
                    ELSE histogram_pack(latency_ms_index) END) AS latency_ms,
           sum(first_token_latency_ms_count) AS first_token_latency_ms_count,
           sum(first_token_latency_ms_sum) AS first_token_latency_ms_sum,
           sum(first_token_latency_ms_sum_sq) AS first_token_latency_ms_sum_sq,
           sum(CASE WHEN first_token_latency_ms_index IS NULL THEN histogram_pack(first_token_latency_ms_values)
                    ELSE histogram_pack(first_token_latency_ms_index) END) AS first_token_latency_ms,
           sum(tokens_per_second_count) AS tokens_per_second_count,
           sum(tokens_per_second_sum) AS tokens_per_second_sum,
           sum(tokens_per_second_sum_sq) AS tokens_per_second_sum_sq,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
           count(quality_score) AS quality_score_count, sum(quality_score) AS quality_score_sum,
           sum(quality_score * quality_score) AS quality_score_sum_sq,
           count(user_satisfaction) AS user_satisfaction_count, sum(user_satisfaction) AS user_satisfaction_sum,
           sum(user_satisfaction * user_satisfaction) AS user_satisfaction_sum_sq,
           count(cost_usd) AS cost_usd_count, sum(cost_usd) AS cost_usd_sum, sum(cost_usd * cost_usd) AS cost_usd_sum_sq,
           sum(executions) FILTER (WHERE without_cost) AS without_cost_count,
           sum(input_tokens) FILTER (WHERE without_cost) AS without_cost_input,
           sum(output_tokens) FILTER (WHERE without_cost) AS without_cost_output,
           sum(input_sq) FILTER (WHERE without_cost) AS without_cost_input_sq,
           sum(output_sq) FILTER (WHERE without_cost) AS without_cost_output_sq,
           sum(input_output) FILTER (WHERE without_cost) AS without_cost_input_output
    FROM told
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), places AS MATERIALIZED (
    SELECT minute, task_type, grain, bucket, kind
    FROM (SELECT DISTINCT minute, task_type FROM minutes) AS found,
         LATERAL (VALUES ('minute', minute), ('hour', date_trunc('hour', minute, 'UTC')),
                         ('day', date_trunc('day', minute, 'UTC'))) AS grains (grain, bucket),
         LATERAL (VALUES (task_type), ('')) AS kinds (kind)
), sums AS (
    SELECT grain, bucket, model, provider, kind AS task_type, model_tier, environment,
           sum(executions) AS executions, sum(successes) AS successes, sum(retries) AS retries,
           sum(escalations) AS escalations,
           sum(latency_ms_count) AS latency_ms_count, coalesce(sum(latency_ms_sum), 0) AS latency_ms_sum,
           coalesce(sum(latency_ms_sum_sq), 0) AS latency_ms_sum_sq, coalesce(sum(latency_ms), 0) AS latency_ms,
           sum(first_token_latency_ms_count) AS first_token_latency_ms_count,
           coalesce(sum(first_token_latency_ms_sum), 0) AS first_token_latency_ms_sum,
           coalesce(sum(first_token_latency_ms_sum_sq), 0) AS first_token_latency_ms_sum_sq,
           coalesce(sum(first_token_latency_ms), 0) AS first_token_latency_ms,
           sum(tokens_per_second_count) AS tokens_per_second_count,
           coalesce(sum(tokens_per_second_sum), 0) AS tokens_per_second_sum,
           coalesce(sum(tokens_per_second_sum_sq), 0) AS tokens_per_second_sum_sq,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
           sum(quality_score_count) AS quality_score_count, coalesce(sum(quality_score_sum), 0) AS quality_score_sum,
           coalesce(sum(quality_score_sum_sq), 0) AS quality_score_sum_sq,
           sum(user_satisfaction_count) AS user_satisfaction_count,
           coalesce(sum(user_satisfaction_sum), 0) AS user_satisfaction_sum,
           coalesce(sum(user_satisfaction_sum_sq), 0) AS user_satisfaction_sum_sq,
           sum(cost_usd_count) AS cost_usd_count, coalesce(sum(cost_usd_sum), 0) AS cost_usd_sum,
           coalesce(sum(cost_usd_sum_sq), 0) AS cost_usd_sum_sq,
           coalesce(sum(without_cost_count), 0) AS without_cost_count,
           coalesce(sum(without_cost_input), 0) AS without_cost_input,
           coalesce(sum(without_cost_output), 0) AS without_cost_output,
           coalesce(sum(without_cost_input_sq), 0) AS without_cost_input_sq,
           coalesce(sum(without_cost_output_sq), 0) AS without_cost_output_sq,
           coalesce(sum(without_cost_input_output), 0) AS without_cost_input_output
    FROM minutes JOIN places USING (minute, task_type)
    GROUP BY grain, bucket, model, provider, kind, model_tier, environment
), errors AS (
    SELECT grain, bucket, model, provider, kind AS task_type, model_tier, environment,
           jsonb_object_agg(error_type, count) AS error_types
    FROM (
        SELECT grain, bucket, model, provider, kind, model_tier, environment, error_type, sum(executions) AS count
        FROM minutes JOIN places USING (minute, task_type)
        WHERE error_type IS NOT NULL
        GROUP BY grain, bucket, model, provider, kind, model_tier, environment, error_type
    ) AS counted
    GROUP BY grain, bucket, model, provider, kind, model_tier, environment
), added AS (
    INSERT INTO metric_rollups AS r (
        grain, bucket, model, provider, task_type, model_tier, environment,
        executions, successes, error_types, retries, escalations, latency_ms_count, latency_ms_sum, latency_ms_sum_sq,
        latency_ms, first_token_latency_ms_count, first_token_latency_ms_sum, first_token_latency_ms_sum_sq,
        first_token_latency_ms, tokens_per_second_count, tokens_per_second_sum, tokens_per_second_sum_sq, input_tokens,
        output_tokens, quality_score_count, quality_score_sum, quality_score_sum_sq,
        user_satisfaction_count, user_satisfaction_sum, user_satisfaction_sum_sq, cost_usd_count, cost_usd_sum,
        cost_usd_sum_sq, without_cost_count, without_cost_input, without_cost_output, without_cost_input_sq,
        without_cost_output_sq, without_cost_input_output
    )
    SELECT grain, bucket, model, provider, task_type, model_tier, environment,
           executions, successes, coalesce(error_types, '{}'), retries, escalations, latency_ms_count, latency_ms_sum,
           latency_ms_sum_sq, latency_ms, first_token_latency_ms_count, first_token_latency_ms_sum,
           first_token_latency_ms_sum_sq, first_token_latency_ms, tokens_per_second_count, tokens_per_second_sum,
           tokens_per_second_sum_sq, input_tokens, output_tokens, quality_score_count,
           quality_score_sum, quality_score_sum_sq, user_satisfaction_count, user_satisfaction_sum,
           user_satisfaction_sum_sq, cost_usd_count, cost_usd_sum, cost_usd_sum_sq, without_cost_count,
           without_cost_input, without_cost_output, without_cost_input_sq, without_cost_output_sq,
           without_cost_input_output
    FROM sums LEFT JOIN errors USING (grain, bucket, model, provider, task_type, model_tier, environment)
    ORDER BY grain, bucket, model, provider, task_type, model_tier, environment
    ON CONFLICT (grain, bucket, model, provider, task_type, model_tier, environment) DO UPDATE SET
        executions = r.executions + excluded.executions,
        successes = r.successes + excluded.successes,
        error_types = CASE WHEN excluded.error_types = '{}' THEN r.error_types
                      ELSE (SELECT jsonb_object_agg(name, count)
                            FROM (SELECT name, sum(told::bigint) AS count
                                  FROM (SELECT * FROM jsonb_each_text(r.error_types)
                                        UNION ALL SELECT * FROM jsonb_each_text(excluded.error_types))
                                       AS both_sides (name, told)
                                  GROUP BY name) AS merged) END,
        retries = r.retries + excluded.retries,
        escalations = r.escalations + excluded.escalations,
        latency_ms_count = r.latency_ms_count + excluded.latency_ms_count,
        latency_ms_sum = r.latency_ms_sum + excluded.latency_ms_sum,
        latency_ms_sum_sq = r.latency_ms_sum_sq + excluded.latency_ms_sum_sq,
        latency_ms = r.latency_ms + excluded.latency_ms,
        first_token_latency_ms_count = r.first_token_latency_ms_count + excluded.first_token_latency_ms_count,
        first_token_latency_ms_sum = r.first_token_latency_ms_sum + excluded.first_token_latency_ms_sum,
        first_token_latency_ms_sum_sq = r.first_token_latency_ms_sum_sq + excluded.first_token_latency_ms_sum_sq,
        first_token_latency_ms = r.first_token_latency_ms + excluded.first_token_latency_ms,
        tokens_per_second_count = r.tokens_per_second_count + excluded.tokens_per_second_count,
        tokens_per_second_sum = r.tokens_per_second_sum + excluded.tokens_per_second_sum,
        tokens_per_second_sum_sq = r.tokens_per_second_sum_sq + excluded.tokens_per_second_sum_sq,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        quality_score_count = r.quality_score_count + excluded.quality_score_count,
        quality_score_sum = r.quality_score_sum + excluded.quality_score_sum,
        quality_score_sum_sq = r.quality_score_sum_sq + excluded.quality_score_sum_sq,
        user_satisfaction_count = r.user_satisfaction_count + excluded.user_satisfaction_count,
        user_satisfaction_sum = r.user_satisfaction_sum + excluded.user_satisfaction_sum,
        user_satisfaction_sum_sq = r.user_satisfaction_sum_sq + excluded.user_satisfaction_sum_sq,
        cost_usd_count = r.cost_usd_count + excluded.cost_usd_count,
        cost_usd_sum = r.cost_usd_sum + excluded.cost_usd_sum,
        cost_usd_sum_sq = r.cost_usd_sum_sq + excluded.cost_usd_sum_sq,
        without_cost_count = r.without_cost_count + excluded.without_cost_count,
        without_cost_input = r.without_cost_input + excluded.without_cost_input,
        without_cost_output = r.without_cost_output + excluded.without_cost_output,
        without_cost_input_sq = r.without_cost_input_sq + excluded.without_cost_input_sq,
        without_cost_output_sq = r.without_cost_output_sq + excluded.without_cost_output_sq,
        without_cost_input_output = r.without_cost_input_output + excluded.without_cost_input_output
    RETURNING grain
)
SELECT coalesce((SELECT sum(rows) FROM minutes), 0)::bigint AS rows, count(*) AS rollups FROM added

-- name: clear --
-- What the rollups hold of whole days.
DELETE FROM metric_rollups
WHERE grain IN ('minute', 'hour', 'day') AND bucket >= %(since)s::timestamptz AND bucket < %(until)s::timestamptz
