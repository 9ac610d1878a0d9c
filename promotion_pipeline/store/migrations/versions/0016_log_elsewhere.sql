-- Which requests failed is not known of every log: null is "not measured", and passes no check.
ALTER TABLE hourly_variant_rollups ALTER COLUMN errors DROP NOT NULL;
COMMENT ON COLUMN hourly_variant_rollups.errors IS 'requests that failed; null where the log does not say';
ALTER TABLE phase_totals ALTER COLUMN errors DROP NOT NULL;

-- Hours of which the log does not have what it had, or cannot give what it has. At most a row an hour and experiment;
-- deleted as soon as the log has the requests again, and with the experiment.
CREATE TABLE log_gaps (
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id) ON DELETE CASCADE,
    hour timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('vanished', 'unreadable')),
    requests bigint NOT NULL,
    detail text NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (experiment_id, hour)
);
CREATE INDEX log_gaps_hour ON log_gaps (hour);
COMMENT ON TABLE log_gaps IS 'hours of which the log has lost requests that were counted, or has a file that cannot be read';
COMMENT ON COLUMN log_gaps.requests IS 'the requests that were counted before and are kept';
