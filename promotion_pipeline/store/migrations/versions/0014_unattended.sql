-- A decision says what made it. What was decided before this was known is taken to be the schedule's; whoever does not
-- say is a person.
ALTER TABLE eligibility_decisions ADD COLUMN made_by text NOT NULL DEFAULT 'schedule'
    CHECK (made_by IN ('schedule', 'automation', 'sweep', 'person'));
ALTER TABLE eligibility_decisions ALTER COLUMN made_by SET DEFAULT 'person';
COMMENT ON COLUMN eligibility_decisions.made_by IS 'only what schedule, automation or sweep made leads to an unattended promotion';
COMMENT ON COLUMN eligibility_decisions.label IS
    'record: the first decision about the hour, never rewritten; shadow: the first one of a deployment in shadow mode; else a re-evaluation';

-- What a shadow tried is not an attempt of the deployment that acts.
ALTER TABLE promotion_attempts DROP CONSTRAINT promotion_attempts_kind_check;
ALTER TABLE promotion_attempts ADD CONSTRAINT promotion_attempts_kind_check
    CHECK (kind IN ('decision', 'approval', 'ramp', 'shadow'));

-- The deployments in live mode, by their thresholds: a second one at work is told of. Rows older than a month go.
CREATE TABLE live_deployments (
    id text PRIMARY KEY,
    config jsonb NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    told_at timestamptz
);
COMMENT ON TABLE live_deployments IS 'thresholds that a deployment in live mode decides and acts with; seen_at: when it last looked';
COMMENT ON COLUMN live_deployments.since IS 'since when it has looked without a break';

-- Changes ab_sync_phase of 0001. A change of split or activity is a new phase whatever else the transaction changed:
-- only a start that is moved, by itself, moves the first phase. Without this an application that saves the whole row
-- with its start cut to milliseconds would put two splits into one phase.
CREATE OR REPLACE FUNCTION ab_sync_phase(target uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    experiment ab_experiments;
    open_phase ab_experiment_phases;
    split jsonb;
    phase_count integer;
    is_first boolean;
    is_same boolean;
    is_decided boolean;
    is_set_up boolean;
    at timestamptz;
BEGIN
    SELECT * INTO experiment FROM ab_experiments WHERE id = target FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    at := clock_timestamp();
    SELECT jsonb_object_agg(id::text, traffic_percentage) INTO split FROM ab_variants WHERE experiment_id = target;
    IF split IS NULL THEN RETURN; END IF;
    SELECT count(*) INTO phase_count FROM ab_experiment_phases WHERE experiment_id = target;
    SELECT * INTO open_phase FROM ab_experiment_phases WHERE experiment_id = target AND ended_at IS NULL;
    is_first := phase_count = 1;
    is_same := open_phase.traffic = split AND open_phase.is_running = experiment.is_active;
    IF phase_count = 0 THEN
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)
        VALUES (target, experiment.start_date, split, experiment.is_active);
        RETURN;
    ELSIF is_same AND open_phase.started_at <> experiment.start_date
        AND (is_first OR (open_phase.started_at >= at AND experiment.start_date >= at)) THEN
        UPDATE ab_experiment_phases SET started_at = experiment.start_date WHERE id = open_phase.id;
        RETURN;
    ELSIF is_same THEN
        RETURN;
    END IF;
    is_decided := EXISTS (SELECT 1 FROM eligibility_decisions AS decided
        WHERE decided.experiment_id = target AND decided.label IN ('record', 'shadow'));
    -- What is still being set up: nothing that was served, and judged, lies before the change.
    is_set_up := is_first AND NOT is_decided AND (
        -- It begins now or later, also by what this transaction says.
        experiment.start_date >= transaction_timestamp()
        -- The first split was never whole.
        OR (open_phase.is_running = experiment.is_active
            AND (SELECT abs(sum(value::numeric) - 100) > 0.05 FROM jsonb_each_text(open_phase.traffic)))
        -- A draft is started, and its start stated anew; a start cut to whole seconds states nothing.
        OR (open_phase.traffic = split AND experiment.is_active
            AND abs(extract(epoch FROM experiment.start_date - open_phase.started_at)) >= 1));
    IF is_set_up THEN
        UPDATE ab_experiment_phases
        SET started_at = experiment.start_date, traffic = split, is_running = experiment.is_active
        WHERE id = open_phase.id;
    ELSIF open_phase.started_at >= at THEN
        UPDATE ab_experiment_phases SET traffic = split, is_running = experiment.is_active WHERE id = open_phase.id;
    ELSE
        UPDATE ab_experiment_phases SET ended_at = at WHERE id = open_phase.id;
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)
        VALUES (target, CASE WHEN isfinite(experiment.start_date) THEN greatest(at, experiment.start_date) ELSE at END,
            split, experiment.is_active);
    END IF;
END $$;

-- Changes ab_variant_changed of 0008: a variant that is given to another experiment changes both.
CREATE OR REPLACE FUNCTION ab_variant_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ab_sync_phase(coalesce(NEW.experiment_id, OLD.experiment_id));
    PERFORM ab_note_history(coalesce(NEW.experiment_id, OLD.experiment_id));
    IF TG_OP = 'UPDATE' AND OLD.experiment_id IS DISTINCT FROM NEW.experiment_id THEN
        PERFORM ab_sync_phase(OLD.experiment_id);
        PERFORM ab_note_history(OLD.experiment_id);
    END IF;
    RETURN NULL;
END $$;

-- Experiments that were changed past the triggers (logical replication, a restore of data only, TRUNCATE): what their
-- open phase, or the set-up in force, says is not what their tables say. `targets` null: of all.
CREATE FUNCTION ab_unnoted(targets uuid[]) RETURNS TABLE (experiment_id uuid) LANGUAGE sql STABLE AS $$
    SELECT e.id
    FROM ab_experiments AS e
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(v.id::text, v.traffic_percentage) AS split,
            jsonb_object_agg(v.id::text, jsonb_build_object(
                'name', v.name, 'is_control', v.is_control, 'traffic', v.traffic_percentage)) AS arms
        FROM ab_variants AS v WHERE v.experiment_id = e.id
    ) AS now ON true
    LEFT JOIN ab_experiment_phases AS open ON open.experiment_id = e.id AND open.ended_at IS NULL
    LEFT JOIN ab_experiment_history AS known ON known.experiment_id = e.id AND known.valid_until = 'infinity'
    WHERE (targets IS NULL OR e.id = ANY(targets)) AND (
        (now.split IS NOT NULL AND (open.traffic, open.is_running) IS DISTINCT FROM (now.split, e.is_active))
        OR (known.start_date, known.rollup_source, known.promotion_config, known.variants) IS DISTINCT FROM
            (e.start_date, e.rollup_source, coalesce(e.promotion_config, '{}'), coalesce(now.arms, '{}')))
$$;
