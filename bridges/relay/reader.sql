-- How the relay reads the journal. See reader.py for the order that it keeps.

-- name: declare_rows --
-- A cursor: one snapshot for all rows, and only as many are fetched as fit. The index of each partition is in id
-- order, so this is a merge of index scans that stops early.
DECLARE relay_rows NO SCROLL CURSOR FOR
SELECT id, event_id::text, aggregate_type, aggregate_id, version, event_type, payload::text,
       correlation_id, causation_id,
       to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       partition_key
FROM journal
WHERE id > %(after)s
ORDER BY id
LIMIT %(limit)s

-- name: fetch_rows --
FETCH FORWARD %(rows)s FROM relay_rows

-- name: id_owners --
-- The transactions that have taken journal ids and have not ended: nextval keeps this lock to the transaction's end.
SELECT virtualtransaction AS owner
FROM pg_locks
WHERE locktype = 'relation'
  AND relation = 'journal_id_seq'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND mode = 'RowExclusiveLock'
