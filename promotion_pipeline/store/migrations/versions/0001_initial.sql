-- The application's three tables. IF NOT EXISTS: a team's own tables are adopted, missing columns added.
CREATE TABLE IF NOT EXISTS ab_experiments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE,
    is_active boolean NOT NULL DEFAULT true,
    start_date timestamptz NOT NULL DEFAULT now(),
    end_date timestamptz
);
ALTER TABLE ab_experiments
    ADD COLUMN IF NOT EXISTS end_date timestamptz,
    ADD COLUMN IF NOT EXISTS promotion_config jsonb DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS auto_promotion_hold text,
    ADD COLUMN IF NOT EXISTS rollup_source text NOT NULL DEFAULT 'requests'
        CHECK (rollup_source IN ('requests', 'imported')),
    ADD COLUMN IF NOT EXISTS owner_channel text;
COMMENT ON COLUMN ab_experiments.auto_promotion_hold IS 'why automatic promotion is on hold; null: it is not';
COMMENT ON COLUMN ab_experiments.rollup_source IS 'imported: the rollups were loaded from sums and are not rebuilt from ai_requests';

CREATE TABLE IF NOT EXISTS ab_variants (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    name text NOT NULL,
    is_control boolean NOT NULL DEFAULT false,
    traffic_percentage numeric(5, 2) NOT NULL DEFAULT 0 CHECK (traffic_percentage BETWEEN 0 AND 100),
    UNIQUE (experiment_id, name)
);

-- A table of our own making is kept by the day (0010); one that a team brings may be plain.
CREATE TABLE IF NOT EXISTS ai_requests (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    experiment_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    user_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    latency_ms double precision,
    is_error boolean NOT NULL DEFAULT false,
    converted boolean NOT NULL DEFAULT false,
    value numeric,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
ALTER TABLE ai_requests
    ADD COLUMN IF NOT EXISTS user_id text,
    ADD COLUMN IF NOT EXISTS value numeric;
DO $$ BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'ai_requests'::regclass) = 'p' THEN
        CREATE TABLE IF NOT EXISTS ai_requests_default PARTITION OF ai_requests DEFAULT;
    END IF;
END $$;
CREATE INDEX IF NOT EXISTS ai_requests_experiment_created_at ON ai_requests (experiment_id, created_at);

-- A stretch of an experiment in which neither the split nor is_active changed.
CREATE TABLE ab_experiment_phases (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    started_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= started_at),
    traffic jsonb NOT NULL,
    is_running boolean NOT NULL
);
CREATE UNIQUE INDEX ab_experiment_phases_one_open ON ab_experiment_phases (experiment_id) WHERE ended_at IS NULL;
CREATE INDEX ab_experiment_phases_started ON ab_experiment_phases (experiment_id, started_at);
COMMENT ON COLUMN ab_experiment_phases.traffic IS 'variant id -> percent of traffic';
COMMENT ON COLUMN ab_experiment_phases.is_running IS 'whether the experiment was active, so that the phase is judged';

CREATE FUNCTION ab_phases_never_overlap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM ab_experiments WHERE id = NEW.experiment_id FOR UPDATE;
    IF EXISTS (
        SELECT 1 FROM ab_experiment_phases other
        WHERE other.experiment_id = NEW.experiment_id AND other.id <> NEW.id
            AND tstzrange(other.started_at, other.ended_at) && tstzrange(NEW.started_at, NEW.ended_at)
    ) THEN
        RAISE EXCEPTION 'phase % to % of experiment % overlaps another phase',
            NEW.started_at, NEW.ended_at, NEW.experiment_id USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ab_phases_never_overlap BEFORE INSERT OR UPDATE ON ab_experiment_phases
    FOR EACH ROW EXECUTE FUNCTION ab_phases_never_overlap();

-- Bring the open phase in line with the variants. An application that writes only experiments and variants
-- needs nothing else: the first phase opens at start_date, a change of split opens the next.
-- A split that did not yet sum to 100, or a phase that has not begun, is completed in place.
CREATE FUNCTION ab_sync_phase(target uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    experiment ab_experiments;
    open_phase ab_experiment_phases;
    split jsonb;
    phase_count integer;
    at timestamptz;
BEGIN
    SELECT * INTO experiment FROM ab_experiments WHERE id = target FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    at := clock_timestamp();
    SELECT jsonb_object_agg(id::text, traffic_percentage) INTO split FROM ab_variants WHERE experiment_id = target;
    IF split IS NULL THEN RETURN; END IF;
    SELECT count(*) INTO phase_count FROM ab_experiment_phases WHERE experiment_id = target;
    SELECT * INTO open_phase FROM ab_experiment_phases WHERE experiment_id = target AND ended_at IS NULL;
    IF phase_count = 0 THEN
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)
        VALUES (target, experiment.start_date, split, experiment.is_active);
    ELSIF phase_count = 1 AND open_phase.started_at <> experiment.start_date THEN
        UPDATE ab_experiment_phases
        SET started_at = experiment.start_date, traffic = split, is_running = experiment.is_active
        WHERE id = open_phase.id;
    ELSIF open_phase.traffic = split AND open_phase.is_running = experiment.is_active THEN
        RETURN;
    ELSIF open_phase.started_at >= at
        OR (phase_count = 1 AND open_phase.is_running = experiment.is_active
            AND (SELECT abs(sum(value::numeric) - 100) > 0.05 FROM jsonb_each_text(open_phase.traffic))) THEN
        UPDATE ab_experiment_phases SET traffic = split, is_running = experiment.is_active WHERE id = open_phase.id;
    ELSE
        UPDATE ab_experiment_phases SET ended_at = at WHERE id = open_phase.id;
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)
        VALUES (target, at, split, experiment.is_active);
    END IF;
END $$;

CREATE FUNCTION ab_experiment_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ab_sync_phase(NEW.id);
    RETURN NULL;
END $$;
CREATE FUNCTION ab_variant_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ab_sync_phase(coalesce(NEW.experiment_id, OLD.experiment_id));
    RETURN NULL;
END $$;
-- Deferred: several rows that change in one transaction are one change of split.
CREATE CONSTRAINT TRIGGER ab_experiment_changed AFTER INSERT OR UPDATE ON ab_experiments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ab_experiment_changed();
CREATE CONSTRAINT TRIGGER ab_variant_changed AFTER INSERT OR UPDATE OR DELETE ON ab_variants
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ab_variant_changed();
DO $$ BEGIN PERFORM ab_sync_phase(id) FROM ab_experiments; END $$;

-- Frames, keyed by hour.
CREATE TABLE rollup_hours (
    hour timestamptz PRIMARY KEY,
    rolled_up_at timestamptz NOT NULL DEFAULT now(),
    requests bigint NOT NULL,
    unassigned_requests bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rollup_hours IS 'which hours were aggregated from ai_requests; unassigned: rows of no known variant or phase';

CREATE TABLE hourly_variant_rollups (
    hour timestamptz NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    requests bigint NOT NULL,
    conversions bigint NOT NULL,
    errors bigint NOT NULL,
    latency_samples bigint NOT NULL,
    latency_ms_sum double precision NOT NULL,
    latency_ms_sum_squares double precision NOT NULL,
    value_sum double precision NOT NULL,
    value_sum_squares double precision NOT NULL,
    new_users bigint NOT NULL DEFAULT 0,
    user_requests bigint NOT NULL DEFAULT 0,
    user_conversions bigint NOT NULL DEFAULT 0,
    user_conversions_sum_squares bigint NOT NULL DEFAULT 0,
    user_requests_sum_squares bigint NOT NULL DEFAULT 0,
    user_conversions_requests_sum_products bigint NOT NULL DEFAULT 0,
    newest_request_at timestamptz,
    PRIMARY KEY (hour, phase_id, variant_id)
);
CREATE INDEX hourly_variant_rollups_experiment ON hourly_variant_rollups (experiment_id, hour);

CREATE TABLE variant_metrics (
    hour timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid,
    variant_id uuid NOT NULL,
    variant_name text NOT NULL,
    is_control boolean NOT NULL,
    traffic_percentage double precision,
    requests bigint,
    conversions bigint,
    errors bigint,
    users bigint,
    conversion_rate double precision,
    error_rate double precision,
    mean_latency_ms double precision,
    mean_value double precision,
    PRIMARY KEY (hour, experiment_id, variant_id)
);

CREATE TABLE significance_results (
    hour timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid,
    variant_id uuid NOT NULL,
    control_variant_id uuid,
    z double precision,
    p_value double precision,
    confidence double precision,
    improvement double precision,
    lift double precision,
    lift_lower double precision,
    lift_upper double precision,
    always_valid_p_value double precision,
    always_valid_lower double precision,
    always_valid_upper double precision,
    adjusted_p_value double precision,
    PRIMARY KEY (hour, experiment_id, variant_id)
);

CREATE TABLE eligibility_decisions (
    hour timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    experiment_id uuid NOT NULL,
    label text NOT NULL DEFAULT 'record',
    phase_id uuid,
    verdict text NOT NULL CHECK (verdict IN ('eligible', 'not_yet', 'rejected', 'inconclusive', 'error')),
    is_eligible boolean NOT NULL,
    is_promotable boolean NOT NULL CHECK (is_eligible OR NOT is_promotable),
    candidate_variant_id uuid,
    candidate_variant_name text,
    control_variant_id uuid,
    control_variant_name text,
    confidence double precision,
    improvement double precision,
    z double precision,
    p_value double precision,
    always_valid_p_value double precision,
    lift_lower double precision,
    lift_upper double precision,
    sample_size bigint,
    runtime_hours double precision,
    error_rate double precision,
    conversion_rate double precision,
    control_conversion_rate double precision,
    srm_p_value double precision,
    analysis_unit text NOT NULL DEFAULT 'request',
    min_sample_size boolean NOT NULL,
    min_confidence boolean NOT NULL,
    min_improvement boolean NOT NULL,
    min_runtime boolean NOT NULL,
    error_rate_acceptable boolean NOT NULL,
    min_sample_size_threshold double precision NOT NULL,
    min_confidence_threshold double precision NOT NULL,
    min_improvement_threshold double precision NOT NULL,
    min_runtime_threshold double precision NOT NULL,
    error_rate_threshold double precision NOT NULL,
    reasons text[] NOT NULL,
    warnings text[] NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (hour, experiment_id, label),
    CHECK (is_eligible = (min_sample_size AND min_confidence AND min_improvement AND min_runtime
        AND error_rate_acceptable AND verdict = 'eligible'))
);
CREATE INDEX eligibility_decisions_experiment ON eligibility_decisions (experiment_id, hour);
COMMENT ON COLUMN eligibility_decisions.label IS 'record: the first decision about the hour, never rewritten; else a re-evaluation';

-- The lifecycle.
CREATE TABLE experiment_promotions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    experiment_name text NOT NULL,
    promoted_variant_id uuid NOT NULL,
    promoted_variant_name text NOT NULL,
    control_variant_id uuid NOT NULL,
    control_variant_name text NOT NULL,
    confidence numeric(5, 2) NOT NULL,
    improvement numeric(12, 4) NOT NULL,
    sample_size bigint NOT NULL,
    promotion_type text NOT NULL CHECK (promotion_type IN ('auto', 'manual')),
    promoted_by text NOT NULL,
    promoted_at timestamptz NOT NULL DEFAULT now(),
    rollback_at timestamptz,
    rollback_reason text,
    metadata jsonb NOT NULL DEFAULT '{}',
    rolled_back_by text,
    state text NOT NULL CHECK (state IN ('ramping', 'promoted', 'rolled_back')),
    evidence text NOT NULL,
    p_value double precision NOT NULL,
    z double precision NOT NULL,
    evaluated_as_of timestamptz NOT NULL,
    config jsonb NOT NULL,
    snapshot jsonb NOT NULL,
    ramp_step integer NOT NULL DEFAULT 0 CHECK (ramp_step >= 0),
    step_started_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'rolled_back') = (rollback_at IS NOT NULL)),
    CHECK ((state = 'rolled_back') = (rolled_back_by IS NOT NULL)),
    CHECK ((state = 'rolled_back') = (rollback_reason IS NOT NULL))
);
CREATE UNIQUE INDEX experiment_promotions_one_live ON experiment_promotions (experiment_id)
    WHERE state IN ('ramping', 'promoted');
CREATE INDEX experiment_promotions_experiment ON experiment_promotions (experiment_id, promoted_at);

-- A record is written once; afterwards only its state, its ramp and its rollback move, and a rollback is final.
CREATE FUNCTION promotions_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'experiment_promotions is append-only: % is not allowed', TG_OP;
    END IF;
    IF OLD.state = 'rolled_back' OR (OLD.state = 'promoted' AND NEW.state = 'ramping') THEN
        RAISE EXCEPTION 'promotion %: no way from % to %', OLD.id, OLD.state, NEW.state;
    END IF;
    IF to_jsonb(OLD) - ARRAY['state', 'ramp_step', 'step_started_at', 'rollback_at', 'rollback_reason', 'rolled_back_by']
        IS DISTINCT FROM
        to_jsonb(NEW) - ARRAY['state', 'ramp_step', 'step_started_at', 'rollback_at', 'rollback_reason', 'rolled_back_by']
    THEN
        RAISE EXCEPTION 'promotion %: what was recorded does not change', OLD.id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER promotions_keep_history BEFORE UPDATE OR DELETE ON experiment_promotions
    FOR EACH ROW EXECUTE FUNCTION promotions_keep_history();
CREATE TRIGGER promotions_are_not_truncated BEFORE TRUNCATE ON experiment_promotions
    FOR EACH STATEMENT EXECUTE FUNCTION promotions_keep_history();

CREATE TABLE promotion_approvals (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    candidate_variant_id uuid NOT NULL,
    candidate_variant_name text NOT NULL,
    state text NOT NULL DEFAULT 'awaiting_approval'
        CHECK (state IN ('awaiting_approval', 'approved', 'declined', 'expired', 'superseded')),
    as_of timestamptz NOT NULL,
    decision jsonb NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    answered_at timestamptz,
    answered_by text,
    reason text,
    CHECK ((state = 'awaiting_approval') = (answered_at IS NULL))
);
CREATE UNIQUE INDEX promotion_approvals_one_open ON promotion_approvals (experiment_id)
    WHERE state = 'awaiting_approval';

CREATE TABLE promotion_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    experiment_id uuid NOT NULL,
    promotion_id uuid,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX promotion_audit_experiment ON promotion_audit (experiment_id, id);
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'promotion_audit is append-only: % is not allowed', TG_OP;
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON promotion_audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- What people are to be told, written in the transaction of the act; one delivery a channel.
CREATE TABLE notification_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    level text NOT NULL CHECK (level IN ('info', 'warning', 'critical')),
    experiment_id uuid REFERENCES ab_experiments (id),
    promotion_id uuid REFERENCES experiment_promotions (id),
    dedup_key text NOT NULL UNIQUE,
    payload jsonb NOT NULL
);
CREATE TABLE notification_deliveries (
    outbox_id bigint NOT NULL REFERENCES notification_outbox (id),
    channel text NOT NULL CHECK (channel IN ('slack', 'pagerduty', 'email')),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'uncertain', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    delivered_at timestamptz,
    PRIMARY KEY (outbox_id, channel)
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (next_attempt_at) WHERE state = 'pending';
