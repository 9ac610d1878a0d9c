-- What would have been promoted in shadow mode is kept beside the promotions, once a phase and variant.
ALTER TABLE experiment_promotions ADD COLUMN phase_id uuid;
COMMENT ON COLUMN experiment_promotions.phase_id IS 'the phase that was judged';
ALTER TABLE experiment_promotions DROP CONSTRAINT experiment_promotions_state_check;
ALTER TABLE experiment_promotions ADD CONSTRAINT experiment_promotions_state_check
    CHECK (state IN ('ramping', 'promoted', 'rolled_back', 'shadow'));
CREATE UNIQUE INDEX experiment_promotions_one_shadow
    ON experiment_promotions (experiment_id, phase_id, promoted_variant_id) NULLS NOT DISTINCT
    WHERE state = 'shadow';
CREATE INDEX experiment_promotions_live ON experiment_promotions (state, step_started_at)
    WHERE state IN ('ramping', 'promoted');

-- A record is written once; afterwards only its state, its ramp and its rollback move, and a rollback is final.
CREATE OR REPLACE FUNCTION promotions_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving constant text[] :=
        ARRAY['state', 'ramp_step', 'step_started_at', 'rollback_at', 'rollback_reason', 'rolled_back_by'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('ramping', 'promoted', 'shadow') THEN
            RAISE EXCEPTION 'promotion %: a record does not begin as %', NEW.id, NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    ELSIF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'experiment_promotions is append-only: % is not allowed', TG_OP
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT (
        (OLD.state = 'ramping' AND NEW.state IN ('ramping', 'promoted', 'rolled_back'))
        OR (OLD.state = 'promoted' AND NEW.state = 'rolled_back')
    ) THEN
        RAISE EXCEPTION 'promotion %: no way from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF to_jsonb(OLD) - moving IS DISTINCT FROM to_jsonb(NEW) - moving THEN
        RAISE EXCEPTION 'promotion %: what was recorded does not change', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER promotions_keep_history ON experiment_promotions;
CREATE TRIGGER promotions_keep_history BEFORE INSERT OR UPDATE OR DELETE ON experiment_promotions
    FOR EACH ROW EXECUTE FUNCTION promotions_keep_history();

-- An approval may be given now and applied by the next run; then it names its promotion.
ALTER TABLE promotion_approvals ADD COLUMN promotion_id uuid REFERENCES experiment_promotions (id);
ALTER TABLE promotion_approvals ADD CONSTRAINT promotion_approvals_applied_if_approved
    CHECK (promotion_id IS NULL OR state = 'approved');
DROP INDEX promotion_approvals_one_open;
CREATE UNIQUE INDEX promotion_approvals_one_open ON promotion_approvals (experiment_id)
    WHERE state = 'awaiting_approval' OR (state = 'approved' AND promotion_id IS NULL);
CREATE INDEX promotion_approvals_experiment ON promotion_approvals (experiment_id, requested_at);

CREATE FUNCTION approvals_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving constant text[] := ARRAY['state', 'answered_at', 'answered_by', 'reason', 'promotion_id'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'awaiting_approval' THEN
            RAISE EXCEPTION 'approval %: a request does not begin as %', NEW.id, NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    ELSIF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'promotion_approvals is append-only: % is not allowed', TG_OP
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT (
        (OLD.state = 'awaiting_approval' AND NEW.state IN ('approved', 'declined', 'expired', 'superseded'))
        OR (OLD.state = 'approved' AND OLD.promotion_id IS NULL
            AND NEW.state IN ('approved', 'expired', 'superseded'))
    ) THEN
        RAISE EXCEPTION 'approval %: no way from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF to_jsonb(OLD) - moving IS DISTINCT FROM to_jsonb(NEW) - moving THEN
        RAISE EXCEPTION 'approval %: what was asked does not change', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approvals_keep_history BEFORE INSERT OR UPDATE OR DELETE ON promotion_approvals
    FOR EACH ROW EXECUTE FUNCTION approvals_keep_history();
CREATE TRIGGER approvals_are_not_truncated BEFORE TRUNCATE ON promotion_approvals
    FOR EACH STATEMENT EXECUTE FUNCTION approvals_keep_history();

-- Attempts at what is pending. A row without finished_at was cut off (or is at work): the next attempt has the
-- next number, which is also the run key's, so that a run that died is followed by another.
CREATE TABLE promotion_attempts (
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    as_of timestamptz NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    kind text NOT NULL CHECK (kind IN ('decision', 'approval', 'ramp')),
    actor text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    outcome text,
    message text,
    PRIMARY KEY (experiment_id, as_of, kind, attempt),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
