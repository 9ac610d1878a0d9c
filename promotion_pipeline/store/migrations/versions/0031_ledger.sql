-- What became of each promotion's promise. Written again until its state is final.
CREATE TABLE realised_lift (
    promotion_id uuid PRIMARY KEY,
    experiment_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('measuring', 'measured', 'not_measurable')),
    reason text CHECK (reason IN ('no_traffic_on_control', 'too_few_requests', 'not_computable', 'broken_split',
        'variant_deleted', 'not_recorded')),
    source text CHECK (source IN ('holdback', 'ramp', 'rest')),
    as_of timestamptz NOT NULL,
    since timestamptz,
    until timestamptz,
    lift double precision,
    lift_lower double precision,
    lift_upper double precision,
    standard_error double precision,
    control_requests bigint,
    winner_requests bigint,
    analysis_unit text CHECK (analysis_unit IN ('user', 'request')),
    measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((state = 'not_measurable') = (reason IS NOT NULL)),
    CHECK (state <> 'measured' OR (lift IS NOT NULL AND standard_error IS NOT NULL AND source IS NOT NULL))
);
COMMENT ON TABLE realised_lift IS
    'What each promotion brought, held against what it promised. Bound: a row a promotion; kept for good, as the promotions are.';
COMMENT ON COLUMN realised_lift.source IS
    'what says it: the holdback, the steps of a ramp in which control kept traffic, or the rest of the experiment''s own phase';
COMMENT ON COLUMN realised_lift.lift IS 'of the winner over control, a fraction; positive where the winner is better';

-- The lifts that ended experiments showed: what the next ones' lifts are shrunk by.
CREATE TABLE ended_lifts (
    phase_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    ended_at timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    lift double precision,
    standard_error double precision,
    PRIMARY KEY (phase_id, variant_id)
);
CREATE INDEX ended_lifts_known ON ended_lifts (known_from);
COMMENT ON TABLE ended_lifts IS
    'The lift of every treatment of every ended experiment, winners and others alike, written once. Bound: a row a treatment of an ended experiment; kept for good, so that an hour that is evaluated again learns the same.';
COMMENT ON COLUMN ended_lifts.known_from IS
    'the end of the first hour that may use it; an evaluation of an earlier hour does not know it';
COMMENT ON COLUMN ended_lifts.lift IS 'a fraction; null: it could not be computed, or its split was broken';
COMMENT ON COLUMN ended_lifts.standard_error IS 'of the lift, a fraction';
COMMENT ON COLUMN realised_lift.state IS 'measuring, measured or not_measurable; the last two are final';
COMMENT ON COLUMN realised_lift.reason IS 'why it is not measurable';
COMMENT ON COLUMN realised_lift.as_of IS 'the end of the newest hour that was read';
COMMENT ON COLUMN realised_lift.since IS 'the start of the first hour that counts';
COMMENT ON COLUMN realised_lift.until IS 'until when requests count; null while it goes on';
COMMENT ON COLUMN realised_lift.lift_lower IS 'lower end of the interval of one look';
COMMENT ON COLUMN realised_lift.lift_upper IS 'its upper end';
COMMENT ON COLUMN realised_lift.standard_error IS 'of the lift, a fraction';
COMMENT ON COLUMN realised_lift.control_requests IS 'requests of control that count';
COMMENT ON COLUMN realised_lift.winner_requests IS 'requests of the winner that count';
COMMENT ON COLUMN realised_lift.analysis_unit IS 'user or request: what the standard error takes for independent';
COMMENT ON COLUMN realised_lift.measured_at IS 'when it was looked at last';
