-- The SQL of the lab's endpoints: their settings, what checks find, and their circuits.

-- name: add --
INSERT INTO lab_endpoints (
    id, name, kind, url, tier, models, model_tiers, provider, secret, max_concurrency, connect_timeout_s,
    first_token_timeout_s, enabled
)
VALUES (
    %(id)s, %(name)s, %(kind)s, %(url)s, %(tier)s, %(models)s::text[], %(model_tiers)s::jsonb, %(provider)s, %(secret)s,
    %(max_concurrency)s, %(connect_timeout_s)s, %(first_token_timeout_s)s, %(enabled)s
)
ON CONFLICT (name) DO NOTHING
RETURNING id, version

-- name: remove --
DELETE FROM lab_endpoints WHERE name = %(name)s RETURNING id, name, version + 1 AS version

-- name: all --
-- All of them with the names of what they offer; there are a few dozen at most.
SELECT id, name, kind, url, tier, models, model_tiers, provider, secret, max_concurrency, connect_timeout_s,
       first_token_timeout_s, enabled, state, circuit, failures, circuit_until, paused_until,
       ARRAY(SELECT model FROM lab_models WHERE endpoint_id = lab_endpoints.id ORDER BY model) AS offered
FROM lab_endpoints
ORDER BY name

-- name: shown --
SELECT id, name, kind, url, tier, models, model_tiers, provider, secret, max_concurrency, connect_timeout_s,
       first_token_timeout_s, enabled, state, checked_at, check_latency_ms, check_error, circuit, failures, circuit_until,
       paused_until, created_at, updated_at,
       (SELECT count(*) FROM lab_models WHERE endpoint_id = lab_endpoints.id) AS model_count
FROM lab_endpoints
ORDER BY name

-- name: offered --
SELECT endpoint_id, model, details, first_seen_at FROM lab_models ORDER BY endpoint_id, model

-- name: count_failure --
-- closed -> closed | open, half_open -> open. An open circuit stays as it is: the call began before it opened.
-- Each opening in a row lasts twice as long as the one before, up to the maximum.
UPDATE lab_endpoints
SET failures = failures + 1,
    circuit = CASE WHEN circuit = 'half_open' OR failures + 1 >= %(threshold)s THEN 'open' ELSE 'closed' END,
    circuit_until = CASE WHEN circuit = 'half_open' OR failures + 1 >= %(threshold)s
        THEN clock_timestamp()
             + least(%(longest_s)s, %(base_s)s * power(2, least(openings, 20))) * interval '1 second' END,
    openings = CASE WHEN circuit = 'half_open' OR failures + 1 >= %(threshold)s THEN openings + 1 ELSE openings END,
    version = version + (circuit = 'half_open' OR failures + 1 >= %(threshold)s)::integer,
    updated_at = clock_timestamp()
WHERE id = %(id)s AND circuit <> 'open'
RETURNING id, name, circuit, version, circuit_until

-- name: count_success --
-- closed | open | half_open -> closed. Writes only where there is something to forget.
UPDATE lab_endpoints
SET version = version + (old.circuit <> 'closed')::integer, circuit = 'closed', circuit_until = NULL, failures = 0,
    openings = 0, updated_at = clock_timestamp()
FROM (SELECT id, circuit FROM lab_endpoints WHERE id = %(id)s FOR UPDATE) AS old
WHERE lab_endpoints.id = old.id AND (lab_endpoints.circuit <> 'closed' OR failures > 0)
RETURNING lab_endpoints.id, name, old.circuit AS old_circuit, lab_endpoints.circuit, version

-- name: begin_trial --
-- open -> half_open, when its time is over: one caller gets it. half_open -> half_open, when that one was never heard of.
UPDATE lab_endpoints
SET circuit = 'half_open', circuit_until = clock_timestamp() + %(trial_s)s * interval '1 second', version = version + 1,
    updated_at = clock_timestamp()
WHERE id = %(id)s AND circuit IN ('open', 'half_open') AND circuit_until <= clock_timestamp()
RETURNING id, name, circuit, version

-- name: pause --
UPDATE lab_endpoints SET paused_until = greatest(paused_until, clock_timestamp() + %(pause_s)s * interval '1 second')
WHERE id = %(id)s

-- name: claim_checks --
-- Takes the endpoints whose check is due; nobody else takes them until the next one is.
UPDATE lab_endpoints SET check_due_at = clock_timestamp() + %(interval_s)s * interval '1 second'
WHERE id IN (
    SELECT id FROM lab_endpoints
    WHERE enabled AND (check_due_at <= clock_timestamp() OR %(at_once)s)
    ORDER BY check_due_at
    FOR UPDATE SKIP LOCKED
)
RETURNING id, name, kind, url, tier, models, model_tiers, provider, secret, max_concurrency, connect_timeout_s,
          first_token_timeout_s, enabled, state, circuit, failures, circuit_until, paused_until

-- name: note_check --
-- unknown | healthy | unhealthy -> healthy | unhealthy.
UPDATE lab_endpoints
SET version = version + (old.state <> %(state)s)::integer, state = %(state)s, checked_at = clock_timestamp(),
    check_latency_ms = %(latency_ms)s, check_error = %(error)s, updated_at = clock_timestamp()
FROM (SELECT id, state FROM lab_endpoints WHERE id = %(id)s FOR UPDATE) AS old
WHERE lab_endpoints.id = old.id
RETURNING lab_endpoints.id, name, old.state AS old_state, lab_endpoints.state, version

-- name: forget_models --
DELETE FROM lab_models WHERE endpoint_id = %(endpoint_id)s AND NOT model = ANY(%(names)s::text[])

-- name: note_models --
INSERT INTO lab_models (endpoint_id, model, details)
SELECT %(endpoint_id)s::uuid, row.model, row.details
FROM json_to_recordset(%(rows)s::json) AS row (model text, details jsonb)
ORDER BY row.model
ON CONFLICT (endpoint_id, model) DO UPDATE SET details = excluded.details
WHERE lab_models.details IS DISTINCT FROM excluded.details
