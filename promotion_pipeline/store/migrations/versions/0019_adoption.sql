-- Changes the functions ab_sync_phase and ab_note_history (wrapped under their names), ensure_request_days (replaced) and
-- the check of experiment_promotions.state (one state more).

-- Which tables of the application were there before us: we neither add partitions to them nor drop any.
CREATE TABLE adopted_tables (
    name text PRIMARY KEY,
    adopted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO adopted_tables (name)
SELECT 'ai_requests' WHERE NOT EXISTS (
    SELECT 1 FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = 'ai_requests'::regclass AND child.relname = 'ai_requests_default');

-- One state more, whatever states there are: a promotion that was recorded before us and governs no traffic any more.
DO $$
DECLARE
    check_now text;
BEGIN
    SELECT pg_get_constraintdef(oid) INTO check_now FROM pg_constraint
        WHERE conrelid = 'experiment_promotions'::regclass AND conname = 'experiment_promotions_state_check';
    ALTER TABLE experiment_promotions DROP CONSTRAINT experiment_promotions_state_check;
    EXECUTE 'ALTER TABLE experiment_promotions ADD CONSTRAINT experiment_promotions_state_check '
        || replace(check_now, 'ARRAY[', 'ARRAY[''ended''::text, ');
END $$;

-- The application may delete an experiment: no key of ours keeps it from that.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 AND confrelid IN ('ab_experiments'::regclass, 'ab_variants'::regclass)
            AND conrelid NOT IN ('ab_variants'::regclass, 'ai_requests'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.of_table, found.conname);
    END LOOP;
END $$;

-- What was worked out about a deleted experiment goes with it; what was decided and done stays. Its requests, if they
-- stay, belong nowhere from then on.
CREATE FUNCTION ab_forget_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[];
BEGIN
    SELECT array_agg(DISTINCT phase.experiment_id) INTO gone FROM ab_experiment_phases AS phase
        WHERE NOT EXISTS (SELECT 1 FROM ab_experiments WHERE id = phase.experiment_id);
    IF gone IS NULL THEN RETURN NULL; END IF;
    UPDATE rollup_hours AS rolled SET unassigned_requests = rolled.unassigned_requests + sums.requests
    FROM (SELECT hour, sum(requests) AS requests FROM hourly_variant_rollups
        WHERE experiment_id = ANY(gone) GROUP BY hour) AS sums
    WHERE rolled.hour = sums.hour;
    DELETE FROM hourly_user_rollups AS of_user
    USING (SELECT DISTINCT hour, phase_id FROM hourly_variant_rollups WHERE experiment_id = ANY(gone)) AS rolled
    WHERE of_user.hour = rolled.hour AND of_user.phase_id = rolled.phase_id;
    DELETE FROM hourly_variant_rollups WHERE experiment_id = ANY(gone);
    DELETE FROM late_changes WHERE experiment_id = ANY(gone);
    DELETE FROM ab_experiment_phases WHERE experiment_id = ANY(gone);
    UPDATE experiment_promotions SET state = 'rolled_back', rollback_at = clock_timestamp(),
        rollback_reason = 'the experiment was deleted', rolled_back_by = session_user
    WHERE experiment_id = ANY(gone) AND state IN ('ramping', 'promoted');
    UPDATE promotion_approvals SET state = 'superseded', answered_at = clock_timestamp(), answered_by = session_user,
        reason = 'the experiment was deleted'
    WHERE experiment_id = ANY(gone) AND (state = 'awaiting_approval' OR (state = 'approved' AND promotion_id IS NULL));
    RETURN NULL;
END $$;
CREATE TRIGGER ab_forget_deleted AFTER DELETE ON ab_experiments
    FOR EACH STATEMENT EXECUTE FUNCTION ab_forget_deleted();
CREATE TRIGGER ab_forget_truncated AFTER TRUNCATE ON ab_experiments
    FOR EACH STATEMENT EXECUTE FUNCTION ab_forget_deleted();

-- An experiment without a start is a draft: it has no phase and no history until it gets one.
ALTER FUNCTION ab_sync_phase(uuid) RENAME TO ab_sync_phase_of_started;
CREATE FUNCTION ab_sync_phase(target uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ab_experiments WHERE id = target AND start_date IS NULL) THEN
        UPDATE ab_experiment_phases SET ended_at = greatest(started_at, clock_timestamp())
        WHERE experiment_id = target AND ended_at IS NULL;
    ELSE
        PERFORM ab_sync_phase_of_started(target);
    END IF;
END $$;
ALTER FUNCTION ab_note_history(uuid) RENAME TO ab_note_history_of_started;
CREATE FUNCTION ab_note_history(target uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ab_experiments WHERE id = target AND start_date IS NULL) THEN
        PERFORM ab_note_history_of_started(target);
    END IF;
END $$;

-- Where promotions were recorded before us. A row of somebody who knows nothing of us is completed; a row of ours stays
-- as it was recorded.
CREATE FUNCTION adopted_promotions_fill() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    t double precision;
    arms jsonb;
    winner jsonb;
    control jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF NOT OLD.snapshot ? 'adopted' AND EXISTS (SELECT 1 FROM ab_experiments WHERE id = OLD.experiment_id) THEN
            RAISE EXCEPTION 'promotion %: what was recorded is not deleted while its experiment is there', OLD.id
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.snapshot IS NOT NULL THEN
        IF OLD.rollback_at IS NULL AND NEW.rollback_at IS NOT NULL AND NEW.state IN ('ramping', 'promoted') THEN
            NEW.state := 'rolled_back';
            NEW.rollback_reason := coalesce(NEW.rollback_reason, '(not recorded)');
            NEW.rolled_back_by := coalesce(NEW.rolled_back_by, session_user);
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.snapshot IS NOT NULL THEN RETURN NEW; END IF;
    NEW.state := CASE
        WHEN NEW.rollback_at IS NOT NULL THEN 'rolled_back'
        WHEN TG_OP = 'INSERT' THEN 'promoted'
        WHEN NOT EXISTS (SELECT 1 FROM experiment_promotions AS later WHERE later.experiment_id = NEW.experiment_id
                AND (later.promoted_at, later.id) > (NEW.promoted_at, NEW.id))
            AND EXISTS (SELECT 1 FROM ab_experiments WHERE id = NEW.experiment_id AND NOT is_active)
            AND EXISTS (SELECT 1 FROM ab_variants WHERE id = NEW.promoted_variant_id AND traffic_percentage = 100)
        THEN 'promoted' ELSE 'ended' END;
    IF NEW.state = 'rolled_back' THEN NEW.rolled_back_by := coalesce(NEW.rolled_back_by, '(not recorded)'); END IF;
    IF TG_OP = 'INSERT' AND NEW.state = 'promoted' THEN
        UPDATE experiment_promotions SET state = 'rolled_back', rollback_at = clock_timestamp(),
            rollback_reason = 'another promotion was recorded', rolled_back_by = session_user
        WHERE experiment_id = NEW.experiment_id AND state IN ('ramping', 'promoted');
    END IF;
    NEW.p_value := greatest(0, least(1, 1 - NEW.confidence / 100.0));
    -- Abramowitz and Stegun 26.2.23: within 0.0005, and a confidence of two decimals says no more. 100.00 is 99.995.
    t := sqrt(-2 * ln(greatest(NEW.p_value, 5e-5) / 2));
    NEW.z := greatest(0, t - (2.515517 + 0.802853 * t + 0.010328 * t * t)
        / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t));
    NEW.evaluated_as_of := coalesce(NEW.evaluated_as_of, NEW.promoted_at);
    NEW.step_started_at := coalesce(NEW.step_started_at, NEW.promoted_at);
    SELECT coalesce(jsonb_agg(jsonb_build_object('variant_id', id, 'variant_name', name, 'is_control', is_control,
            'traffic_percentage', traffic_percentage, 'requests', NULL, 'conversions', NULL, 'errors', NULL,
            'users', NULL, 'conversion_rate', NULL, 'error_rate', NULL, 'mean_latency_ms', NULL, 'mean_value', NULL)
            ORDER BY name), '[]'),
        coalesce(jsonb_object_agg(id::text, CASE id WHEN NEW.promoted_variant_id THEN '100.00' ELSE '0.00' END), '{}'),
        coalesce(jsonb_object_agg(id::text, CASE id WHEN NEW.control_variant_id THEN '100.00' ELSE '0.00' END), '{}')
        INTO arms, winner, control FROM ab_variants WHERE experiment_id = NEW.experiment_id;
    NEW.snapshot := jsonb_build_object('format', 1,
        'adopted', 'not recorded by this product: the split from before is not known, a rollback gives all to control',
        'taken_at', NEW.promoted_at::timestamptz, 'phase_id', NULL, 'watermark', NULL, 'hold', NULL,
        'split_before', control, 'split_after', winner,
        'ramp', jsonb_build_array(jsonb_build_object('percent', 100.0, 'split', winner)),
        'reasons', '[]'::jsonb, 'warnings', '[]'::jsonb, 'variants', arms, 'significance', '[]'::jsonb,
        'decision', (SELECT jsonb_object_agg(attname, CASE
                WHEN attname LIKE '%\_threshold' THEN '0'::jsonb
                WHEN attname IN ('is_eligible', 'min_sample_size', 'min_confidence', 'min_improvement', 'min_runtime',
                    'error_rate_acceptable') THEN 'true'::jsonb
                WHEN attname = 'is_promotable' THEN 'false'::jsonb
                ELSE 'null'::jsonb END)
            FROM pg_attribute WHERE attrelid = 'eligibility_decisions'::regclass AND attnum > 0 AND NOT attisdropped
                AND attname NOT IN ('label', 'decided_at'))
        || jsonb_build_object('hour', NEW.promoted_at::timestamptz, 'as_of', NEW.promoted_at::timestamptz,
            'experiment_id', NEW.experiment_id, 'verdict', 'eligible',
            'candidate_variant_id', NEW.promoted_variant_id, 'candidate_variant_name', NEW.promoted_variant_name,
            'control_variant_id', NEW.control_variant_id, 'control_variant_name', NEW.control_variant_name,
            'confidence', NEW.confidence, 'improvement', NEW.improvement, 'sample_size', NEW.sample_size,
            'analysis_unit', 'request', 'reasons', '[]'::jsonb, 'warnings', '[]'::jsonb));
    RETURN NEW;
END $$;

-- As before, and nothing for a log that a team keeps by partitions of its own.
CREATE OR REPLACE FUNCTION ensure_request_days(first date, last date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day date;
    name text;
    made integer := 0;
BEGIN
    IF EXISTS (SELECT 1 FROM adopted_tables AS adopted WHERE adopted.name = 'ai_requests') THEN RETURN 0; END IF;
    FOR day IN SELECT generate_series(first, last, '1 day')::date LOOP
        name := 'ai_requests_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
        IF made = 0 THEN
            -- First: whoever writes to the default partition meanwhile would lock in another order.
            LOCK TABLE ai_requests_default IN ACCESS EXCLUSIVE MODE;
        END IF;
        EXECUTE format('CREATE TABLE %I (LIKE ai_requests INCLUDING DEFAULTS INCLUDING STORAGE)', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM ai_requests_default WHERE created_at >= %1$L AND created_at < %2$L RETURNING *)'
            ' INSERT INTO %3$I SELECT * FROM moved ORDER BY created_at',
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC', name);
        EXECUTE format('ALTER TABLE ai_requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Drops partitions that ensure_request_days made: whoever runs the product need not own them.
CREATE FUNCTION drop_request_days(days date[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    IF EXISTS (SELECT 1 FROM adopted_tables AS adopted WHERE adopted.name = 'ai_requests') THEN RETURN; END IF;
    FOR found IN SELECT child.oid::regclass AS partition
        FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'ai_requests'::regclass
            AND child.relname IN (SELECT 'ai_requests_' || to_char(day, 'YYYYMMDD') FROM unnest(days) AS day)
    LOOP
        EXECUTE format('DROP TABLE %s', found.partition);
    END LOOP;
END $$;
