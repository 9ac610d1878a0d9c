-- What an experiment was at each instant: thresholds, variants, split. A past hour is decided on what was in force at
-- its end, so that deciding it again gives the same decision. Written by triggers, whatever wrote the experiment.
CREATE TABLE ab_experiment_history (
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    valid_from timestamptz NOT NULL,
    valid_until timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_until > valid_from),
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    start_date timestamptz NOT NULL,
    rollup_source text NOT NULL,
    promotion_config jsonb NOT NULL,
    variants jsonb NOT NULL,
    PRIMARY KEY (experiment_id, valid_from)
);
CREATE UNIQUE INDEX ab_experiment_history_one_open ON ab_experiment_history (experiment_id)
    WHERE valid_until = 'infinity';
COMMENT ON TABLE ab_experiment_history IS 'in force at an as-of in (valid_from, valid_until]';
COMMENT ON COLUMN ab_experiment_history.valid_from IS '-infinity: the first state known, which stands for all before it';
COMMENT ON COLUMN ab_experiment_history.noted_at IS 'when the database was told';
COMMENT ON COLUMN ab_experiment_history.variants IS 'variant id -> name, is_control, traffic (percent)';

CREATE TABLE ab_hold_history (
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    valid_from timestamptz NOT NULL,
    valid_until timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_until > valid_from),
    hold text NOT NULL,
    PRIMARY KEY (experiment_id, valid_from)
);
COMMENT ON TABLE ab_hold_history IS 'when automatic promotion of an experiment was on hold, and why';

-- Rows are added and closed, never changed: except the first set-up, as long as no decision of record rests on it.
CREATE FUNCTION history_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.valid_until = 'infinity'
        AND to_jsonb(OLD) - 'valid_until' = to_jsonb(NEW) - 'valid_until' THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'ab_experiment_history' AND OLD.valid_until = 'infinity'
        AND OLD.valid_from = '-infinity' AND NEW.valid_from = OLD.valid_from AND NEW.experiment_id = OLD.experiment_id
        AND NOT EXISTS (SELECT 1 FROM eligibility_decisions AS decided
            WHERE decided.experiment_id = OLD.experiment_id AND decided.label = 'record') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON ab_experiment_history
    FOR EACH ROW EXECUTE FUNCTION history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON ab_experiment_history
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON ab_hold_history
    FOR EACH ROW EXECUTE FUNCTION history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON ab_hold_history
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();

CREATE FUNCTION ab_note_history(target uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    experiment ab_experiments;
    known ab_experiment_history;
    arms jsonb;
    config jsonb;
    at timestamptz;
BEGIN
    SELECT * INTO experiment FROM ab_experiments WHERE id = target FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT coalesce(jsonb_object_agg(id::text, jsonb_build_object(
            'name', name, 'is_control', is_control, 'traffic', traffic_percentage)), '{}')
        INTO arms FROM ab_variants WHERE experiment_id = target;
    config := coalesce(experiment.promotion_config, '{}');
    SELECT * INTO known FROM ab_experiment_history WHERE experiment_id = target AND valid_until = 'infinity';
    IF known.experiment_id IS NULL THEN
        INSERT INTO ab_experiment_history
            (experiment_id, valid_from, start_date, rollup_source, promotion_config, variants)
        VALUES (target, '-infinity', experiment.start_date, experiment.rollup_source, config, arms);
        RETURN;
    END IF;
    IF (known.start_date, known.rollup_source, known.promotion_config, known.variants)
        IS NOT DISTINCT FROM (experiment.start_date, experiment.rollup_source, config, arms) THEN
        RETURN;
    END IF;
    SELECT max(phase.started_at) INTO at FROM ab_experiment_phases AS phase
        WHERE phase.experiment_id = target AND phase.ended_at IS NULL
            AND phase.started_at BETWEEN transaction_timestamp() AND clock_timestamp();
    -- What was never decided upon is still being set up.
    IF at IS NULL AND known.valid_from = '-infinity' AND NOT EXISTS (
            SELECT 1 FROM eligibility_decisions AS decided
            WHERE decided.experiment_id = target AND decided.label = 'record') THEN
        UPDATE ab_experiment_history
        SET start_date = experiment.start_date, rollup_source = experiment.rollup_source, promotion_config = config,
            variants = arms
        WHERE experiment_id = target AND valid_until = 'infinity';
        RETURN;
    END IF;
    -- One instant for a change of split and the phase that it opened.
    at := coalesce(at, clock_timestamp());
    at := greatest(at, known.valid_from + interval '1 microsecond');
    UPDATE ab_experiment_history SET valid_until = at WHERE experiment_id = target AND valid_until = 'infinity';
    INSERT INTO ab_experiment_history
        (experiment_id, valid_from, start_date, rollup_source, promotion_config, variants)
    VALUES (target, at, experiment.start_date, experiment.rollup_source, config, arms);
END $$;

CREATE OR REPLACE FUNCTION ab_experiment_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ab_sync_phase(NEW.id);
    PERFORM ab_note_history(NEW.id);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ab_variant_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ab_sync_phase(coalesce(NEW.experiment_id, OLD.experiment_id));
    PERFORM ab_note_history(coalesce(NEW.experiment_id, OLD.experiment_id));
    RETURN NULL;
END $$;

CREATE FUNCTION ab_hold_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    at constant timestamptz := clock_timestamp();
BEGIN
    UPDATE ab_hold_history SET valid_until = greatest(at, valid_from + interval '1 microsecond')
    WHERE experiment_id = NEW.id AND valid_until = 'infinity';
    IF NEW.auto_promotion_hold IS NOT NULL THEN
        INSERT INTO ab_hold_history (experiment_id, valid_from, hold)
        SELECT NEW.id, greatest(at, max(valid_until)), NEW.auto_promotion_hold
        FROM ab_hold_history WHERE experiment_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ab_hold_changed AFTER UPDATE ON ab_experiments FOR EACH ROW
    WHEN (OLD.auto_promotion_hold IS DISTINCT FROM NEW.auto_promotion_hold) EXECUTE FUNCTION ab_hold_changed();
CREATE TRIGGER ab_hold_given AFTER INSERT ON ab_experiments FOR EACH ROW
    WHEN (NEW.auto_promotion_hold IS NOT NULL) EXECUTE FUNCTION ab_hold_changed();

-- What is there now stands for all before it. An experiment that has begun was known by then.
INSERT INTO ab_experiment_history
    (experiment_id, valid_from, noted_at, start_date, rollup_source, promotion_config, variants)
SELECT id, '-infinity', least(start_date, clock_timestamp()), start_date, rollup_source,
    coalesce(promotion_config, '{}'),
    coalesce((SELECT jsonb_object_agg(variant.id::text, jsonb_build_object(
            'name', variant.name, 'is_control', variant.is_control, 'traffic', variant.traffic_percentage))
        FROM ab_variants AS variant WHERE variant.experiment_id = experiment.id), '{}')
FROM ab_experiments AS experiment;
INSERT INTO ab_hold_history (experiment_id, valid_from, hold)
SELECT id, clock_timestamp(), auto_promotion_hold FROM ab_experiments WHERE auto_promotion_hold IS NOT NULL;

-- The environment's thresholds that an hour was decided with, kept by whoever wrote its first decision of record.
CREATE TABLE evaluation_environments (
    id text PRIMARY KEY,
    config jsonb NOT NULL,
    first_used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE evaluation_hours (
    hour timestamptz PRIMARY KEY,
    environment_id text NOT NULL REFERENCES evaluation_environments (id)
);
CREATE FUNCTION environment_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER environment_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON evaluation_environments
    FOR EACH STATEMENT EXECUTE FUNCTION environment_is_kept();
CREATE TRIGGER environment_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON evaluation_hours
    FOR EACH STATEMENT EXECUTE FUNCTION environment_is_kept();
