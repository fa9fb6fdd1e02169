"""The table of the receiver by hand."""

SCHEMA = """
CREATE TABLE events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL,
    delivery_id text NOT NULL,
    body        jsonb NOT NULL,
    state       text NOT NULL DEFAULT 'received',
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, delivery_id)
)
"""
