-- What became worse with a model, by its own earlier days: one row for each finding. "since" is when the stretch of time
-- began that showed it, of the length "stretch"; change and values are in the unit of the metric.

CREATE TABLE model_regressions (
    id                  uuid             PRIMARY KEY,
    model               text             NOT NULL,
    task_type           text             NOT NULL,
    environment         text             NOT NULL,
    metric              text             NOT NULL CHECK (metric IN ('latency', 'errors', 'quality', 'cost')),
    stretch             text             NOT NULL CHECK (stretch IN ('hour', 'day')),
    state               text             NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved')),
    version             integer          NOT NULL DEFAULT 1,
    since               timestamptz      NOT NULL,
    detected_at         timestamptz      NOT NULL,
    baseline            double precision NOT NULL,
    current             double precision NOT NULL,
    change              double precision NOT NULL,
    p_value             double precision NOT NULL,
    executions          bigint           NOT NULL,
    baseline_executions bigint           NOT NULL,
    resolved_at         timestamptz,
    resolution          text             CHECK (resolution IN ('recovered', 'accepted')),
    resolved_value      double precision,
    CONSTRAINT model_regressions_end
        CHECK ((state = 'resolved') = (resolved_at IS NOT NULL) AND (state = 'resolved') = (resolution IS NOT NULL))
);

-- No second alarm for what goes on.
CREATE UNIQUE INDEX model_regressions_open ON model_regressions (model, task_type, environment, metric)
    WHERE state = 'open';
CREATE INDEX model_regressions_detected ON model_regressions (detected_at, id);
CREATE INDEX model_regressions_of_model ON model_regressions (model, detected_at);
