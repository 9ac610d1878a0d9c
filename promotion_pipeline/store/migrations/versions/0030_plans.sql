-- Of a plan nothing may be chosen after the first look: the size, how the error is spent, and whether it is decided by it.
-- Null: no size is stated. Names as `promotion_config` may have them; a number and the same number as a text are alike.
CREATE FUNCTION ab_plan_of(config jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN size IS NOT NULL THEN jsonb_build_object(
        'planned_sample_size', size, 'spending', coalesce(spending, 'obrien_fleming'),
        'is_evidence', coalesce(config ->> 'evidence', '') = 'group_sequential') END
    FROM (SELECT coalesce(config ->> 'planned_sample_size', config ->> 'plannedSampleSize') AS size,
        coalesce(config ->> 'group_sequential_spending', config ->> 'groupSequentialSpending') AS spending) AS stated
$$;

ALTER TABLE ab_experiment_phases ADD COLUMN plan jsonb;
COMMENT ON COLUMN ab_experiment_phases.plan IS
    'the planned size as it was stated before the first look, with its spending; null: none is stated';
UPDATE ab_experiment_phases AS phase SET plan = ab_plan_of(experiment.promotion_config)
FROM ab_experiments AS experiment
WHERE experiment.id = phase.experiment_id AND phase.ended_at IS NULL
    AND ab_plan_of(experiment.promotion_config) IS NOT NULL;

-- Another plan: stated anew before the first look of the open phase, else measured anew. Whoever wants to may look at what
-- is summed up already, without a decision of record.
CREATE FUNCTION ab_sync_plan(target uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    open_phase ab_experiment_phases;
    wanted jsonb;
    at timestamptz;
BEGIN
    SELECT ab_plan_of(promotion_config) INTO wanted FROM ab_experiments WHERE id = target FOR UPDATE;
    SELECT * INTO open_phase FROM ab_experiment_phases WHERE experiment_id = target AND ended_at IS NULL;
    IF open_phase.id IS NULL OR open_phase.plan IS NOT DISTINCT FROM wanted THEN RETURN; END IF;
    at := clock_timestamp();
    IF open_phase.started_at >= at OR NOT (EXISTS (SELECT 1 FROM eligibility_decisions AS decided
            WHERE decided.experiment_id = target AND decided.phase_id = open_phase.id
                AND decided.label IN ('record', 'shadow'))
            OR EXISTS (SELECT 1 FROM hourly_variant_rollups AS summed WHERE summed.experiment_id = target
                AND summed.phase_id = open_phase.id)) THEN
        UPDATE ab_experiment_phases SET plan = wanted WHERE id = open_phase.id;
        RETURN;
    END IF;
    UPDATE ab_experiment_phases SET ended_at = at WHERE id = open_phase.id;
    INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running, plan)
    VALUES (target, at, open_phase.traffic, open_phase.is_running, wanted);
    -- Whatever else a phase keeps of its experiment.
    PERFORM ab_sync_phase_of_started(target);
END $$;

-- Changes ab_sync_phase (made by 0019): the plan is looked at after split and activity.
CREATE OR REPLACE FUNCTION ab_sync_phase(target uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ab_experiments WHERE id = target AND start_date IS NULL) THEN
        UPDATE ab_experiment_phases SET ended_at = greatest(started_at, clock_timestamp())
        WHERE experiment_id = target AND ended_at IS NULL;
    ELSE
        PERFORM ab_sync_phase_of_started(target);
        PERFORM ab_sync_plan(target);
    END IF;
END $$;
