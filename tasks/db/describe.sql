-- name: columns --
SELECT format('%s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
              coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')) AS line
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v') AND c.relname !~ '^journal_([0-9]{8}|default)$'
ORDER BY c.relname, a.attnum

-- name: constraints --
SELECT format('%s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid)) AS line
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
WHERE c.relname !~ '^journal_([0-9]{8}|default)$' AND k.contype <> 'n'
ORDER BY c.relname, k.conname

-- name: indexes --
SELECT indexdef AS line FROM pg_indexes
WHERE schemaname = 'public' AND tablename !~ '^journal_([0-9]{8}|default)$'
ORDER BY tablename, indexname

-- name: options --
SELECT format('%s %s', c.relname, array_to_string(c.reloptions, ' ')) AS line
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
WHERE c.relkind IN ('r', 'p') AND c.reloptions IS NOT NULL AND c.relname !~ '^journal_[0-9]{8}$'
ORDER BY c.relname

-- name: functions --
SELECT format('%s(%s) %s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) AS line
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'public'
ORDER BY p.proname
