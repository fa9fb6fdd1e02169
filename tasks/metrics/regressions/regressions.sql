-- What the watch for regressions reads of the rollups, and the table of its findings.

-- name: models --
-- Models that did anything since then, and those that have an open regression.
SELECT DISTINCT model FROM metric_rollups WHERE task_type = '' AND grain = 'hour' AND bucket >= %(since)s::timestamptz
UNION
SELECT model FROM model_regressions WHERE state = 'open'

-- name: blocks --
-- One row for each stretch of time of one model, by task type and environment; by provider too, since prices depend on
-- it.
SELECT part.kind, CASE WHEN part.kind = 'recent' THEN part.since ELSE bucket END AS at,
       task_type, environment, provider,
       sum(executions) AS executions, sum(successes) AS successes,
       sum(latency_ms)::text AS latency_histogram,
       sum(quality_score_count) AS quality_count, sum(quality_score_sum) AS quality_sum,
       sum(quality_score_sum_sq) AS quality_sum_sq,
       sum(cost_usd_count) AS cost_count, sum(cost_usd_sum) AS cost_sum, sum(cost_usd_sum_sq) AS cost_sum_sq,
       sum(without_cost_count) AS count, sum(without_cost_input) AS input, sum(without_cost_output) AS output,
       sum(without_cost_input_sq) AS input_sq, sum(without_cost_output_sq) AS output_sq,
       sum(without_cost_input_output) AS input_output
FROM unnest(%(kinds)s::text[], %(grains)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
     AS part (kind, grain, since, until)
JOIN metric_rollups AS rollup
  ON rollup.grain = part.grain AND bucket >= part.since AND bucket < part.until AND model = %(model)s::text
     AND task_type <> ''
GROUP BY 1, 2, task_type, environment, provider

-- name: known --
-- The regressions of one model that still matter: open ones, and those of the last weeks.
SELECT id, task_type, environment, metric, stretch, since, detected_at, resolved_at, resolution
FROM model_regressions
WHERE model = %(model)s AND (state = 'open' OR resolved_at >= %(since)s::timestamptz)
ORDER BY detected_at

-- name: open --
-- Nothing where one is open already: another beat was quicker.
INSERT INTO model_regressions (
    id, model, task_type, environment, metric, stretch, since, detected_at, baseline, current, change, p_value,
    executions, baseline_executions
) VALUES (
    %(id)s, %(model)s, %(task_type)s, %(environment)s, %(metric)s, %(stretch)s, %(since)s, %(detected_at)s,
    %(baseline)s, %(current)s, %(change)s, %(p_value)s, %(executions)s, %(baseline_executions)s
)
ON CONFLICT (model, task_type, environment, metric) WHERE state = 'open' DO NOTHING
RETURNING id, version

-- name: resolve --
-- open -> resolved.
UPDATE model_regressions
SET state = 'resolved', version = version + 1, resolved_at = %(resolved_at)s, resolution = %(resolution)s,
    resolved_value = %(resolved_value)s
WHERE id = %(id)s AND state = 'open'
RETURNING id, version

-- name: list --
SELECT id, model, task_type, environment, metric, stretch, state, since, detected_at, baseline, current, change, p_value,
       executions, baseline_executions, resolved_at, resolution, resolved_value
FROM model_regressions
WHERE (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (%(model)s::text IS NULL OR model = %(model)s::text)
  AND (%(metric)s::text IS NULL OR metric = %(metric)s::text)
  AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
  AND (%(environment)s::text IS NULL OR environment = %(environment)s::text)
  AND (%(before_at)s::timestamptz IS NULL OR (detected_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid))
ORDER BY detected_at DESC, id DESC
LIMIT %(limit)s
