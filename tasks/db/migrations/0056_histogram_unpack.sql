-- Buckets are cut out of bytes: to cut the n-th out of a text, PostgreSQL counts characters from its beginning.
CREATE OR REPLACE FUNCTION histogram_unpack(h packed_histogram) RETURNS TABLE (index integer, count bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN place < -639 THEN -32768 ELSE place END, count
    FROM (
        SELECT 576 + (whole - 12 * n) / 12 AS place,
               encode(substr(digits, 12 * n - 11, 12), 'escape')::bigint AS count
        FROM (
            SELECT (lpad(above, whole, '0') || rpad(below, (length(below) + 11) / 12 * 12, '0'))::bytea AS digits, whole
            FROM (
                SELECT split_part(h::text, '.', 1) AS above, split_part(h::text, '.', 2) AS below,
                       (length(split_part(h::text, '.', 1)) + 11) / 12 * 12 AS whole
            ) AS parts
        ) AS padded, LATERAL generate_series(1, length(digits) / 12) AS n
    ) AS buckets
    WHERE count > 0
    ORDER BY place
$$;
