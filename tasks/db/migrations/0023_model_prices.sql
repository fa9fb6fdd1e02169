-- What models cost: for a pattern of model names, from a day on. Days are whole and in UTC, so that a day's rollup has
-- one price. Executions that tell no cost are priced when they are asked about: a price that comes late counts for all
-- that it is valid for, and no rollup is written anew.

CREATE TABLE model_prices (
    pattern    text        NOT NULL CHECK (pattern <> ''),
    valid_from date        NOT NULL,
    input_usd  numeric     NOT NULL CHECK (input_usd >= 0),
    output_usd numeric     NOT NULL CHECK (output_usd >= 0),
    source     text        NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pattern, valid_from)
);
