-- The inbox's SQL. A state changes only here, under a guard on the old state.

-- name: accept --
-- Many deliveries and their first journal rows in one statement; a delivery that is known already is left out of the
-- answer. One JSON text carries all rows: for the client that is far less work than an array for each column.
-- One whose delivery id another transaction holds is waited for a moment only: the others of its batch wait with it.
WITH rows AS MATERIALIZED (
    SELECT row.* FROM json_to_recordset(%(rows)s::json) AS row (
        id uuid, source text, delivery_id text, body_digest text, family text, event_type text, action text,
        resource text, resource_id text, schema_version text, environment text, body jsonb, told_body jsonb,
        correlation_id text, event_id uuid
    ), set_config('lock_timeout', %(wait)s::text, true)
), fresh AS (
    INSERT INTO inbox (
        id, source, delivery_id, body_digest, family, event_type, action, resource, resource_id,
        schema_version, environment, body, correlation_id
    )
    SELECT id, source, delivery_id, decode(body_digest, 'hex'), family, event_type, action, resource, resource_id,
           schema_version, environment, body, correlation_id
    FROM rows
    ON CONFLICT (source, delivery_id) WHERE delivery_id IS NOT NULL DO NOTHING
    RETURNING id
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT event_id, 'hook', id::text, 1, 'hook-received',
           coalesce(told_body, body) || jsonb_build_object(
               'hook_id', id, 'state', 'received', 'family', family, 'event_type', event_type
           ),
           correlation_id
    FROM rows JOIN fresh USING (id)
)
SELECT id FROM fresh

-- name: known_deliveries --
SELECT id, source, delivery_id, body_digest, correlation_id,
       received_at < now() - %(window_s)s * interval '1 second' AS expired
FROM inbox
WHERE (source, delivery_id) IN (SELECT * FROM unnest(%(sources)s::text[], %(delivery_ids)s::text[]))

-- name: release_delivery_ids --
UPDATE inbox SET delivery_id = NULL WHERE id = ANY(%(ids)s::uuid[])

-- name: due --
-- What may be handled now, oldest first, locked and told as it will be once claimed; rows that another worker holds are
-- passed over.
SELECT id, source, family, event_type, action, resource, resource_id, environment, correlation_id,
       attempt + 1 AS attempt, version + 1 AS version, body
FROM inbox
WHERE state IN ('received', 'retrying') AND next_attempt_at <= now()
ORDER BY next_attempt_at
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: claim --
-- received | retrying -> processing. One that was never tried, or is replayed, was received: its attempts count from 1.
-- The guard names the other states, or the planner would read all that waits in inbox_due.
WITH claimed AS (
    UPDATE inbox
    SET state = 'processing', attempt = attempt + 1, version = version + 1,
        lease_token = %(token)s, lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
    WHERE id = ANY(%(ids)s::uuid[]) AND state NOT IN ('processing', 'handled', 'dead')
    RETURNING id, event_type, correlation_id, attempt, version
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'hook', id::text, version, 'hook-state-changed',
           jsonb_build_object(
               'hook_id', id, 'event_type', event_type, 'from', CASE attempt WHEN 1 THEN 'received' ELSE 'retrying' END,
               'state', 'processing', 'attempt', attempt, 'reason', 'claimed'
           ),
           correlation_id
    FROM claimed
)
SELECT count(*) AS count FROM claimed

-- name: pass_unheard --
-- received | retrying -> processing -> handled, where nobody's code is to run: nothing can go wrong between the two, so
-- the row is written once and needs no lease; the journal tells both, in this order. The guard is as in claim.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (id uuid, claimed uuid, handled uuid, told_body jsonb)
), done AS (
    UPDATE inbox
    SET state = 'handled', attempt = attempt + 1, version = version + 2,
        error_code = NULL, error = NULL, finished_at = clock_timestamp()
    FROM rows
    WHERE inbox.id = rows.id AND state NOT IN ('processing', 'handled', 'dead')
    RETURNING inbox.id, claimed, handled, version, attempt, family, event_type, correlation_id,
              coalesce(told_body, body) AS body
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT event.id, 'hook', done.id::text, event.version, event.type,
           jsonb_build_object('hook_id', done.id, 'attempt', attempt) || event.payload, correlation_id
    FROM done CROSS JOIN LATERAL (
        VALUES (
            claimed, done.version - 1, 'hook-state-changed', jsonb_build_object(
                'event_type', event_type, 'from', CASE attempt WHEN 1 THEN 'received' ELSE 'retrying' END,
                'state', 'processing', 'reason', 'claimed'
            )
        ), (
            handled, done.version, CASE family WHEN 'hook' THEN 'hook-state-changed' ELSE event_type END,
            '{"from": "processing", "state": "handled"}'::jsonb || CASE family
                WHEN 'hook' THEN jsonb_build_object('event_type', event_type)
                ELSE jsonb_build_object('family', family) || body
            END
        )
    ) AS event (id, version, type, payload)
    ORDER BY event.version
)
SELECT count(*) AS count FROM done

-- name: claim_expired --
-- processing -> processing: one row whose worker is gone, alone, so that a poison row takes no neighbour with it.
WITH expired AS (
    SELECT id FROM inbox
    WHERE state = 'processing' AND lease_until < now() AND attempt < %(max_attempts)s
    ORDER BY lease_until
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE inbox
    SET attempt = attempt + 1, version = version + 1,
        lease_token = %(token)s, lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
    FROM expired
    WHERE inbox.id = expired.id
    RETURNING inbox.id, source, family, event_type, action, resource, resource_id, environment, correlation_id,
              attempt, version, body, 'processing' AS old_state
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'hook', id::text, version, 'hook-state-changed',
           jsonb_build_object(
               'hook_id', id, 'event_type', event_type, 'from', old_state, 'state', 'processing',
               'attempt', attempt, 'reason', 'lease expired'
           ),
           correlation_id
    FROM claimed
)
SELECT id, source, family, event_type, action, resource, resource_id, environment, correlation_id, attempt, version, body
FROM claimed

-- name: renew --
UPDATE inbox SET lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE id = ANY(%(ids)s::uuid[]) AND state = 'processing' AND lease_token = %(token)s

-- name: complete --
-- processing -> handled, only under the lease that the worker was given, each with the event that its family tells.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (
        id uuid, event_id uuid, event_type text, payload jsonb, correlation_id text
    )
), done AS (
    UPDATE inbox
    SET state = 'handled', version = version + 1, lease_token = NULL, lease_until = NULL,
        error_code = NULL, error = NULL, finished_at = clock_timestamp()
    FROM rows
    WHERE inbox.id = rows.id AND state = 'processing' AND lease_token = %(token)s
    RETURNING inbox.id, inbox.version
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT event_id, 'hook', id::text, version, event_type, payload, correlation_id
    FROM rows JOIN done USING (id)
)
SELECT count(*) AS count FROM done

-- name: retry --
-- processing -> retrying, under the lease.
UPDATE inbox
SET state = 'retrying', version = version + 1, lease_token = NULL, lease_until = NULL,
    error_code = %(error_code)s, error = %(error)s,
    next_attempt_at = clock_timestamp() + %(delay_s)s * interval '1 second'
WHERE id = %(id)s AND state = 'processing' AND lease_token = %(token)s
RETURNING id, version, next_attempt_at

-- name: bury --
-- processing -> dead, under the lease.
UPDATE inbox
SET state = 'dead', version = version + 1, lease_token = NULL, lease_until = NULL,
    error_code = %(error_code)s, error = %(error)s, finished_at = clock_timestamp()
WHERE id = %(id)s AND state = 'processing' AND lease_token = %(token)s
RETURNING id, version

-- name: bury_expired --
-- processing -> dead: every attempt ended with its worker gone.
WITH expired AS (
    SELECT id FROM inbox
    WHERE state = 'processing' AND lease_until < now() AND attempt >= %(max_attempts)s
    ORDER BY lease_until
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE inbox
SET state = 'dead', version = version + 1, lease_token = NULL, lease_until = NULL,
    error_code = %(error_code)s, error = %(error)s, finished_at = clock_timestamp()
FROM expired
WHERE inbox.id = expired.id
RETURNING inbox.id, version, attempt, event_type, correlation_id

-- name: replay --
-- handled | dead -> received.
UPDATE inbox
SET state = 'received', version = version + 1, attempt = 0, error_code = NULL, error = NULL,
    finished_at = NULL, next_attempt_at = clock_timestamp()
FROM (SELECT id, state FROM inbox WHERE id = %(id)s FOR UPDATE) AS old
WHERE inbox.id = old.id AND old.state IN ('handled', 'dead')
RETURNING inbox.id, version, old.state AS old_state, event_type, correlation_id

-- name: replay_many --
-- handled | dead -> received, those that the filter finds, in id order, after the id that the last batch ended with.
WITH old AS MATERIALIZED (
    SELECT id, state FROM inbox
    WHERE state = ANY(%(states)s)
      AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))
      AND (%(source)s IS NULL OR source = %(source)s)
      AND (%(event_type)s IS NULL OR event_type = %(event_type)s)
      AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
      AND (%(after_id)s::uuid IS NULL OR id > %(after_id)s)
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), replayed AS (
    UPDATE inbox
    SET state = 'received', version = version + 1, attempt = 0, error_code = NULL, error = NULL,
        finished_at = NULL, next_attempt_at = clock_timestamp()
    FROM old
    WHERE inbox.id = old.id
    RETURNING inbox.id, version, old.state AS old_state, event_type, correlation_id
), told AS (
    INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id)
    SELECT gen_random_uuid(), 'hook', id::text, version, 'hook-state-changed',
           jsonb_build_object(
               'hook_id', id, 'event_type', event_type, 'from', old_state, 'state', 'received',
               'attempt', 0, 'reason', 'replay'
           ),
           correlation_id
    FROM replayed
)
SELECT id, old_state AS previous_state FROM replayed ORDER BY id

-- name: drop --
-- dead -> gone: an operator gave it up. Its history stays in the journal.
DELETE FROM inbox WHERE id = %(id)s AND state = 'dead'
RETURNING id, version + 1 AS version, attempt, event_type, correlation_id

-- name: waiting --
-- What the sweeper looks for: due rows that should have been claimed by now, and leases that ran out.
SELECT
    EXISTS (
        SELECT 1 FROM inbox
        WHERE state IN ('received', 'retrying')
          AND next_attempt_at <= now() - (CASE state WHEN 'received' THEN %(grace_s)s ELSE 0 END) * interval '1 second'
    ) AS due,
    EXISTS (SELECT 1 FROM inbox WHERE state = 'processing' AND lease_until < now()) AS expired

-- name: get --
SELECT id, source, delivery_id, family, event_type, action, resource, resource_id, schema_version, environment,
       body, correlation_id, state, version, attempt, next_attempt_at, lease_until, error_code, error,
       received_at, finished_at
FROM inbox WHERE id = %(id)s

-- name: list --
SELECT id, source, family, event_type, action, resource, resource_id, environment, correlation_id, state, attempt,
       error_code, error, received_at, finished_at
FROM inbox
WHERE (%(source)s IS NULL OR source = %(source)s)
  AND (%(event_type)s IS NULL OR event_type = %(event_type)s)
  AND (%(state)s IS NULL OR state = %(state)s)
  AND (%(since)s::timestamptz IS NULL OR (received_at >= %(since)s AND id >= %(since_id)s))
  AND (%(until)s::timestamptz IS NULL OR (received_at < %(until)s AND id < %(until_id)s))
  AND (%(before_id)s::uuid IS NULL OR id < %(before_id)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: unfinished --
SELECT state, count(*) AS count, extract(epoch FROM now() - min(received_at))::float8 AS oldest_s
FROM inbox
WHERE state IN ('received', 'retrying') OR (state = 'processing' AND lease_until IS NOT NULL)
GROUP BY state

-- name: count_dead --
SELECT count(*) AS count FROM inbox WHERE state = 'dead'

-- name: delete_old --
-- A row whose delivery id still counts stays: a repeat must find it.
DELETE FROM inbox
WHERE id IN (
    SELECT id FROM inbox
    WHERE finished_at < now() - %(keep_days)s * interval '1 day' AND state = 'handled' AND delivery_id IS NULL
    ORDER BY finished_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)

-- name: release_old_delivery_ids --
-- The idempotency window is over: the same id is a new delivery from now on.
UPDATE inbox SET delivery_id = NULL
WHERE id IN (
    SELECT id FROM inbox
    WHERE delivery_id IS NOT NULL AND received_at < now() - %(window_s)s * interval '1 second'
    ORDER BY received_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
