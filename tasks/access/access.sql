-- The SQL of API keys and of the security audit log.

-- name: create_key --
INSERT INTO api_keys (id, name, prefix, key_hash, scopes, expires_at)
VALUES (%(id)s, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s, %(expires_at)s)
RETURNING id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at

-- name: find_key --
SELECT id, name, key_hash, scopes, expires_at, revoked_at FROM api_keys WHERE key_hash = %(key_hash)s

-- name: touch_key --
-- At most one write a minute for a busy key.
UPDATE api_keys SET last_used_at = now()
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')

-- name: list_keys --
SELECT id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at
FROM api_keys ORDER BY created_at, id

-- name: revoke_key --
UPDATE api_keys SET revoked_at = now()
WHERE (id::text = %(which)s OR prefix = %(which)s) AND revoked_at IS NULL
RETURNING id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at

-- name: record --
INSERT INTO security_audit_log (event_id, kind, code, actor, address, method, path, detail, correlation_id)
VALUES (%(event_id)s, %(kind)s, %(code)s, %(actor)s, %(address)s, %(method)s, %(path)s, %(detail)s, %(correlation_id)s)

-- name: delete_old_records --
DELETE FROM security_audit_log
WHERE id IN (
    SELECT id FROM security_audit_log
    WHERE recorded_at < now() - %(keep_days)s * interval '1 day'
    ORDER BY recorded_at
    LIMIT %(limit)s
)
