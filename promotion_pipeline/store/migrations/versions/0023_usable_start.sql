-- Changes ab_sync_phase_of_started (made as ab_sync_phase by 0014, renamed by 0019). A phase begins within usable_start:
-- compared with the start as it was written, the first phase of an experiment that starts beyond never equals it, and
-- every change of the split would overwrite the phase instead of beginning another.
CREATE OR REPLACE FUNCTION ab_sync_phase_of_started(target uuid) RETURNS void LANGUAGE plpgsql AS $$
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
    start timestamptz;
BEGIN
    SELECT * INTO experiment FROM ab_experiments WHERE id = target FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    at := clock_timestamp();
    start := usable_start(experiment.start_date);
    SELECT jsonb_object_agg(id::text, traffic_percentage) INTO split FROM ab_variants WHERE experiment_id = target;
    IF split IS NULL THEN RETURN; END IF;
    SELECT count(*) INTO phase_count FROM ab_experiment_phases WHERE experiment_id = target;
    SELECT * INTO open_phase FROM ab_experiment_phases WHERE experiment_id = target AND ended_at IS NULL;
    is_first := phase_count = 1;
    is_same := open_phase.traffic = split AND open_phase.is_running = experiment.is_active;
    IF phase_count = 0 THEN
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)
        VALUES (target, start, split, experiment.is_active);
        RETURN;
    ELSIF is_same AND open_phase.started_at <> start
        AND (is_first OR (open_phase.started_at >= at AND start >= at)) THEN
        UPDATE ab_experiment_phases SET started_at = start WHERE id = open_phase.id;
        RETURN;
    ELSIF is_same THEN
        RETURN;
    END IF;
    is_decided := EXISTS (SELECT 1 FROM eligibility_decisions AS decided
        WHERE decided.experiment_id = target AND decided.label IN ('record', 'shadow'));
    -- What is still being set up: nothing that was served, and judged, lies before the change.
    is_set_up := is_first AND NOT is_decided AND (
        -- It begins now or later, also by what this transaction says.
        start >= transaction_timestamp()
        -- The first split was never whole.
        OR (open_phase.is_running = experiment.is_active
            AND (SELECT abs(sum(value::numeric) - 100) > 0.05 FROM jsonb_each_text(open_phase.traffic)))
        -- A draft is started, and its start stated anew; a start cut to whole seconds states nothing.
        OR (open_phase.traffic = split AND experiment.is_active
            AND abs(extract(epoch FROM start - open_phase.started_at)) >= 1));
    IF is_set_up THEN
        UPDATE ab_experiment_phases
        SET started_at = start, traffic = split, is_running = experiment.is_active
        WHERE id = open_phase.id;
    ELSIF open_phase.started_at >= at THEN
        UPDATE ab_experiment_phases SET traffic = split, is_running = experiment.is_active WHERE id = open_phase.id;
    ELSE
        UPDATE ab_experiment_phases SET ended_at = at WHERE id = open_phase.id;
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)
        VALUES (target, CASE WHEN isfinite(experiment.start_date) THEN greatest(at, start) ELSE at END,
            split, experiment.is_active);
    END IF;
END $$;
