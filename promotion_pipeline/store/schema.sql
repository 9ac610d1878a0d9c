-- The whole schema, as all migrations leave it in an empty database. Made by
-- `python -m promotion_pipeline_tests.handbook.schema`: to change it, add a migration and make it anew.
-- The comment of each table says what it is for and what bounds its growth.

CREATE FUNCTION public.ab_experiment_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    PERFORM ab_sync_phase(NEW.id);
    PERFORM ab_note_history(NEW.id);
    RETURN NULL;
END $$;

CREATE FUNCTION public.ab_fixed_in_phase(config jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    list jsonb := config -> 'metrics';
BEGIN
    IF jsonb_typeof(list) = 'string' THEN
        BEGIN
            list := (config ->> 'metrics')::jsonb;
        EXCEPTION WHEN others THEN
            RETURN '{}';
        END;
    END IF;
    IF jsonb_typeof(list) IS DISTINCT FROM 'array' THEN RETURN '{}'; END IF;
    -- What cannot be a metric is an error of the experiment's set-up, told where it is evaluated.
    RETURN (SELECT coalesce(jsonb_object_agg('metric:' || btrim(one ->> 'name'), jsonb_strip_nulls(jsonb_build_object(
            'kind', one -> 'kind', 'event', one -> 'event', 'column', one -> 'column', 'cap', one -> 'cap',
            'numerator', btrim(one ->> 'numerator'), 'denominator', btrim(one ->> 'denominator'),
            'covariate', one -> 'covariate',
            'covariate_days', CASE WHEN jsonb_typeof(one -> 'covariate') = 'string'
                THEN coalesce(one -> 'covariateDays', one -> 'covariate_days', '14') END))), '{}')
        FROM jsonb_array_elements(list) AS one
        WHERE jsonb_typeof(one) = 'object' AND btrim(one ->> 'name') <> '');
END $$;

CREATE FUNCTION public.ab_forget_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ab_hold_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ab_is_fixed_otherwise(known jsonb, wanted jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    SELECT EXISTS (SELECT 1 FROM jsonb_each(wanted) AS now
        WHERE known ? now.key AND known -> now.key IS DISTINCT FROM now.value)
$$;

CREATE FUNCTION public.ab_note_history(target uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ab_experiments WHERE id = target AND start_date IS NULL) THEN
        PERFORM ab_note_history_of_started(target);
    END IF;
END $$;

CREATE FUNCTION public.ab_note_history_of_started(target uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ab_one_experiment_a_flag() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $_$
DECLARE
    place constant text := traffic_place(NEW.traffic_target);
    strategy constant text := NEW.traffic_target ->> 'strategy_id';
    other text;
BEGIN
    IF place IS NULL OR current_setting('promotion_pipeline.going_back', true) = 'on' THEN RETURN NULL; END IF;
    IF NOT NEW.is_active AND NOT EXISTS (SELECT 1 FROM experiment_promotions
        WHERE experiment_id = NEW.id AND state IN ('ramping', 'promoted')) THEN RETURN NULL; END IF;
    -- Two that are configured at once wait for each other; the second then sees the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(place, 500135192166));
    SELECT e.name INTO other FROM ab_experiments AS e
    WHERE e.id <> NEW.id AND traffic_place(e.traffic_target) = place
        AND (strategy IS NULL OR e.traffic_target ->> 'strategy_id' IS NULL
            OR e.traffic_target ->> 'strategy_id' = strategy)
        AND (e.is_active OR EXISTS (SELECT 1 FROM experiment_promotions AS p
            WHERE p.experiment_id = e.id AND p.state IN ('ramping', 'promoted')))
    ORDER BY e.name LIMIT 1;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION '% cannot be served where % is served already (%): each would overwrite the other''s split',
            quote_literal(NEW.name), quote_literal(other),
            CASE WHEN NEW.traffic_target ->> 'kind' = 'webhook' THEN 'the same read_url' ELSE place END
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'one_experiment_a_flag',
                HINT = format('Give it another flag in traffic_target, or stop %1$L first (is_active = false); where a'
                    ' promotion of %1$L stands, end it: promotion-pipeline rollback %1$L --to close --reason TEXT', other);
    END IF;
    RETURN NULL;
END $_$;

CREATE FUNCTION public.ab_phases_are_in_time() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    NEW.started_at := least(greatest(NEW.started_at, '2000-01-01 00:00:00+00'), '9000-01-01 00:00:00+00');
    IF NEW.ended_at < NEW.started_at THEN NEW.ended_at := NEW.started_at; END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.ab_phases_never_overlap() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ab_plan_of(config jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    SELECT CASE WHEN size IS NOT NULL THEN jsonb_build_object(
        'planned_sample_size', size, 'spending', coalesce(spending, 'obrien_fleming'),
        'is_evidence', coalesce(config ->> 'evidence', '') = 'group_sequential') END
    FROM (SELECT coalesce(config ->> 'planned_sample_size', config ->> 'plannedSampleSize') AS size,
        coalesce(config ->> 'group_sequential_spending', config ->> 'groupSequentialSpending') AS spending) AS stated
$$;

CREATE FUNCTION public.ab_sync_phase(target uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ab_experiments WHERE id = target AND start_date IS NULL) THEN
        UPDATE ab_experiment_phases SET ended_at = greatest(started_at, clock_timestamp())
        WHERE experiment_id = target AND ended_at IS NULL;
    ELSE
        PERFORM ab_sync_phase_of_started(target);
        PERFORM ab_sync_plan(target);
    END IF;
END $$;

CREATE FUNCTION public.ab_sync_phase_of_started(target uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    experiment ab_experiments;
    open_phase ab_experiment_phases;
    split jsonb;
    wanted jsonb;
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
    wanted := ab_fixed_in_phase(experiment.promotion_config);
    SELECT jsonb_object_agg(id::text, traffic_percentage) INTO split FROM ab_variants WHERE experiment_id = target;
    IF split IS NULL THEN RETURN; END IF;
    SELECT count(*) INTO phase_count FROM ab_experiment_phases WHERE experiment_id = target;
    SELECT * INTO open_phase FROM ab_experiment_phases WHERE experiment_id = target AND ended_at IS NULL;
    -- A metric of which no sum was made yet was never judged: it may still be corrected.
    SELECT coalesce(jsonb_object_agg(key, value), '{}') INTO open_phase.fixed FROM jsonb_each(open_phase.fixed)
        WHERE key NOT LIKE 'metric:%' OR EXISTS (SELECT 1 FROM metric_phases AS summed
            WHERE summed.phase_id = open_phase.id AND 'metric:' || summed.metric = key);
    is_first := phase_count = 1;
    is_same := open_phase.traffic = split AND open_phase.is_running = experiment.is_active
        AND NOT ab_is_fixed_otherwise(open_phase.fixed, wanted);
    IF phase_count = 0 THEN
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running, fixed)
        VALUES (target, start, split, experiment.is_active, wanted);
        RETURN;
    END IF;
    -- What an experiment no longer names stays: named again, it must be what it was.
    IF is_same AND NOT open_phase.fixed @> wanted THEN
        UPDATE ab_experiment_phases SET fixed = fixed || wanted WHERE id = open_phase.id;
    END IF;
    IF is_same AND open_phase.started_at <> start
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
        SET started_at = start, traffic = split, is_running = experiment.is_active, fixed = wanted
        WHERE id = open_phase.id;
    ELSIF open_phase.started_at >= at THEN
        UPDATE ab_experiment_phases SET traffic = split, is_running = experiment.is_active, fixed = wanted
        WHERE id = open_phase.id;
    ELSE
        UPDATE ab_experiment_phases SET ended_at = at WHERE id = open_phase.id;
        INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running, fixed)
        VALUES (target, CASE WHEN isfinite(experiment.start_date) THEN greatest(at, start) ELSE at END,
            split, experiment.is_active, wanted);
    END IF;
END $$;

CREATE FUNCTION public.ab_sync_plan(target uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ab_unnoted(targets uuid[]) RETURNS TABLE(experiment_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ab_variant_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    PERFORM ab_sync_phase(coalesce(NEW.experiment_id, OLD.experiment_id));
    PERFORM ab_note_history(coalesce(NEW.experiment_id, OLD.experiment_id));
    IF TG_OP = 'UPDATE' AND OLD.experiment_id IS DISTINCT FROM NEW.experiment_id THEN
        PERFORM ab_sync_phase(OLD.experiment_id);
        PERFORM ab_note_history(OLD.experiment_id);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.add_to_user_totals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    -- Most users are known: updating them first is faster than meeting each as a conflict.
    UPDATE user_totals AS total
    SET requests = total.requests + added.requests, conversions = total.conversions + added.conversions,
        value = total.value + added.value
    FROM (SELECT phase_id, user_id, variant_id, sum(requests) AS requests, sum(conversions) AS conversions,
            sum(value) AS value
        FROM changed GROUP BY phase_id, user_id, variant_id) AS added
    WHERE (total.phase_id, total.user_id, total.variant_id) = (added.phase_id, added.user_id, added.variant_id);
    INSERT INTO user_totals AS total
    SELECT phase_id, user_id, variant_id, sum(requests), sum(conversions), sum(value)
    FROM changed
    WHERE NOT EXISTS (SELECT 1 FROM user_totals AS known
        WHERE (known.phase_id, known.user_id, known.variant_id)
            = (changed.phase_id, changed.user_id, changed.variant_id))
    GROUP BY phase_id, user_id, variant_id ORDER BY phase_id, user_id, variant_id
    ON CONFLICT (phase_id, user_id, variant_id) DO UPDATE
    SET requests = total.requests + excluded.requests, conversions = total.conversions + excluded.conversions,
        value = total.value + excluded.value;
    RETURN NULL;
END $$;

CREATE FUNCTION public.adopted_promotions_fill() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.api_audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    RAISE EXCEPTION 'api_audit is append-only: % is not allowed', TG_OP USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION public.approvals_keep_history() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    RAISE EXCEPTION 'promotion_audit is append-only: % is not allowed', TG_OP;
END $$;

CREATE FUNCTION public.delivered_is_final() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    RAISE EXCEPTION 'notification % is delivered to %: it is not sent again', OLD.outbox_id, OLD.channel
        USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION public.drop_request_days(days date[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.ensure_request_days(first date, last date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $_$
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
            -- The parent before all else, as everybody does: and against readers too, for one that goes on to insert
            -- would wait for us at the parent, and we for it at the default partition.
            LOCK TABLE ONLY ai_requests IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE ai_requests_default IN ACCESS EXCLUSIVE MODE;
            -- Somebody else may have made it meanwhile.
            CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
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
END $_$;

CREATE FUNCTION public.environment_is_kept() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION public.forget_all_phase_totals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    DELETE FROM phase_totals;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_metrics_of_phase() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    IF (OLD.started_at, OLD.traffic) = (NEW.started_at, NEW.traffic) AND NOT EXISTS (SELECT 1 FROM metric_phases AS summed
            WHERE summed.phase_id = NEW.id AND OLD.fixed -> ('metric:' || summed.metric)
                IS DISTINCT FROM coalesce(NEW.fixed -> ('metric:' || summed.metric), OLD.fixed -> ('metric:' || summed.metric))) THEN
        RETURN NULL;
    END IF;
    DELETE FROM hourly_metric_rollups WHERE phase_id = NEW.id;
    DELETE FROM hourly_user_metrics WHERE phase_id = NEW.id;
    DELETE FROM metric_users WHERE phase_id = NEW.id;
    DELETE FROM metric_phases WHERE phase_id = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_phase_rollups() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    DELETE FROM phase_rollups WHERE phase_id = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_phase_totals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    DELETE FROM phase_totals AS total
    USING (SELECT phase_id, min(hour) AS hour FROM changed GROUP BY phase_id) AS phase
    WHERE total.phase_id = phase.phase_id AND total.before > phase.hour;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_totals_of_phase() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    DELETE FROM phase_totals WHERE phase_id = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_user_totals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    TRUNCATE user_totals;
    RETURN NULL;
END $$;

CREATE FUNCTION public.history_is_kept() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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

CREATE FUNCTION public.kept_user_id(user_id text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    SELECT CASE
        WHEN coalesce(current_setting('promotion_pipeline.user_id_keys', true), '') <> '' THEN
            'hmac-sha256:' || encode(sha256(
                decode(split_part(current_setting('promotion_pipeline.user_id_keys'), ':', 2), 'hex')
                || sha256(decode(split_part(current_setting('promotion_pipeline.user_id_keys'), ':', 1), 'hex')
                    || convert_to(CASE WHEN octet_length(user_id) > 200
                        THEN 'sha256:' || encode(sha256(convert_to(user_id, 'UTF8')), 'hex')
                        ELSE user_id END, 'UTF8'))), 'hex')
        WHEN octet_length(user_id) > 200 THEN 'sha256:' || encode(sha256(convert_to(user_id, 'UTF8')), 'hex')
        ELSE user_id END
$$;

CREATE FUNCTION public.note_late_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    INSERT INTO late_changes (experiment_id, first_hour)
    SELECT moved.experiment_id, moved.hour
    FROM (SELECT experiment_id, min(hour) AS hour FROM changed GROUP BY experiment_id ORDER BY 1) AS moved
    WHERE EXISTS (SELECT 1 FROM eligibility_decisions AS decided
        WHERE decided.experiment_id = moved.experiment_id AND decided.hour >= moved.hour AND decided.label = 'record')
    ON CONFLICT (experiment_id) DO UPDATE
    SET first_hour = least(late_changes.first_hour, excluded.first_hour), noted_at = clock_timestamp();
    RETURN NULL;
END $$;

CREATE FUNCTION public.note_metric_events() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    INSERT INTO metric_event_changes (experiment_id, user_id, name, hour)
    SELECT DISTINCT event.experiment_id, event.user_id, event.name,
        date_bin('1 hour', event.created_at, '2000-01-01 00:00:00+00')
    FROM changed AS event
    JOIN (SELECT DISTINCT phase.experiment_id, metric.value ->> 'event' AS name, metric.value ? 'covariate' AS has_past
        FROM ab_experiment_phases AS phase CROSS JOIN LATERAL jsonb_each(phase.fixed) AS metric
        WHERE phase.fixed <> '{}' AND metric.value ? 'event') AS wanted
        ON wanted.name = event.name AND (wanted.experiment_id = event.experiment_id OR wanted.has_past);
    RETURN NULL;
END $$;

CREATE FUNCTION public.promotions_keep_history() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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
        OR (OLD.state = 'promoted' AND NEW.state = 'promoted' AND NEW.step_started_at > OLD.step_started_at
            AND to_jsonb(OLD) - 'step_started_at' = to_jsonb(NEW) - 'step_started_at')
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

CREATE FUNCTION public.take_from_user_totals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    UPDATE user_totals AS total
    SET requests = total.requests - gone.requests, conversions = total.conversions - gone.conversions,
        value = total.value - gone.value
    FROM (SELECT phase_id, user_id, variant_id, sum(requests) AS requests, sum(conversions) AS conversions,
            sum(value) AS value
        FROM changed GROUP BY phase_id, user_id, variant_id) AS gone
    WHERE (total.phase_id, total.user_id, total.variant_id) = (gone.phase_id, gone.user_id, gone.variant_id);
    DELETE FROM user_totals AS total USING changed
    WHERE (total.phase_id, total.user_id, total.variant_id) = (changed.phase_id, changed.user_id, changed.variant_id)
        AND total.requests = 0;
    RETURN NULL;
END $$;

CREATE FUNCTION public.traffic_place(target jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    SELECT CASE target ->> 'kind'
        WHEN 'unleash' THEN 'the flag ' || (target ->> 'feature') || ' of the Unleash project ' || (target ->> 'project')
            || ', environment ' || (target ->> 'environment')
        WHEN 'flagd' THEN 'the flag ' || (target ->> 'flag')
        WHEN 'ofrep' THEN 'the flag ' || (target ->> 'flag')
        WHEN 'webhook' THEN target ->> 'read_url'
    END
$$;

CREATE FUNCTION public.usable_start(at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    SELECT least(greatest(at, '2000-01-01 00:00:00+00'::timestamptz), '9000-01-01 00:00:00+00'::timestamptz)
$$;

CREATE FUNCTION public.user_ids_can_be_kept() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    wanted constant text := (SELECT key_check FROM user_id_keys);
BEGIN
    IF wanted IS NOT NULL AND wanted IS DISTINCT FROM (CASE
        WHEN coalesce(current_setting('promotion_pipeline.user_id_keys', true), '') <> ''
        THEN kept_user_id('promotion_pipeline key check') END) THEN
        RAISE EXCEPTION 'user ids are kept as keyed hashes, and AUTO_PROMOTION_USER_ID_KEY is missing here or another'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'set the key that they were made with';
    END IF;
    RETURN true;
END $$;

CREATE TABLE public.ab_experiment_history (
    experiment_id uuid NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    start_date timestamp with time zone NOT NULL,
    rollup_source text NOT NULL,
    promotion_config jsonb NOT NULL,
    variants jsonb NOT NULL,
    CONSTRAINT ab_experiment_history_check CHECK ((valid_until > valid_from))
);

COMMENT ON TABLE public.ab_experiment_history IS 'What was in force at an as-of in (valid_from, valid_until]: thresholds, variants, split. Bound: a row a change of an experiment.';

COMMENT ON COLUMN public.ab_experiment_history.valid_from IS '-infinity: the first state known, which stands for all before it';

COMMENT ON COLUMN public.ab_experiment_history.noted_at IS 'when the database was told';

COMMENT ON COLUMN public.ab_experiment_history.variants IS 'variant id -> name, is_control, traffic (percent)';

CREATE TABLE public.ab_experiment_phases (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    experiment_id uuid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    traffic jsonb NOT NULL,
    is_running boolean NOT NULL,
    fixed jsonb DEFAULT '{}'::jsonb NOT NULL,
    plan jsonb,
    CONSTRAINT ab_experiment_phases_check CHECK ((ended_at >= started_at))
);

COMMENT ON TABLE public.ab_experiment_phases IS 'Stretches of an experiment in which the split did not change; measurement starts at a phase''s beginning. Bound: a row a change of split or of activity.';

COMMENT ON COLUMN public.ab_experiment_phases.traffic IS 'variant id -> percent of traffic';

COMMENT ON COLUMN public.ab_experiment_phases.is_running IS 'whether the experiment was active, so that the phase is judged';

COMMENT ON COLUMN public.ab_experiment_phases.fixed IS 'what may not change within the phase: metric:NAME -> what the metric measures';

COMMENT ON COLUMN public.ab_experiment_phases.plan IS 'the planned size as it was stated before the first look, with its spending; null: none is stated';

CREATE TABLE public.ab_experiments (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    start_date timestamp with time zone DEFAULT now() NOT NULL,
    end_date timestamp with time zone,
    promotion_config jsonb DEFAULT '{}'::jsonb,
    auto_promotion_hold text,
    rollup_source text DEFAULT 'requests'::text NOT NULL,
    owner_channel text,
    traffic_target jsonb,
    CONSTRAINT ab_experiments_rollup_source_check CHECK ((rollup_source = ANY (ARRAY['requests'::text, 'imported'::text])))
);

COMMENT ON COLUMN public.ab_experiments.auto_promotion_hold IS 'why automatic promotion is on hold; null: it is not';

COMMENT ON COLUMN public.ab_experiments.rollup_source IS 'imported: the rollups were loaded from sums and are not rebuilt from ai_requests';

CREATE TABLE public.ab_hold_history (
    experiment_id uuid NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    hold text NOT NULL,
    CONSTRAINT ab_hold_history_check CHECK ((valid_until > valid_from))
);

COMMENT ON TABLE public.ab_hold_history IS 'When automatic promotion of an experiment was on hold, and why. Bound: a row a hold.';

CREATE TABLE public.ab_variants (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    experiment_id uuid NOT NULL,
    name text NOT NULL,
    is_control boolean DEFAULT false NOT NULL,
    traffic_percentage numeric(5,2) DEFAULT 0 NOT NULL,
    CONSTRAINT ab_variants_traffic_percentage_check CHECK (((traffic_percentage >= (0)::numeric) AND (traffic_percentage <= (100)::numeric)))
);

CREATE TABLE public.adopted_tables (
    name text NOT NULL,
    adopted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.adopted_tables IS 'Which of the application''s tables were there before the product. Bound: four rows.';

CREATE TABLE public.ai_events (
    id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    user_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    name text NOT NULL,
    value numeric,
    CONSTRAINT ai_events_name_check CHECK ((name <> ''::text))
);

COMMENT ON TABLE public.ai_events IS 'Outcomes that are not on a request''s row: purchases, refunds, sign-ups. Bound: a row an event that is sent; yours to delete, like requests.';

COMMENT ON COLUMN public.ai_events.user_id IS 'as in ai_requests';

CREATE TABLE public.ai_requests (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    experiment_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    user_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    latency_ms double precision,
    is_error boolean DEFAULT false NOT NULL,
    converted boolean DEFAULT false NOT NULL,
    value numeric
)
PARTITION BY RANGE (created_at);

CREATE TABLE public.ai_requests_default (
    id uuid DEFAULT gen_random_uuid() CONSTRAINT ai_requests_id_not_null NOT NULL,
    experiment_id uuid CONSTRAINT ai_requests_experiment_id_not_null NOT NULL,
    variant_id uuid CONSTRAINT ai_requests_variant_id_not_null NOT NULL,
    user_id text,
    created_at timestamp with time zone DEFAULT now() CONSTRAINT ai_requests_created_at_not_null NOT NULL,
    latency_ms double precision,
    is_error boolean DEFAULT false CONSTRAINT ai_requests_is_error_not_null NOT NULL,
    converted boolean DEFAULT false CONSTRAINT ai_requests_converted_not_null NOT NULL,
    value numeric
);

CREATE TABLE public.api_audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    request_id text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    token_id uuid,
    method text NOT NULL,
    route text NOT NULL,
    experiment_name text,
    claims jsonb DEFAULT '{}'::jsonb NOT NULL,
    status integer NOT NULL,
    code text
);

COMMENT ON TABLE public.api_audit IS 'Every write that was asked for over HTTP, append-only. Bound: a row a write; kept for good.';

COMMENT ON COLUMN public.api_audit.claims IS 'who the body said was acting, where that is not the credential''s name';

ALTER TABLE public.api_audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.api_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.api_idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status integer NOT NULL,
    body text NOT NULL,
    media_type text NOT NULL,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT api_idempotency_keys_status_check CHECK (((status >= 200) AND (status <= 499)))
);

COMMENT ON TABLE public.api_idempotency_keys IS 'Answers that a repeated request gets again. Bound: removed when they expire.';

COMMENT ON COLUMN public.api_idempotency_keys.fingerprint IS 'SHA-256 of method, path and body without its secrets';

CREATE TABLE public.api_tokens (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    revoked_by text,
    on_behalf boolean DEFAULT false NOT NULL,
    CONSTRAINT api_tokens_check CHECK (((revoked_at IS NULL) = (revoked_by IS NULL))),
    CONSTRAINT api_tokens_name_check CHECK ((name <> ''::text)),
    CONSTRAINT api_tokens_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text, 'ingest'::text, 'evaluate'::text]))),
    CONSTRAINT api_tokens_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

COMMENT ON TABLE public.api_tokens IS 'Bearer tokens as hashes; revoked, never deleted. Bound: a row a token.';

COMMENT ON COLUMN public.api_tokens.name IS 'who the history names as the actor';

COMMENT ON COLUMN public.api_tokens.on_behalf IS 'who the body names is the actor, and the token stands beside it';

CREATE TABLE public.compared_days (
    day date NOT NULL,
    changes bigint NOT NULL
);

COMMENT ON TABLE public.compared_days IS 'Change counters of the log''s days when they were last compared with the rollups. Bound: a row a day of ai_requests.';

COMMENT ON COLUMN public.compared_days.changes IS 'rows inserted, updated and deleted in the partition; it starts anew after a crash, which is a change too';

CREATE TABLE public.dropped_requests (
    one_row boolean DEFAULT true NOT NULL,
    before timestamp with time zone NOT NULL,
    CONSTRAINT dropped_requests_one_row_check CHECK (one_row)
);

COMMENT ON TABLE public.dropped_requests IS 'Requests of before this instant may be gone: their sums are final, and are not compared with the rows any more. Bound: one row.';

CREATE TABLE public.eligibility_decisions (
    hour timestamp with time zone NOT NULL,
    as_of timestamp with time zone NOT NULL,
    experiment_id uuid NOT NULL,
    label text DEFAULT 'record'::text NOT NULL,
    phase_id uuid,
    verdict text NOT NULL,
    is_eligible boolean NOT NULL,
    is_promotable boolean NOT NULL,
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
    analysis_unit text DEFAULT 'request'::text NOT NULL,
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
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    multiple_exposure double precision,
    lift_prior_sd double precision,
    planned_sample_size double precision,
    shrunken_lift double precision,
    information_fraction double precision,
    group_sequential_z double precision,
    group_sequential_boundary_z double precision,
    group_sequential_crossed boolean,
    sequential_srm_p_value double precision,
    made_by text DEFAULT 'person'::text NOT NULL,
    measured_since timestamp with time zone,
    multiple_exposure_requests double precision,
    largest_user_share double precision,
    guardrails_not_kept text[],
    guardrails_not_measured text[],
    CONSTRAINT eligibility_decisions_check CHECK ((is_eligible OR (NOT is_promotable))),
    CONSTRAINT eligibility_decisions_check1 CHECK ((is_eligible = (min_sample_size AND min_confidence AND min_improvement AND min_runtime AND error_rate_acceptable AND (verdict = 'eligible'::text)))),
    CONSTRAINT eligibility_decisions_made_by_check CHECK ((made_by = ANY (ARRAY['schedule'::text, 'automation'::text, 'sweep'::text, 'person'::text]))),
    CONSTRAINT eligibility_decisions_verdict_check CHECK ((verdict = ANY (ARRAY['eligible'::text, 'not_yet'::text, 'rejected'::text, 'inconclusive'::text, 'error'::text])))
);

COMMENT ON TABLE public.eligibility_decisions IS 'One decision an experiment and hour: label record is the first, which is never rewritten; others are kept beside it. Bound: a row an hour of each running experiment and label; kept for good.';

COMMENT ON COLUMN public.eligibility_decisions.label IS 'record: the first decision about the hour, never rewritten; shadow: the first one of a deployment in shadow mode; else a re-evaluation';

COMMENT ON COLUMN public.eligibility_decisions.made_by IS 'only what schedule, automation or sweep made leads to an unattended promotion';

COMMENT ON COLUMN public.eligibility_decisions.measured_since IS 'first hour by which control and candidate both had requests, where the phase began earlier: runtime counts from it';

COMMENT ON COLUMN public.eligibility_decisions.guardrails_not_kept IS 'by name: the guardrails that keep the candidate from going unattended';

COMMENT ON COLUMN public.eligibility_decisions.guardrails_not_measured IS 'those of them that could not be measured';

CREATE TABLE public.ended_lifts (
    phase_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    known_from timestamp with time zone NOT NULL,
    lift double precision,
    standard_error double precision
);

COMMENT ON TABLE public.ended_lifts IS 'The lift of every treatment of every ended experiment, winners and others alike, written once. Bound: a row a treatment of an ended experiment; kept for good, so that an hour that is evaluated again learns the same.';

COMMENT ON COLUMN public.ended_lifts.known_from IS 'the end of the first hour that may use it; an evaluation of an earlier hour does not know it';

COMMENT ON COLUMN public.ended_lifts.lift IS 'a fraction; null: it could not be computed, or its split was broken';

COMMENT ON COLUMN public.ended_lifts.standard_error IS 'of the lift, a fraction';

CREATE TABLE public.evaluation_blocks (
    evaluation text NOT NULL,
    block text NOT NULL,
    fingerprint text NOT NULL,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.evaluation_blocks IS 'Blocks of a long evaluation that are written, so that it goes on after a crash. Bound: removed when the evaluation is done.';

CREATE TABLE public.evaluation_environments (
    id text NOT NULL,
    config jsonb NOT NULL,
    first_used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.evaluation_environments IS 'Thresholds of the environment that hours were decided with. Bound: a row a change of the environment.';

CREATE TABLE public.evaluation_hours (
    hour timestamp with time zone NOT NULL,
    environment_id text NOT NULL
);

COMMENT ON TABLE public.evaluation_hours IS 'Which environment each hour was decided with. Bound: a row an hour.';

CREATE TABLE public.experiment_promotions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    experiment_id uuid NOT NULL,
    experiment_name text NOT NULL,
    promoted_variant_id uuid NOT NULL,
    promoted_variant_name text NOT NULL,
    control_variant_id uuid NOT NULL,
    control_variant_name text NOT NULL,
    confidence numeric(5,2) NOT NULL,
    improvement numeric(12,4) NOT NULL,
    sample_size bigint NOT NULL,
    promotion_type text NOT NULL,
    promoted_by text NOT NULL,
    promoted_at timestamp with time zone DEFAULT now() NOT NULL,
    rollback_at timestamp with time zone,
    rollback_reason text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    rolled_back_by text,
    state text NOT NULL,
    evidence text NOT NULL,
    p_value double precision NOT NULL,
    z double precision NOT NULL,
    evaluated_as_of timestamp with time zone NOT NULL,
    config jsonb NOT NULL,
    snapshot jsonb NOT NULL,
    ramp_step integer DEFAULT 0 NOT NULL,
    step_started_at timestamp with time zone DEFAULT now() NOT NULL,
    phase_id uuid,
    CONSTRAINT experiment_promotions_check CHECK (((state = 'rolled_back'::text) = (rollback_at IS NOT NULL))),
    CONSTRAINT experiment_promotions_check1 CHECK (((state = 'rolled_back'::text) = (rolled_back_by IS NOT NULL))),
    CONSTRAINT experiment_promotions_check2 CHECK (((state = 'rolled_back'::text) = (rollback_reason IS NOT NULL))),
    CONSTRAINT experiment_promotions_promotion_type_check CHECK ((promotion_type = ANY (ARRAY['auto'::text, 'manual'::text]))),
    CONSTRAINT experiment_promotions_ramp_step_check CHECK ((ramp_step >= 0)),
    CONSTRAINT experiment_promotions_state_check CHECK ((state = ANY (ARRAY['ended'::text, 'ramping'::text, 'promoted'::text, 'rolled_back'::text, 'shadow'::text])))
);

COMMENT ON COLUMN public.experiment_promotions.phase_id IS 'the phase that was judged';

CREATE TABLE public.hourly_metric_rollups (
    hour timestamp with time zone NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    metric text NOT NULL,
    samples bigint NOT NULL,
    new_users bigint NOT NULL,
    requests bigint NOT NULL,
    value_sum numeric NOT NULL,
    value_sum_squares numeric NOT NULL,
    user_value_sum_squares numeric NOT NULL,
    denominator_sum numeric NOT NULL,
    user_denominator_sum_squares numeric NOT NULL,
    user_value_denominator_sum_products numeric CONSTRAINT hourly_metric_rollups_user_value_denominator_sum_produ_not_null NOT NULL,
    covariate_sum numeric NOT NULL,
    covariate_sum_squares numeric NOT NULL,
    user_value_covariate_sum_products numeric CONSTRAINT hourly_metric_rollups_user_value_covariate_sum_product_not_null NOT NULL
);

COMMENT ON TABLE public.hourly_metric_rollups IS 'Additive sums of one hour, phase, variant and metric; exact, so that they are the same in whatever order rows came. Bound: a row an hour of each variant and metric for which something happened; kept for good.';

COMMENT ON COLUMN public.hourly_metric_rollups.samples IS 'events, or requests with a number in the column, that the metric was made of; none ever: nothing matches it';

COMMENT ON COLUMN public.hourly_metric_rollups.new_users IS 'users whose first variant of the phase this was, in this hour; of a mean of requests: users new to the variant, and requests of nobody known';

COMMENT ON COLUMN public.hourly_metric_rollups.user_value_sum_squares IS 'growth of the sum over users of the square of their value so far; the other user sums likewise';

CREATE TABLE public.hourly_user_metrics (
    phase_id uuid NOT NULL,
    user_id text NOT NULL,
    metric text NOT NULL,
    hour timestamp with time zone NOT NULL,
    variant_id uuid NOT NULL,
    value numeric NOT NULL,
    number bigint NOT NULL,
    squares numeric NOT NULL
);

COMMENT ON TABLE public.hourly_user_metrics IS 'What each user did in each hour for each metric, so that late rows and events change the sums exactly. Bound: the users of phases with metrics times the hours in which something happened; may be deleted for phases that have ended.';

COMMENT ON COLUMN public.hourly_user_metrics.user_id IS 'as in metric_users; empty: requests of nobody known';

COMMENT ON COLUMN public.hourly_user_metrics.hour IS '-infinity: in the days before the user was first served (covariate)';

COMMENT ON COLUMN public.hourly_user_metrics.variant_id IS 'of requests; zeros: the user''s own variant';

CREATE TABLE public.hourly_user_rollups (
    phase_id uuid NOT NULL,
    user_id text NOT NULL,
    variant_id uuid NOT NULL,
    hour timestamp with time zone NOT NULL,
    requests integer NOT NULL,
    conversions integer NOT NULL,
    value numeric NOT NULL
);

COMMENT ON TABLE public.hourly_user_rollups IS 'Requests and conversions of each user in each hour, so that late rows change user-level sums exactly. Bound: the phases'' users times the hours they came; may be deleted for phases that have ended.';

CREATE TABLE public.hourly_variant_rollups (
    hour timestamp with time zone NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    requests bigint NOT NULL,
    conversions bigint NOT NULL,
    errors bigint,
    latency_samples bigint NOT NULL,
    latency_ms_sum double precision NOT NULL,
    latency_ms_sum_squares double precision NOT NULL,
    value_sum double precision NOT NULL,
    value_sum_squares double precision NOT NULL,
    new_users bigint DEFAULT 0 NOT NULL,
    user_requests bigint DEFAULT 0 NOT NULL,
    user_conversions bigint DEFAULT 0 NOT NULL,
    user_conversions_sum_squares bigint DEFAULT 0 NOT NULL,
    user_requests_sum_squares bigint DEFAULT 0 NOT NULL,
    user_conversions_requests_sum_products bigint DEFAULT 0 CONSTRAINT hourly_variant_rollups_user_conversions_requests_sum_p_not_null NOT NULL,
    newest_request_at timestamp with time zone,
    user_value_sum_squares double precision DEFAULT 0 NOT NULL,
    user_value_requests_sum_products double precision DEFAULT 0 CONSTRAINT hourly_variant_rollups_user_value_requests_sum_product_not_null NOT NULL,
    crossed_users bigint DEFAULT 0 NOT NULL,
    crossed_requests bigint DEFAULT 0 NOT NULL,
    user_requests_sum_sixteenth_powers double precision DEFAULT 0 CONSTRAINT hourly_variant_rollups_user_requests_sum_sixteenth_pow_not_null NOT NULL
);

COMMENT ON TABLE public.hourly_variant_rollups IS 'Additive sums of one hour, experiment, phase and variant. Bound: a row an hour of each variant that had requests; kept for good.';

COMMENT ON COLUMN public.hourly_variant_rollups.errors IS 'requests that failed; null where the log does not say';

COMMENT ON COLUMN public.hourly_variant_rollups.new_users IS 'users first served by this variant in this hour of the phase';

COMMENT ON COLUMN public.hourly_variant_rollups.crossed_users IS 'new_users of this variant that another variant of the phase had served before';

COMMENT ON COLUMN public.hourly_variant_rollups.crossed_requests IS 'growth of the requests of users that several variants of the phase had served';

COMMENT ON COLUMN public.hourly_variant_rollups.user_requests_sum_sixteenth_powers IS 'growth of the sum over users of (requests so far)^16, whose 16th root is close to those of the largest user';

CREATE TABLE public.late_changes (
    experiment_id uuid NOT NULL,
    first_hour timestamp with time zone NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.late_changes IS 'Experiments whose sums changed in hours that are decided. Bound: one row an experiment, removed when it is decided again.';

CREATE TABLE public.late_verdicts (
    experiment_id uuid NOT NULL,
    hour timestamp with time zone NOT NULL,
    recorded text NOT NULL,
    outcome text NOT NULL,
    promotion_id uuid,
    found_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.late_verdicts IS 'Decisions of record that late rows would change, as people were told. Bound: a row a changed decision.';

COMMENT ON COLUMN public.late_verdicts.outcome IS 'verdict, or promotable, and the candidate of an eligible one';

COMMENT ON COLUMN public.late_verdicts.promotion_id IS 'the promotion that stood on the decision';

CREATE TABLE public.live_deployments (
    id text NOT NULL,
    config jsonb NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    told_at timestamp with time zone
);

COMMENT ON TABLE public.live_deployments IS 'Deployments that act on this database and their thresholds, to tell of two that differ. Bound: a row a set of thresholds that is in use.';

COMMENT ON COLUMN public.live_deployments.since IS 'since when it has looked without a break';

CREATE TABLE public.log_gaps (
    experiment_id uuid NOT NULL,
    hour timestamp with time zone NOT NULL,
    kind text NOT NULL,
    requests bigint NOT NULL,
    detail text NOT NULL,
    noticed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT log_gaps_kind_check CHECK ((kind = ANY (ARRAY['vanished'::text, 'unreadable'::text])))
);

COMMENT ON TABLE public.log_gaps IS 'Hours that had requests which the log does not have any more, or that cannot be read. Bound: a row a gap, removed when it is closed.';

COMMENT ON COLUMN public.log_gaps.requests IS 'the requests that were counted before and are kept';

CREATE TABLE public.metric_event_changes (
    experiment_id uuid NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    hour timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.metric_event_changes IS 'Events of metrics that are not in the sums yet. Bound: the events since the newest hourly run.';

CREATE TABLE public.metric_phases (
    phase_id uuid NOT NULL,
    metric text NOT NULL,
    built_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.metric_phases IS 'Which metrics of which phases are in the sums; the others are made from the phase''s start. Bound: a row a phase and metric.';

CREATE TABLE public.metric_results (
    hour timestamp with time zone NOT NULL,
    as_of timestamp with time zone NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid,
    variant_id uuid NOT NULL,
    control_variant_id uuid,
    metric text NOT NULL,
    kind text NOT NULL,
    role text NOT NULL,
    direction text NOT NULL,
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
    outcome text NOT NULL,
    guardrail text,
    reason text NOT NULL,
    CONSTRAINT metric_results_direction_check CHECK ((direction = ANY (ARRAY['increase'::text, 'decrease'::text]))),
    CONSTRAINT metric_results_guardrail_check CHECK ((guardrail = ANY (ARRAY['kept'::text, 'not_kept'::text, 'not_measured'::text]))),
    CONSTRAINT metric_results_outcome_check CHECK ((outcome = ANY (ARRAY['better'::text, 'worse'::text, 'no_sign'::text, 'not_measured'::text]))),
    CONSTRAINT metric_results_role_check CHECK ((role = ANY (ARRAY['goal'::text, 'guardrail'::text, 'secondary'::text])))
);

COMMENT ON TABLE public.metric_results IS 'Every metric that an experiment states, treatment against control at each hour. Bound: a row an hour of each treatment and metric; may be deleted and computed again.';

COMMENT ON COLUMN public.metric_results.outcome IS 'what the always-valid test shows, in the direction that is better; of a goal, by Holm over all goals';

COMMENT ON COLUMN public.metric_results.guardrail IS 'whether it lets the treatment go unattended; null: it is no guardrail';

COMMENT ON COLUMN public.metric_results.reason IS 'measured, or why it could not be';

CREATE TABLE public.metric_users (
    phase_id uuid NOT NULL,
    user_id text NOT NULL,
    variant_id uuid NOT NULL,
    exposed_at timestamp with time zone NOT NULL,
    past_until timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.metric_users IS 'When each user of a phase with metrics was first served, and which variant. Bound: the users of phases with metrics; may be deleted for phases that have ended.';

COMMENT ON COLUMN public.metric_users.past_until IS 'end of what is the user''s past: first served in the experiment, or the start of an earlier phase that served them';

CREATE TABLE public.notification_channels (
    channel text NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    paused_until timestamp with time zone,
    last_error text,
    failed_at timestamp with time zone,
    delivered_at timestamp with time zone,
    CONSTRAINT notification_channels_channel_check CHECK ((channel = ANY (ARRAY['slack'::text, 'pagerduty'::text, 'email'::text]))),
    CONSTRAINT notification_channels_failures_check CHECK ((failures >= 0))
);

COMMENT ON TABLE public.notification_channels IS 'Which channels are on, and since when. Bound: a row a channel.';

CREATE TABLE public.notification_deliveries (
    outbox_id bigint NOT NULL,
    channel text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now(),
    last_error text,
    delivered_at timestamp with time zone,
    priority smallint DEFAULT 2 NOT NULL,
    target text,
    thread_key text,
    is_plain boolean DEFAULT false NOT NULL,
    claim uuid,
    first_attempt_at timestamp with time zone,
    receipt jsonb,
    CONSTRAINT notification_deliveries_channel_check CHECK ((channel = ANY (ARRAY['slack'::text, 'pagerduty'::text, 'email'::text]))),
    CONSTRAINT notification_deliveries_claimed_while_sending CHECK (((state = 'sending'::text) = (claim IS NOT NULL))),
    CONSTRAINT notification_deliveries_delivered_once CHECK (((state = 'delivered'::text) = (delivered_at IS NOT NULL))),
    CONSTRAINT notification_deliveries_priority_check CHECK (((priority >= 0) AND (priority <= 2))),
    CONSTRAINT notification_deliveries_scheduled CHECK (((next_attempt_at IS NOT NULL) OR (state = ANY (ARRAY['delivered'::text, 'uncertain'::text, 'dead'::text])))),
    CONSTRAINT notification_deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'sending'::text, 'delivered'::text, 'uncertain'::text, 'dead'::text])))
);

COMMENT ON TABLE public.notification_deliveries IS 'What became of each notification on each channel. Bound: removed with its notification.';

COMMENT ON COLUMN public.notification_deliveries.next_attempt_at IS 'pending: when to send; sending: when the claim lapses; uncertain: when to look (null: a person decides)';

COMMENT ON COLUMN public.notification_deliveries.priority IS '0 critical, 1 warning, 2 info: what is urgent goes first';

COMMENT ON COLUMN public.notification_deliveries.target IS 'where in the channel; null: the channel''s default';

COMMENT ON COLUMN public.notification_deliveries.thread_key IS 'deliveries of one key are sent in the order of the outbox';

COMMENT ON COLUMN public.notification_deliveries.is_plain IS 'the rich form was rejected, or is not to be used';

COMMENT ON COLUMN public.notification_deliveries.receipt IS 'what the channel answered: ids to find the message by';

CREATE TABLE public.notification_outbox (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    event text NOT NULL,
    level text NOT NULL,
    experiment_id uuid,
    promotion_id uuid,
    dedup_key text NOT NULL,
    payload jsonb NOT NULL,
    fanned_out_at timestamp with time zone,
    CONSTRAINT notification_outbox_level_check CHECK ((level = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text])))
);

COMMENT ON TABLE public.notification_outbox IS 'What people are to be told, written in the transaction of the act. Bound: delivered ones are removed after AUTO_PROMOTION_NOTIFICATION_RETENTION_DAYS.';

ALTER TABLE public.notification_outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.notification_outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.page_sessions (
    secret_hash bytea NOT NULL,
    token_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT page_sessions_secret_hash_check CHECK ((octet_length(secret_hash) = 32))
);

COMMENT ON TABLE public.page_sessions IS 'Sessions of the evidence page. Bound: removed when they end.';

CREATE TABLE public.phase_rollups (
    phase_id uuid NOT NULL,
    covered tstzmultirange NOT NULL
);

COMMENT ON TABLE public.phase_rollups IS 'Which time of each phase is in its rollups, so that what is missing is found experiment by experiment. Bound: a row a phase.';

COMMENT ON COLUMN public.phase_rollups.covered IS 'time whose requests are in the rollups of the phase';

CREATE TABLE public.phase_totals (
    phase_id uuid NOT NULL,
    before timestamp with time zone NOT NULL,
    variant_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    first_requests bigint NOT NULL,
    has_fallen boolean NOT NULL,
    requests bigint NOT NULL,
    conversions bigint NOT NULL,
    errors bigint,
    latency_samples bigint NOT NULL,
    user_requests bigint NOT NULL,
    user_conversions bigint NOT NULL,
    latency_ms_sum double precision NOT NULL,
    latency_ms_sum_squares double precision NOT NULL,
    value_sum double precision NOT NULL,
    value_sum_squares double precision NOT NULL,
    new_users bigint NOT NULL,
    user_conversions_sum_squares bigint NOT NULL,
    user_requests_sum_squares bigint NOT NULL,
    user_conversions_requests_sum_products bigint NOT NULL,
    user_value_sum_squares double precision NOT NULL,
    user_value_requests_sum_products double precision NOT NULL,
    crossed_users bigint NOT NULL,
    newest_request_at timestamp with time zone,
    first_request_hour timestamp with time zone,
    crossed_requests bigint NOT NULL,
    user_requests_sum_sixteenth_powers double precision NOT NULL
);

COMMENT ON TABLE public.phase_totals IS 'Sums of a phase''s earlier days: a cache that the database empties where an earlier hour changes. Bound: a row a variant of each running phase.';

COMMENT ON COLUMN public.phase_totals.first_requests IS 'requests of the phase''s first 48 hours: they tune its always-valid interval';

COMMENT ON COLUMN public.phase_totals.has_fallen IS 'whether a count of some hour was negative, as corrections of imported sums are';

COMMENT ON COLUMN public.phase_totals.first_request_hour IS 'first hour with requests: runtime counts from it';

CREATE TABLE public.promotion_approvals (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    experiment_id uuid NOT NULL,
    candidate_variant_id uuid NOT NULL,
    candidate_variant_name text NOT NULL,
    state text DEFAULT 'awaiting_approval'::text NOT NULL,
    as_of timestamp with time zone NOT NULL,
    decision jsonb NOT NULL,
    requested_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    answered_at timestamp with time zone,
    answered_by text,
    reason text,
    promotion_id uuid,
    CONSTRAINT promotion_approvals_applied_if_approved CHECK (((promotion_id IS NULL) OR (state = 'approved'::text))),
    CONSTRAINT promotion_approvals_check CHECK (((state = 'awaiting_approval'::text) = (answered_at IS NULL))),
    CONSTRAINT promotion_approvals_state_check CHECK ((state = ANY (ARRAY['awaiting_approval'::text, 'approved'::text, 'declined'::text, 'expired'::text, 'superseded'::text])))
);

COMMENT ON TABLE public.promotion_approvals IS 'Requests for a person''s approval and their answers. Bound: a row a request; kept for good.';

CREATE TABLE public.promotion_attempts (
    experiment_id uuid NOT NULL,
    as_of timestamp with time zone NOT NULL,
    attempt integer NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    outcome text,
    message text,
    CONSTRAINT promotion_attempts_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT promotion_attempts_check CHECK (((finished_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT promotion_attempts_kind_check CHECK ((kind = ANY (ARRAY['decision'::text, 'approval'::text, 'ramp'::text, 'shadow'::text])))
);

COMMENT ON TABLE public.promotion_attempts IS 'Attempts of the apply job, so that one that died is followed by another. Bound: five an experiment, kind and hour in which something waited.';

CREATE TABLE public.promotion_audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    experiment_id uuid NOT NULL,
    promotion_id uuid,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE public.promotion_audit IS 'Who did what, append-only. Bound: a row an act; kept for good.';

ALTER TABLE public.promotion_audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.promotion_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW public.promotion_pipeline_requests AS
 SELECT experiment_id,
    variant_id,
    user_id,
    created_at,
    latency_ms,
    is_error,
    converted,
    value
   FROM public.ai_requests;

COMMENT ON VIEW public.promotion_pipeline_requests IS 'SELECT "experiment_id" AS "experiment_id", "variant_id" AS "variant_id", "user_id" AS "user_id", "created_at" AS "created_at", "latency_ms" AS "latency_ms", "is_error" AS "is_error", "converted" AS "converted", "value" AS "value" FROM "public"."ai_requests"';

CREATE TABLE public.promotion_pipeline_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.promotion_watch (
    promotion_id uuid NOT NULL,
    looked_at timestamp with time zone NOT NULL,
    status text NOT NULL,
    message text NOT NULL,
    requests bigint DEFAULT 0 NOT NULL,
    hours jsonb DEFAULT '[]'::jsonb NOT NULL,
    breached_at timestamp with time zone,
    breach jsonb,
    acknowledged_at timestamp with time zone,
    acknowledged_by text,
    acknowledged_because text,
    muted text[] DEFAULT '{}'::text[] NOT NULL,
    blind_since timestamp with time zone,
    blind_because text,
    blind_told_at timestamp with time zone,
    drifted_at timestamp with time zone,
    drift text,
    CONSTRAINT promotion_watch_check CHECK (((breached_at IS NULL) = (breach IS NULL))),
    CONSTRAINT promotion_watch_check1 CHECK (((blind_since IS NULL) = (blind_because IS NULL))),
    CONSTRAINT promotion_watch_check2 CHECK (((blind_told_at IS NULL) OR (blind_since IS NOT NULL))),
    CONSTRAINT promotion_watch_check3 CHECK (((drifted_at IS NULL) = (drift IS NULL))),
    CONSTRAINT promotion_watch_status_check CHECK ((status = ANY (ARRAY['clean'::text, 'breach'::text, 'unmeasured'::text])))
);

COMMENT ON TABLE public.promotion_watch IS 'What the watch last saw of each promotion: breach, blindness, drift. Bound: a row a promotion.';

COMMENT ON COLUMN public.promotion_watch.requests IS 'of the winner, since the current step';

COMMENT ON COLUMN public.promotion_watch.hours IS 'the winner hour by hour, as last read while a breach was open';

COMMENT ON COLUMN public.promotion_watch.breach IS 'what the watch saw when it raised the alarm; null: none is open';

COMMENT ON COLUMN public.promotion_watch.muted IS 'metrics whose breach a person acknowledged, until they are clean again';

COMMENT ON COLUMN public.promotion_watch.blind_since IS 'nothing of the winner could be seen since';

COMMENT ON COLUMN public.promotion_watch.drifted_at IS 'when the watch first saw that somebody else changed the split';

CREATE TABLE public.realised_lift (
    promotion_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    state text NOT NULL,
    reason text,
    source text,
    as_of timestamp with time zone NOT NULL,
    since timestamp with time zone,
    until timestamp with time zone,
    lift double precision,
    lift_lower double precision,
    lift_upper double precision,
    standard_error double precision,
    control_requests bigint,
    winner_requests bigint,
    analysis_unit text,
    measured_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT realised_lift_analysis_unit_check CHECK ((analysis_unit = ANY (ARRAY['user'::text, 'request'::text]))),
    CONSTRAINT realised_lift_check CHECK (((state = 'not_measurable'::text) = (reason IS NOT NULL))),
    CONSTRAINT realised_lift_check1 CHECK (((state <> 'measured'::text) OR ((lift IS NOT NULL) AND (standard_error IS NOT NULL) AND (source IS NOT NULL)))),
    CONSTRAINT realised_lift_reason_check CHECK ((reason = ANY (ARRAY['no_traffic_on_control'::text, 'too_few_requests'::text, 'not_computable'::text, 'broken_split'::text, 'variant_deleted'::text, 'not_recorded'::text]))),
    CONSTRAINT realised_lift_source_check CHECK ((source = ANY (ARRAY['holdback'::text, 'ramp'::text, 'rest'::text]))),
    CONSTRAINT realised_lift_state_check CHECK ((state = ANY (ARRAY['measuring'::text, 'measured'::text, 'not_measurable'::text])))
);

COMMENT ON TABLE public.realised_lift IS 'What each promotion brought, held against what it promised. Bound: a row a promotion; kept for good, as the promotions are.';

COMMENT ON COLUMN public.realised_lift.state IS 'measuring, measured or not_measurable; the last two are final';

COMMENT ON COLUMN public.realised_lift.reason IS 'why it is not measurable';

COMMENT ON COLUMN public.realised_lift.source IS 'what says it: the holdback, the steps of a ramp in which control kept traffic, or the rest of the experiment''s own phase';

COMMENT ON COLUMN public.realised_lift.as_of IS 'the end of the newest hour that was read';

COMMENT ON COLUMN public.realised_lift.since IS 'the start of the first hour that counts';

COMMENT ON COLUMN public.realised_lift.until IS 'until when requests count; null while it goes on';

COMMENT ON COLUMN public.realised_lift.lift IS 'of the winner over control, a fraction; positive where the winner is better';

COMMENT ON COLUMN public.realised_lift.lift_lower IS 'lower end of the interval of one look';

COMMENT ON COLUMN public.realised_lift.lift_upper IS 'its upper end';

COMMENT ON COLUMN public.realised_lift.standard_error IS 'of the lift, a fraction';

COMMENT ON COLUMN public.realised_lift.control_requests IS 'requests of control that count';

COMMENT ON COLUMN public.realised_lift.winner_requests IS 'requests of the winner that count';

COMMENT ON COLUMN public.realised_lift.analysis_unit IS 'user or request: what the standard error takes for independent';

COMMENT ON COLUMN public.realised_lift.measured_at IS 'when it was looked at last';

CREATE TABLE public.rollup_hours (
    hour timestamp with time zone NOT NULL,
    rolled_up_at timestamp with time zone DEFAULT now() NOT NULL,
    requests bigint NOT NULL,
    unassigned_requests bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE public.rollup_hours IS 'Which hours were rolled up; unassigned: rows of no known variant or phase. Bound: a row an hour.';

CREATE TABLE public.run_signs_of_life (
    run_id text NOT NULL,
    host text NOT NULL,
    machine text NOT NULL,
    process_id integer NOT NULL,
    process_started text NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.run_signs_of_life IS 'Which process works on which run of Dagster, and when it last said so. Bound: a row a run at work, removed when it ends.';

CREATE TABLE public.sent_requests (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.sent_requests IS 'Ids of requests that were sent over HTTP, so that one sent again changes nothing and an outcome finds its row. Bound: a row a request of the last 35 days.';

COMMENT ON COLUMN public.sent_requests.created_at IS 'of the request''s row in ai_requests';

CREATE TABLE public.served_traffic (
    experiment_id uuid NOT NULL,
    compared_at timestamp with time zone,
    served jsonb,
    read_at timestamp with time zone,
    unread text,
    unread_since timestamp with time zone,
    unread_told_at timestamp with time zone,
    observed jsonb,
    observed_unit text,
    observed_since timestamp with time zone,
    observed_until timestamp with time zone,
    p_value double precision,
    unobserved text,
    differs text,
    differs_since timestamp with time zone,
    CONSTRAINT served_traffic_check CHECK (((differs IS NULL) = (differs_since IS NULL))),
    CONSTRAINT served_traffic_check1 CHECK (((unread IS NULL) = (unread_since IS NULL))),
    CONSTRAINT served_traffic_observed_check CHECK ((jsonb_typeof(observed) = 'object'::text)),
    CONSTRAINT served_traffic_observed_unit_check CHECK ((observed_unit = ANY (ARRAY['users'::text, 'requests'::text]))),
    CONSTRAINT served_traffic_served_check CHECK ((jsonb_typeof(served) = 'object'::text))
);

COMMENT ON TABLE public.served_traffic IS 'What the target of each experiment said when it was read last, and what the log showed: one row an experiment, rewritten every hour. Bound: a row an experiment; removed with it.';

COMMENT ON COLUMN public.served_traffic.compared_at IS 'when the three splits were compared last; null: a delivery alone read it back';

COMMENT ON COLUMN public.served_traffic.served IS 'what the target said at read_at: percent of traffic by variant id';

COMMENT ON COLUMN public.served_traffic.read_at IS 'when the target said what it serves';

COMMENT ON COLUMN public.served_traffic.unread IS 'why it could not be read since unread_since; null: it could';

COMMENT ON COLUMN public.served_traffic.unread_since IS 'since when it cannot be read';

COMMENT ON COLUMN public.served_traffic.unread_told_at IS 'when people were told of that';

COMMENT ON COLUMN public.served_traffic.observed IS 'units of observed_unit by variant id in the log, from observed_since to observed_until';

COMMENT ON COLUMN public.served_traffic.observed_unit IS 'what is counted: users, or requests where most of them name no user';

COMMENT ON COLUMN public.served_traffic.observed_since IS 'from when on: ten minutes after the split was served, at most a day ago';

COMMENT ON COLUMN public.served_traffic.observed_until IS 'until when';

COMMENT ON COLUMN public.served_traffic.p_value IS 'chi-square of the observed units against the decided split';

COMMENT ON COLUMN public.served_traffic.unobserved IS 'why the log could not be asked; null: it could';

COMMENT ON COLUMN public.served_traffic.differs IS 'what is wrong since differs_since: what people are told of once';

COMMENT ON COLUMN public.served_traffic.differs_since IS 'when that was found first';

CREATE TABLE public.significance_results (
    hour timestamp with time zone NOT NULL,
    as_of timestamp with time zone NOT NULL,
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
    shrunken_lift double precision,
    information_fraction double precision,
    group_sequential_z double precision,
    group_sequential_boundary_z double precision
);

COMMENT ON TABLE public.significance_results IS 'Every treatment against control at each hour. Bound: a row an hour of each treatment; may be deleted and computed again.';

CREATE TABLE public.traffic_allocations (
    experiment_id uuid NOT NULL,
    generation integer NOT NULL,
    buckets jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT traffic_allocations_buckets_check CHECK ((jsonb_typeof(buckets) = 'array'::text)),
    CONSTRAINT traffic_allocations_generation_check CHECK ((generation > 0))
);

COMMENT ON TABLE public.traffic_allocations IS 'Which of an experiment''s 10,000 buckets of users get which variant, one list a generation; the newest is in force. Bound: a row a change of split; removed with the experiment.';

COMMENT ON COLUMN public.traffic_allocations.buckets IS 'all buckets in their order: a list of [variant id, width] whose widths sum to 10000';

CREATE TABLE public.traffic_deliveries (
    id bigint NOT NULL,
    experiment_id uuid NOT NULL,
    promotion_id uuid,
    generation integer NOT NULL,
    target text NOT NULL,
    wanted jsonb NOT NULL,
    expected jsonb,
    goes_back boolean DEFAULT false NOT NULL,
    says jsonb,
    before jsonb,
    served jsonb,
    state text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    verified_at timestamp with time zone,
    CONSTRAINT traffic_deliveries_check CHECK (((verified_at IS NULL) OR (state = ANY (ARRAY['verified'::text, 'superseded'::text, 'conflicted'::text])))),
    CONSTRAINT traffic_deliveries_check1 CHECK (((state <> 'verified'::text) OR ((verified_at IS NOT NULL) AND (served IS NOT NULL)))),
    CONSTRAINT traffic_deliveries_expected_check CHECK ((jsonb_typeof(expected) = 'array'::text)),
    CONSTRAINT traffic_deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'applied'::text, 'verified'::text, 'superseded'::text, 'conflicted'::text, 'failed'::text]))),
    CONSTRAINT traffic_deliveries_wanted_check CHECK ((jsonb_typeof(wanted) = 'object'::text))
);

COMMENT ON TABLE public.traffic_deliveries IS 'Each change of split on its way to what serves it, written in the transaction of the act. Bound: a row a change of split; kept for good.';

COMMENT ON COLUMN public.traffic_deliveries.target IS 'the kind of the target, as it was at the act: table, unleash, flagd, ofrep or webhook';

COMMENT ON COLUMN public.traffic_deliveries.wanted IS 'what shall be served: percent of traffic by variant id';

COMMENT ON COLUMN public.traffic_deliveries.expected IS 'the splits that may be served before: anything else is somebody''s edit; null: whatever is there is overwritten';

COMMENT ON COLUMN public.traffic_deliveries.goes_back IS 'whether the object of before the promotion is put back, where it gives the wanted split';

COMMENT ON COLUMN public.traffic_deliveries.says IS 'the notification that is written when it is verified';

COMMENT ON COLUMN public.traffic_deliveries.before IS 'the target''s whole object as it was read before the first write';

COMMENT ON COLUMN public.traffic_deliveries.served IS 'what the target said when it was read last: percent of traffic by variant id';

ALTER TABLE public.traffic_deliveries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.traffic_deliveries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.user_id_keys (
    one_row boolean DEFAULT true NOT NULL,
    key_check text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT user_id_keys_one_row_check CHECK (one_row)
);

COMMENT ON TABLE public.user_id_keys IS 'A check value of the key that user ids are hashed with; never the key. Bound: one row.';

CREATE TABLE public.user_totals (
    phase_id uuid NOT NULL,
    user_id text NOT NULL,
    variant_id uuid NOT NULL,
    requests bigint NOT NULL,
    conversions bigint NOT NULL,
    value numeric NOT NULL
)
WITH (fillfactor='70');

COMMENT ON TABLE public.user_totals IS 'Totals of each user of a phase, so that an hour does not read the users'' past. Bound: the phases'' users; follows hourly_user_rollups.';

CREATE TABLE public.variant_metrics (
    hour timestamp with time zone NOT NULL,
    as_of timestamp with time zone NOT NULL,
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
    mean_value double precision
);

COMMENT ON TABLE public.variant_metrics IS 'Cumulative counts and rates of every variant at each hour. Bound: a row an hour of each variant; may be deleted and computed again.';

ALTER TABLE ONLY public.ai_requests ATTACH PARTITION public.ai_requests_default DEFAULT;

ALTER TABLE ONLY public.ab_experiment_history
    ADD CONSTRAINT ab_experiment_history_pkey PRIMARY KEY (experiment_id, valid_from);

ALTER TABLE ONLY public.ab_experiment_phases
    ADD CONSTRAINT ab_experiment_phases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ab_experiments
    ADD CONSTRAINT ab_experiments_name_key UNIQUE (name);

ALTER TABLE ONLY public.ab_experiments
    ADD CONSTRAINT ab_experiments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ab_hold_history
    ADD CONSTRAINT ab_hold_history_pkey PRIMARY KEY (experiment_id, valid_from);

ALTER TABLE ONLY public.ab_variants
    ADD CONSTRAINT ab_variants_experiment_id_name_key UNIQUE (experiment_id, name);

ALTER TABLE ONLY public.ab_variants
    ADD CONSTRAINT ab_variants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.adopted_tables
    ADD CONSTRAINT adopted_tables_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.ai_events
    ADD CONSTRAINT ai_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ai_requests
    ADD CONSTRAINT ai_requests_pkey PRIMARY KEY (created_at, id);

ALTER TABLE ONLY public.ai_requests_default
    ADD CONSTRAINT ai_requests_default_pkey PRIMARY KEY (created_at, id);

ALTER TABLE ONLY public.api_audit
    ADD CONSTRAINT api_audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_idempotency_keys
    ADD CONSTRAINT api_idempotency_keys_pkey PRIMARY KEY (principal, key);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY public.compared_days
    ADD CONSTRAINT compared_days_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.dropped_requests
    ADD CONSTRAINT dropped_requests_pkey PRIMARY KEY (one_row);

ALTER TABLE ONLY public.eligibility_decisions
    ADD CONSTRAINT eligibility_decisions_pkey PRIMARY KEY (hour, experiment_id, label);

ALTER TABLE ONLY public.ended_lifts
    ADD CONSTRAINT ended_lifts_pkey PRIMARY KEY (phase_id, variant_id);

ALTER TABLE ONLY public.evaluation_blocks
    ADD CONSTRAINT evaluation_blocks_pkey PRIMARY KEY (evaluation, block);

ALTER TABLE ONLY public.evaluation_environments
    ADD CONSTRAINT evaluation_environments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.evaluation_hours
    ADD CONSTRAINT evaluation_hours_pkey PRIMARY KEY (hour);

ALTER TABLE ONLY public.experiment_promotions
    ADD CONSTRAINT experiment_promotions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.hourly_metric_rollups
    ADD CONSTRAINT hourly_metric_rollups_pkey PRIMARY KEY (phase_id, hour, variant_id, metric);

ALTER TABLE ONLY public.hourly_user_metrics
    ADD CONSTRAINT hourly_user_metrics_pkey PRIMARY KEY (phase_id, hour, user_id, metric, variant_id);

ALTER TABLE ONLY public.hourly_user_rollups
    ADD CONSTRAINT hourly_user_rollups_pkey PRIMARY KEY (hour, phase_id, user_id, variant_id);

ALTER TABLE ONLY public.hourly_variant_rollups
    ADD CONSTRAINT hourly_variant_rollups_pkey PRIMARY KEY (hour, phase_id, variant_id);

ALTER TABLE ONLY public.late_changes
    ADD CONSTRAINT late_changes_pkey PRIMARY KEY (experiment_id);

ALTER TABLE ONLY public.late_verdicts
    ADD CONSTRAINT late_verdicts_pkey PRIMARY KEY (experiment_id, hour, outcome);

ALTER TABLE ONLY public.live_deployments
    ADD CONSTRAINT live_deployments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.log_gaps
    ADD CONSTRAINT log_gaps_pkey PRIMARY KEY (experiment_id, hour);

ALTER TABLE ONLY public.metric_phases
    ADD CONSTRAINT metric_phases_pkey PRIMARY KEY (phase_id, metric);

ALTER TABLE ONLY public.metric_results
    ADD CONSTRAINT metric_results_pkey PRIMARY KEY (hour, experiment_id, variant_id, metric);

ALTER TABLE ONLY public.metric_users
    ADD CONSTRAINT metric_users_pkey PRIMARY KEY (phase_id, user_id);

ALTER TABLE ONLY public.notification_channels
    ADD CONSTRAINT notification_channels_pkey PRIMARY KEY (channel);

ALTER TABLE ONLY public.notification_deliveries
    ADD CONSTRAINT notification_deliveries_pkey PRIMARY KEY (outbox_id, channel);

ALTER TABLE ONLY public.notification_outbox
    ADD CONSTRAINT notification_outbox_dedup_key_key UNIQUE (dedup_key);

ALTER TABLE ONLY public.notification_outbox
    ADD CONSTRAINT notification_outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.page_sessions
    ADD CONSTRAINT page_sessions_pkey PRIMARY KEY (secret_hash);

ALTER TABLE ONLY public.phase_rollups
    ADD CONSTRAINT phase_rollups_pkey PRIMARY KEY (phase_id);

ALTER TABLE ONLY public.phase_totals
    ADD CONSTRAINT phase_totals_pkey PRIMARY KEY (phase_id, before, variant_id);

ALTER TABLE ONLY public.promotion_approvals
    ADD CONSTRAINT promotion_approvals_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.promotion_attempts
    ADD CONSTRAINT promotion_attempts_pkey PRIMARY KEY (experiment_id, as_of, kind, attempt);

ALTER TABLE ONLY public.promotion_audit
    ADD CONSTRAINT promotion_audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.promotion_pipeline_version
    ADD CONSTRAINT promotion_pipeline_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.promotion_watch
    ADD CONSTRAINT promotion_watch_pkey PRIMARY KEY (promotion_id);

ALTER TABLE ONLY public.realised_lift
    ADD CONSTRAINT realised_lift_pkey PRIMARY KEY (promotion_id);

ALTER TABLE ONLY public.rollup_hours
    ADD CONSTRAINT rollup_hours_pkey PRIMARY KEY (hour);

ALTER TABLE ONLY public.run_signs_of_life
    ADD CONSTRAINT run_signs_of_life_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.sent_requests
    ADD CONSTRAINT sent_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.served_traffic
    ADD CONSTRAINT served_traffic_pkey PRIMARY KEY (experiment_id);

ALTER TABLE ONLY public.significance_results
    ADD CONSTRAINT significance_results_pkey PRIMARY KEY (hour, experiment_id, variant_id);

ALTER TABLE ONLY public.traffic_allocations
    ADD CONSTRAINT traffic_allocations_pkey PRIMARY KEY (experiment_id, generation);

ALTER TABLE ONLY public.traffic_deliveries
    ADD CONSTRAINT traffic_deliveries_experiment_id_generation_key UNIQUE (experiment_id, generation);

ALTER TABLE ONLY public.traffic_deliveries
    ADD CONSTRAINT traffic_deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.user_id_keys
    ADD CONSTRAINT user_id_keys_pkey PRIMARY KEY (one_row);

ALTER TABLE ONLY public.user_totals
    ADD CONSTRAINT user_totals_pkey PRIMARY KEY (phase_id, user_id, variant_id);

ALTER TABLE ONLY public.variant_metrics
    ADD CONSTRAINT variant_metrics_pkey PRIMARY KEY (hour, experiment_id, variant_id);

CREATE UNIQUE INDEX ab_experiment_history_one_open ON public.ab_experiment_history USING btree (experiment_id) WHERE (valid_until = 'infinity'::timestamp with time zone);

CREATE UNIQUE INDEX ab_experiment_phases_one_open ON public.ab_experiment_phases USING btree (experiment_id) WHERE (ended_at IS NULL);

CREATE INDEX ab_experiment_phases_started ON public.ab_experiment_phases USING btree (experiment_id, started_at);

CREATE INDEX ab_experiment_phases_with_metrics ON public.ab_experiment_phases USING btree (id) WHERE (fixed <> '{}'::jsonb);

CREATE INDEX ai_events_of_experiment ON public.ai_events USING btree (experiment_id, name, created_at);

CREATE INDEX ai_events_of_user ON public.ai_events USING btree (user_id, name, created_at);

CREATE INDEX ai_requests_created_at_brin ON ONLY public.ai_requests USING brin (created_at) WITH (pages_per_range='32', autosummarize='on');

CREATE INDEX ai_requests_default_created_at_idx ON public.ai_requests_default USING brin (created_at) WITH (pages_per_range='32', autosummarize='on');

CREATE INDEX ai_requests_experiment_created_at ON ONLY public.ai_requests USING btree (experiment_id, created_at);

CREATE INDEX ai_requests_default_experiment_id_created_at_idx ON public.ai_requests_default USING btree (experiment_id, created_at);

CREATE INDEX api_audit_experiment ON public.api_audit USING btree (experiment_name, id);

CREATE INDEX api_idempotency_keys_stored_at ON public.api_idempotency_keys USING btree (stored_at);

CREATE UNIQUE INDEX api_tokens_one_of_a_name ON public.api_tokens USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX eligibility_decisions_experiment ON public.eligibility_decisions USING btree (experiment_id, hour);

CREATE INDEX ended_lifts_known ON public.ended_lifts USING btree (known_from);

CREATE INDEX experiment_promotions_experiment ON public.experiment_promotions USING btree (experiment_id, promoted_at);

CREATE INDEX experiment_promotions_live ON public.experiment_promotions USING btree (state, step_started_at) WHERE (state = ANY (ARRAY['ramping'::text, 'promoted'::text]));

CREATE UNIQUE INDEX experiment_promotions_one_live ON public.experiment_promotions USING btree (experiment_id) WHERE (state = ANY (ARRAY['ramping'::text, 'promoted'::text]));

CREATE UNIQUE INDEX experiment_promotions_one_shadow ON public.experiment_promotions USING btree (experiment_id, phase_id, promoted_variant_id) NULLS NOT DISTINCT WHERE (state = 'shadow'::text);

CREATE INDEX hourly_user_metrics_user ON public.hourly_user_metrics USING btree (phase_id, user_id);

CREATE INDEX hourly_variant_rollups_experiment ON public.hourly_variant_rollups USING btree (experiment_id, hour);

CREATE INDEX log_gaps_hour ON public.log_gaps USING btree (hour);

CREATE INDEX metric_users_exposed ON public.metric_users USING btree (phase_id, exposed_at);

CREATE INDEX notification_deliveries_due ON public.notification_deliveries USING btree (channel, priority, next_attempt_at, outbox_id) WHERE (state = ANY (ARRAY['pending'::text, 'sending'::text, 'uncertain'::text]));

CREATE INDEX notification_deliveries_thread ON public.notification_deliveries USING btree (channel, thread_key, outbox_id) WHERE (thread_key IS NOT NULL);

CREATE INDEX notification_outbox_not_fanned_out ON public.notification_outbox USING btree (id) WHERE (fanned_out_at IS NULL);

CREATE INDEX notification_outbox_runs ON public.notification_outbox USING btree (((payload ->> 'job'::text)), id) WHERE (event = ANY (ARRAY['run_failure'::text, 'run_recovered'::text]));

CREATE INDEX page_sessions_expires_at ON public.page_sessions USING btree (expires_at);

CREATE INDEX promotion_approvals_experiment ON public.promotion_approvals USING btree (experiment_id, requested_at);

CREATE UNIQUE INDEX promotion_approvals_one_open ON public.promotion_approvals USING btree (experiment_id) WHERE ((state = 'awaiting_approval'::text) OR ((state = 'approved'::text) AND (promotion_id IS NULL)));

CREATE INDEX promotion_audit_experiment ON public.promotion_audit USING btree (experiment_id, id);

CREATE INDEX promotion_audit_promotion ON public.promotion_audit USING btree (promotion_id, id);

CREATE INDEX sent_requests_received_at_brin ON public.sent_requests USING brin (received_at) WITH (autosummarize='on');

CREATE UNIQUE INDEX traffic_deliveries_one_under_way ON public.traffic_deliveries USING btree (experiment_id) WHERE (state = ANY (ARRAY['pending'::text, 'applied'::text]));

ALTER INDEX public.ai_requests_created_at_brin ATTACH PARTITION public.ai_requests_default_created_at_idx;

ALTER INDEX public.ai_requests_experiment_created_at ATTACH PARTITION public.ai_requests_default_experiment_id_created_at_idx;

ALTER INDEX public.ai_requests_pkey ATTACH PARTITION public.ai_requests_default_pkey;

CREATE CONSTRAINT TRIGGER ab_experiment_changed AFTER INSERT OR UPDATE ON public.ab_experiments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.ab_experiment_changed();

CREATE TRIGGER ab_forget_deleted AFTER DELETE ON public.ab_experiments FOR EACH STATEMENT EXECUTE FUNCTION public.ab_forget_deleted();

CREATE TRIGGER ab_forget_truncated AFTER TRUNCATE ON public.ab_experiments FOR EACH STATEMENT EXECUTE FUNCTION public.ab_forget_deleted();

CREATE TRIGGER ab_hold_changed AFTER UPDATE ON public.ab_experiments FOR EACH ROW WHEN ((old.auto_promotion_hold IS DISTINCT FROM new.auto_promotion_hold)) EXECUTE FUNCTION public.ab_hold_changed();

CREATE TRIGGER ab_hold_given AFTER INSERT ON public.ab_experiments FOR EACH ROW WHEN ((new.auto_promotion_hold IS NOT NULL)) EXECUTE FUNCTION public.ab_hold_changed();

CREATE TRIGGER ab_one_experiment_a_flag_from_now_on AFTER INSERT ON public.ab_experiments FOR EACH ROW WHEN ((new.traffic_target IS NOT NULL)) EXECUTE FUNCTION public.ab_one_experiment_a_flag();

CREATE TRIGGER ab_one_experiment_a_flag_still AFTER UPDATE ON public.ab_experiments FOR EACH ROW WHEN (((new.traffic_target IS NOT NULL) AND ((old.traffic_target IS DISTINCT FROM new.traffic_target) OR (new.is_active AND (NOT old.is_active))))) EXECUTE FUNCTION public.ab_one_experiment_a_flag();

CREATE TRIGGER ab_phases_are_in_time BEFORE INSERT OR UPDATE ON public.ab_experiment_phases FOR EACH ROW EXECUTE FUNCTION public.ab_phases_are_in_time();

CREATE TRIGGER ab_phases_never_overlap BEFORE INSERT OR UPDATE ON public.ab_experiment_phases FOR EACH ROW EXECUTE FUNCTION public.ab_phases_never_overlap();

CREATE CONSTRAINT TRIGGER ab_variant_changed AFTER INSERT OR DELETE OR UPDATE ON public.ab_variants DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.ab_variant_changed();

CREATE TRIGGER add_to_user_totals AFTER INSERT ON public.hourly_user_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_user_totals();

CREATE TRIGGER add_what_it_is_now AFTER UPDATE ON public.hourly_user_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.add_to_user_totals();

CREATE TRIGGER api_audit_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.api_audit FOR EACH STATEMENT EXECUTE FUNCTION public.api_audit_is_append_only();

CREATE TRIGGER approvals_are_not_truncated BEFORE TRUNCATE ON public.promotion_approvals FOR EACH STATEMENT EXECUTE FUNCTION public.approvals_keep_history();

CREATE TRIGGER approvals_keep_history BEFORE INSERT OR DELETE OR UPDATE ON public.promotion_approvals FOR EACH ROW EXECUTE FUNCTION public.approvals_keep_history();

CREATE TRIGGER audit_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.promotion_audit FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();

CREATE TRIGGER delivered_is_final BEFORE UPDATE ON public.notification_deliveries FOR EACH ROW WHEN ((old.state = 'delivered'::text)) EXECUTE FUNCTION public.delivered_is_final();

CREATE TRIGGER environment_is_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON public.evaluation_environments FOR EACH STATEMENT EXECUTE FUNCTION public.environment_is_kept();

CREATE TRIGGER environment_is_kept BEFORE DELETE OR UPDATE OR TRUNCATE ON public.evaluation_hours FOR EACH STATEMENT EXECUTE FUNCTION public.environment_is_kept();

CREATE TRIGGER forget_metrics_of_phase AFTER UPDATE OF started_at, traffic, fixed ON public.ab_experiment_phases FOR EACH ROW WHEN (((old.fixed <> '{}'::jsonb) AND ((old.started_at <> new.started_at) OR (old.traffic <> new.traffic) OR public.ab_is_fixed_otherwise(old.fixed, new.fixed)))) EXECUTE FUNCTION public.forget_metrics_of_phase();

CREATE TRIGGER forget_phase_rollups AFTER UPDATE OF traffic ON public.ab_experiment_phases FOR EACH ROW WHEN ((old.traffic IS DISTINCT FROM new.traffic)) EXECUTE FUNCTION public.forget_phase_rollups();

CREATE TRIGGER forget_totals_of_moved_phase AFTER UPDATE OF started_at ON public.ab_experiment_phases FOR EACH ROW WHEN ((old.started_at <> new.started_at)) EXECUTE FUNCTION public.forget_totals_of_phase();

CREATE TRIGGER forget_totals_of_moved_rows AFTER UPDATE ON public.hourly_variant_rollups REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.forget_phase_totals();

CREATE TRIGGER forget_totals_on_delete AFTER DELETE ON public.hourly_variant_rollups REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.forget_phase_totals();

CREATE TRIGGER forget_totals_on_insert AFTER INSERT ON public.hourly_variant_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.forget_phase_totals();

CREATE TRIGGER forget_totals_on_truncate AFTER TRUNCATE ON public.hourly_variant_rollups FOR EACH STATEMENT EXECUTE FUNCTION public.forget_all_phase_totals();

CREATE TRIGGER forget_totals_on_update AFTER UPDATE ON public.hourly_variant_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.forget_phase_totals();

CREATE TRIGGER forget_user_totals AFTER TRUNCATE ON public.hourly_user_rollups FOR EACH STATEMENT EXECUTE FUNCTION public.forget_user_totals();

CREATE TRIGGER history_is_kept BEFORE DELETE OR UPDATE ON public.ab_experiment_history FOR EACH ROW EXECUTE FUNCTION public.history_is_kept();

CREATE TRIGGER history_is_kept BEFORE DELETE OR UPDATE ON public.ab_hold_history FOR EACH ROW EXECUTE FUNCTION public.history_is_kept();

CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON public.ab_experiment_history FOR EACH STATEMENT EXECUTE FUNCTION public.history_is_kept();

CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON public.ab_hold_history FOR EACH STATEMENT EXECUTE FUNCTION public.history_is_kept();

CREATE TRIGGER note_changed_rows AFTER UPDATE ON public.hourly_metric_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_late_changes();

CREATE TRIGGER note_changed_rows AFTER UPDATE ON public.hourly_variant_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_late_changes();

CREATE TRIGGER note_late_rows AFTER INSERT ON public.hourly_metric_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_late_changes();

CREATE TRIGGER note_late_rows AFTER INSERT ON public.hourly_variant_rollups REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_late_changes();

CREATE TRIGGER note_new_events AFTER INSERT ON public.ai_events REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_metric_events();

CREATE TRIGGER note_rows_gone AFTER DELETE ON public.hourly_variant_rollups REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_late_changes();

CREATE TRIGGER note_what_it_is AFTER UPDATE ON public.ai_events REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_metric_events();

CREATE TRIGGER note_what_it_was AFTER UPDATE ON public.ai_events REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_metric_events();

CREATE TRIGGER promotions_are_not_truncated BEFORE TRUNCATE ON public.experiment_promotions FOR EACH STATEMENT EXECUTE FUNCTION public.promotions_keep_history();

CREATE TRIGGER promotions_keep_history BEFORE INSERT OR DELETE OR UPDATE ON public.experiment_promotions FOR EACH ROW EXECUTE FUNCTION public.promotions_keep_history();

CREATE TRIGGER take_from_user_totals AFTER DELETE ON public.hourly_user_rollups REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.take_from_user_totals();

CREATE TRIGGER take_what_it_was AFTER UPDATE ON public.hourly_user_rollups REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.take_from_user_totals();

ALTER TABLE ONLY public.ab_variants
    ADD CONSTRAINT ab_variants_experiment_id_fkey FOREIGN KEY (experiment_id) REFERENCES public.ab_experiments(id);

ALTER TABLE ONLY public.api_audit
    ADD CONSTRAINT api_audit_token_id_fkey FOREIGN KEY (token_id) REFERENCES public.api_tokens(id);

ALTER TABLE ONLY public.evaluation_hours
    ADD CONSTRAINT evaluation_hours_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.evaluation_environments(id);

ALTER TABLE ONLY public.hourly_metric_rollups
    ADD CONSTRAINT hourly_metric_rollups_phase_id_fkey FOREIGN KEY (phase_id) REFERENCES public.ab_experiment_phases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.hourly_user_metrics
    ADD CONSTRAINT hourly_user_metrics_phase_id_fkey FOREIGN KEY (phase_id) REFERENCES public.ab_experiment_phases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.late_verdicts
    ADD CONSTRAINT late_verdicts_promotion_id_fkey FOREIGN KEY (promotion_id) REFERENCES public.experiment_promotions(id);

ALTER TABLE ONLY public.metric_phases
    ADD CONSTRAINT metric_phases_phase_id_fkey FOREIGN KEY (phase_id) REFERENCES public.ab_experiment_phases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.metric_users
    ADD CONSTRAINT metric_users_phase_id_fkey FOREIGN KEY (phase_id) REFERENCES public.ab_experiment_phases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notification_deliveries
    ADD CONSTRAINT notification_deliveries_outbox_id_fkey FOREIGN KEY (outbox_id) REFERENCES public.notification_outbox(id);

ALTER TABLE ONLY public.notification_outbox
    ADD CONSTRAINT notification_outbox_promotion_id_fkey FOREIGN KEY (promotion_id) REFERENCES public.experiment_promotions(id);

ALTER TABLE ONLY public.page_sessions
    ADD CONSTRAINT page_sessions_token_id_fkey FOREIGN KEY (token_id) REFERENCES public.api_tokens(id);

ALTER TABLE ONLY public.phase_rollups
    ADD CONSTRAINT phase_rollups_phase_id_fkey FOREIGN KEY (phase_id) REFERENCES public.ab_experiment_phases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.promotion_approvals
    ADD CONSTRAINT promotion_approvals_promotion_id_fkey FOREIGN KEY (promotion_id) REFERENCES public.experiment_promotions(id);

ALTER TABLE ONLY public.promotion_watch
    ADD CONSTRAINT promotion_watch_promotion_id_fkey FOREIGN KEY (promotion_id) REFERENCES public.experiment_promotions(id) ON DELETE CASCADE;
