CREATE TABLE metric_results (
    hour timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid,
    variant_id uuid NOT NULL,
    control_variant_id uuid,
    metric text NOT NULL,
    kind text NOT NULL,
    role text NOT NULL CHECK (role IN ('goal', 'guardrail', 'secondary')),
    direction text NOT NULL CHECK (direction IN ('increase', 'decrease')),
    margin_percent double precision,
    control_estimate double precision,
    estimate double precision,
    difference double precision,
    standard_error double precision,
    lift double precision,
    lift_lower double precision,
    lift_upper double precision,
    p_value double precision,
    adjusted_p_value double precision,
    always_valid_p_value double precision,
    always_valid_lower double precision,
    always_valid_upper double precision,
    control_sample double precision,
    sample double precision,
    is_adjusted boolean NOT NULL,
    theta double precision,
    variance_reduction double precision,
    noninferiority_p_value double precision,
    guardrail_p_value double precision,
    outcome text NOT NULL CHECK (outcome IN ('better', 'worse', 'no_sign', 'not_measured')),
    guardrail text CHECK (guardrail IN ('kept', 'not_kept', 'not_measured')),
    reason text NOT NULL,
    PRIMARY KEY (hour, experiment_id, variant_id, metric)
);
COMMENT ON TABLE metric_results IS
    'Every metric that an experiment states, treatment against control at each hour. Bound: a row an hour of each treatment and metric; may be deleted and computed again.';
COMMENT ON COLUMN metric_results.outcome IS
    'what the always-valid test shows, in the direction that is better; of a goal, by Holm over all goals';
COMMENT ON COLUMN metric_results.guardrail IS 'whether it lets the treatment go unattended; null: it is no guardrail';
COMMENT ON COLUMN metric_results.reason IS 'measured, or why it could not be';

-- Missing for what was decided before.
ALTER TABLE eligibility_decisions
    ADD COLUMN guardrails_not_kept text[],
    ADD COLUMN guardrails_not_measured text[];
COMMENT ON COLUMN eligibility_decisions.guardrails_not_kept IS
    'by name: the guardrails that keep the candidate from going unattended';
COMMENT ON COLUMN eligibility_decisions.guardrails_not_measured IS 'those of them that could not be measured';
