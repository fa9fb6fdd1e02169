-- Histograms as numbers, so that merging is adding; and rollups of all task types together beside those of each.

-- A histogram in one number: twelve decimal digits hold the count of a bucket, those of bucket i begin at
-- 10^(12 * (i - 576)). So + merges two histograms, sum() any number of them, both in C, and 0 is the empty one. Buckets
-- are those of the type ``histogram``; what is below 0.001 counts as 0, in bucket -640. The decimal point lies at 512, in
-- the midst of common latencies in ms, since a number costs by how far its digits are from the point. A bucket holds less
-- than 10^12 values.
CREATE DOMAIN packed_histogram AS numeric;

CREATE FUNCTION histogram_pack(index integer, count bigint DEFAULT 1) RETURNS packed_histogram
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (count || 'e' || 12 * (CASE WHEN index < -639 THEN -640 ELSE index END - 576))::numeric;

CREATE FUNCTION histogram_pack(h histogram) RETURNS packed_histogram
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sum(histogram_pack(index, count)) FROM unnest((h).indexes, (h).counts) AS bucket (index, count)
$$;

-- The buckets that hold anything, by ascending index; that of 0 has the index -32768.
CREATE FUNCTION histogram_unpack(h packed_histogram) RETURNS TABLE (index integer, count bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN place < -639 THEN -32768 ELSE place END, count
    FROM (
        SELECT 576 + (whole - 12 * n) / 12 AS place, substr(digits, 12 * n - 11, 12)::bigint AS count
        FROM (
            SELECT lpad(above, whole, '0') || rpad(below, (length(below) + 11) / 12 * 12, '0') AS digits, whole
            FROM (
                SELECT split_part(h::text, '.', 1) AS above, split_part(h::text, '.', 2) AS below,
                       (length(split_part(h::text, '.', 1)) + 11) / 12 * 12 AS whole
            ) AS parts
        ) AS padded, LATERAL generate_series(1, length(digits) / 12) AS n
    ) AS buckets
    WHERE count > 0
    ORDER BY place
$$;

-- The q-quantile by nearest rank, as percentile_disc has it, within 0.542 %; null of nothing. For example
-- SELECT model, histogram_quantile(sum(latency_ms), 0.95) FROM model_rollups WHERE grain = 'day' GROUP BY model
CREATE FUNCTION histogram_quantile(h packed_histogram, q double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT histogram_value(index)
    FROM (
        SELECT index, sum(count) OVER (ORDER BY index) AS up_to, sum(count) OVER () AS total
        FROM histogram_unpack(h)
    ) AS ranked
    WHERE up_to >= q * total
    ORDER BY index
    LIMIT 1
$$;

-- ``task_type`` is '' where all task types are added up together: what is asked of a model as a whole is read from these,
-- a fraction of the rows. Who counts must take one kind or the other; the view model_rollups has each task type.
CREATE TABLE metric_rollups (LIKE model_rollups INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE metric_rollups
    ALTER COLUMN latency_ms TYPE packed_histogram USING 0, ALTER COLUMN latency_ms SET NOT NULL,
    ALTER COLUMN first_token_latency_ms TYPE packed_histogram USING 0,
    ALTER COLUMN first_token_latency_ms SET NOT NULL,
    -- Nobody asks for its percentiles, and it cost a third of what merging takes.
    DROP COLUMN tokens_per_second,
    SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE metric_rollups RENAME CONSTRAINT model_rollups_grain_check TO metric_rollups_grain_check;

INSERT INTO metric_rollups
SELECT grain, bucket, model, provider, together.task_type, model_tier, environment,
       sum(executions), sum(successes), coalesce((
           SELECT jsonb_object_agg(name, told)
           FROM (SELECT name, sum(value::bigint) AS told
                 FROM model_rollups AS one, jsonb_each_text(one.error_types) AS error (name, value)
                 WHERE (one.grain, one.bucket, one.model, one.provider, one.model_tier, one.environment)
                     = (rollup.grain, rollup.bucket, rollup.model, rollup.provider, rollup.model_tier, rollup.environment)
                   AND together.task_type IN ('', one.task_type)
                 GROUP BY name) AS errors
       ), '{}'),
       sum(retries), sum(escalations),
       sum(latency_ms_count), sum(latency_ms_sum), sum(latency_ms_sum_sq),
       coalesce(sum(histogram_pack(latency_ms)), 0),
       sum(first_token_latency_ms_count), sum(first_token_latency_ms_sum), sum(first_token_latency_ms_sum_sq),
       coalesce(sum(histogram_pack(first_token_latency_ms)), 0),
       sum(tokens_per_second_count), sum(tokens_per_second_sum), sum(tokens_per_second_sum_sq),
       sum(input_tokens), sum(output_tokens),
       sum(quality_score_count), sum(quality_score_sum), sum(quality_score_sum_sq),
       sum(user_satisfaction_count), sum(user_satisfaction_sum), sum(user_satisfaction_sum_sq),
       sum(cost_usd_count), sum(cost_usd_sum), sum(cost_usd_sum_sq),
       sum(without_cost_count), sum(without_cost_input), sum(without_cost_output),
       sum(without_cost_input_sq), sum(without_cost_output_sq), sum(without_cost_input_output)
FROM model_rollups AS rollup, LATERAL (VALUES (rollup.task_type), ('')) AS together (task_type)
GROUP BY grain, bucket, model, provider, together.task_type, model_tier, environment;

DROP TABLE model_rollups;
ALTER TABLE metric_rollups
    ADD PRIMARY KEY (grain, bucket, model, provider, task_type, model_tier, environment);
CREATE INDEX metric_rollups_by_model ON metric_rollups (grain, model, bucket);
CREATE INDEX metric_rollups_together ON metric_rollups (grain, bucket, model) WHERE task_type = '';

CREATE VIEW model_rollups AS SELECT * FROM metric_rollups WHERE task_type <> '';

-- Of the sparse form only what the points of OTLP need is left.
DROP AGGREGATE histogram_sum(histogram);
DROP FUNCTION histogram_merge(histogram, histogram);
DROP FUNCTION histogram_quantile(histogram, double precision);
DROP FUNCTION counts_merge(jsonb, jsonb);
