-- Views in the words of earlier tools, for analysts. They show what the tables hold and keep nothing.

-- One row for each accepted webhook, with what became of it.
CREATE VIEW hook_events AS
SELECT id, source, action, resource, resource_id, event_type, family, environment, schema_version AS version,
       correlation_id, body -> 'data' AS payload,
       body ->> 'previous_state' AS previous_state, body ->> 'current_state' AS current_state,
       state AS status, greatest(attempt - 1, 0) AS retry_count, error_code, error AS error_message,
       received_at AS created_at, finished_at AS processed_at
FROM inbox;

-- One row for each webhook that came to its end: how long it took, in how many attempts, and whether it went well.
CREATE VIEW event_metrics AS
SELECT id AS event_id, source, event_type, family, state = 'handled' AS success, attempt AS attempts,
       extract(epoch FROM finished_at - received_at)::float8 * 1000 AS processing_time_ms,
       error_code, error AS error_message, received_at AS created_at, finished_at AS processed_at
FROM inbox
WHERE finished_at IS NOT NULL;
