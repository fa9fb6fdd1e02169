-- The table of prices.

-- name: all --
SELECT pattern, valid_from, input_usd, output_usd, source, set_at FROM model_prices ORDER BY pattern, valid_from

-- name: set --
-- A price that already holds on its day is left as it is, so that a file that is imported every day adds only what
-- changed.
WITH rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row (
        pattern text, valid_from date, input_usd numeric, output_usd numeric
    )
)
INSERT INTO model_prices AS price (pattern, valid_from, input_usd, output_usd, source)
SELECT pattern, valid_from, input_usd, output_usd, %(source)s FROM rows
WHERE (input_usd, output_usd) IS DISTINCT FROM (
    SELECT (known.input_usd, known.output_usd) FROM model_prices AS known
    WHERE known.pattern = rows.pattern AND known.valid_from <= rows.valid_from
    ORDER BY known.valid_from DESC LIMIT 1
)
ORDER BY pattern, valid_from
ON CONFLICT (pattern, valid_from) DO UPDATE
SET input_usd = excluded.input_usd, output_usd = excluded.output_usd, source = excluded.source, set_at = now()
RETURNING pattern

-- name: remove --
DELETE FROM model_prices WHERE pattern = %(pattern)s AND valid_from = %(valid_from)s
