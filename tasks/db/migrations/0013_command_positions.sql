-- How far the commands on Kafka were taken, moved in the transaction of what they asked for. A topic that was made anew
-- has another id, and begins at its beginning again.

CREATE TABLE command_positions (
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    topic_id    text        NOT NULL,
    next_offset bigint      NOT NULL CHECK (next_offset >= 0),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);
