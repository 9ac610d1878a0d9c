-- What an experiment's metrics measure is fixed in a phase, like its split: another cap, event or kind is another sum,
-- and pooling the two would be wrong. A flat map, so that whatever else must stay in a phase is one key more.
CREATE FUNCTION ab_fixed_in_phase(config jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
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
CREATE FUNCTION ab_is_fixed_otherwise(known jsonb, wanted jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT EXISTS (SELECT 1 FROM jsonb_each(wanted) AS now
        WHERE known ? now.key AND known -> now.key IS DISTINCT FROM now.value)
$$;

ALTER TABLE ab_experiment_phases ADD COLUMN fixed jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN ab_experiment_phases.fixed IS
    'what may not change within the phase: metric:NAME -> what the metric measures';
UPDATE ab_experiment_phases AS phase SET fixed = ab_fixed_in_phase(experiment.promotion_config)
FROM ab_experiments AS experiment
WHERE experiment.id = phase.experiment_id AND phase.ended_at IS NULL
    AND ab_fixed_in_phase(experiment.promotion_config) <> '{}';
CREATE INDEX ab_experiment_phases_with_metrics ON ab_experiment_phases (id) WHERE fixed <> '{}';

-- Changed here: a metric that measures something else opens a phase, and a metric that is new joins the open one.
CREATE OR REPLACE FUNCTION ab_sync_phase_of_started(target uuid) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE TABLE hourly_metric_rollups (
    hour timestamptz NOT NULL,
    experiment_id uuid NOT NULL,
    phase_id uuid NOT NULL REFERENCES ab_experiment_phases (id) ON DELETE CASCADE,
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
    user_value_denominator_sum_products numeric NOT NULL,
    covariate_sum numeric NOT NULL,
    covariate_sum_squares numeric NOT NULL,
    user_value_covariate_sum_products numeric NOT NULL,
    PRIMARY KEY (phase_id, hour, variant_id, metric)
);
COMMENT ON TABLE hourly_metric_rollups IS
    'Additive sums of one hour, phase, variant and metric; exact, so that they are the same in whatever order rows came. Bound: a row an hour of each variant and metric for which something happened; kept for good.';
COMMENT ON COLUMN hourly_metric_rollups.samples IS
    'events, or requests with a number in the column, that the metric was made of; none ever: nothing matches it';
COMMENT ON COLUMN hourly_metric_rollups.new_users IS
    'users whose first variant of the phase this was, in this hour; of a mean of requests: users new to the variant, and requests of nobody known';
COMMENT ON COLUMN hourly_metric_rollups.user_value_sum_squares IS
    'growth of the sum over users of the square of their value so far; the other user sums likewise';
CREATE TRIGGER note_late_rows AFTER INSERT ON hourly_metric_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_late_changes();
CREATE TRIGGER note_changed_rows AFTER UPDATE ON hourly_metric_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_late_changes();

CREATE TABLE metric_users (
    phase_id uuid NOT NULL REFERENCES ab_experiment_phases (id) ON DELETE CASCADE,
    user_id text NOT NULL,
    variant_id uuid NOT NULL,
    exposed_at timestamptz NOT NULL,
    past_until timestamptz NOT NULL,
    PRIMARY KEY (phase_id, user_id)
);
CREATE INDEX metric_users_exposed ON metric_users (phase_id, exposed_at);
COMMENT ON COLUMN metric_users.past_until IS
    'end of what is the user''s past: first served in the experiment, or the start of an earlier phase that served them';
COMMENT ON TABLE metric_users IS
    'When each user of a phase with metrics was first served, and which variant. Bound: the users of phases with metrics; may be deleted for phases that have ended.';
CREATE TABLE hourly_user_metrics (
    phase_id uuid NOT NULL REFERENCES ab_experiment_phases (id) ON DELETE CASCADE,
    user_id text NOT NULL,
    metric text NOT NULL,
    hour timestamptz NOT NULL,
    variant_id uuid NOT NULL,
    value numeric NOT NULL,
    number bigint NOT NULL,
    squares numeric NOT NULL,
    PRIMARY KEY (phase_id, hour, user_id, metric, variant_id)
);
CREATE INDEX hourly_user_metrics_user ON hourly_user_metrics (phase_id, user_id);
COMMENT ON TABLE hourly_user_metrics IS
    'What each user did in each hour for each metric, so that late rows and events change the sums exactly. Bound: the users of phases with metrics times the hours in which something happened; may be deleted for phases that have ended.';
COMMENT ON COLUMN hourly_user_metrics.user_id IS 'as in metric_users; empty: requests of nobody known';
COMMENT ON COLUMN hourly_user_metrics.hour IS '-infinity: in the days before the user was first served (covariate)';
COMMENT ON COLUMN hourly_user_metrics.variant_id IS 'of requests; zeros: the user''s own variant';
CREATE TABLE metric_phases (
    phase_id uuid NOT NULL REFERENCES ab_experiment_phases (id) ON DELETE CASCADE,
    metric text NOT NULL,
    built_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (phase_id, metric)
);
COMMENT ON TABLE metric_phases IS
    'Which metrics of which phases are in the sums; the others are made from the phase''s start. Bound: a row a phase and metric.';

-- What was summed up from another start, of another split or of another meaning is made anew from the log.
CREATE FUNCTION forget_metrics_of_phase() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER forget_metrics_of_phase AFTER UPDATE OF started_at, traffic, fixed ON ab_experiment_phases
    FOR EACH ROW WHEN (old.fixed <> '{}' AND (old.started_at <> new.started_at OR old.traffic <> new.traffic
        OR ab_is_fixed_otherwise(old.fixed, new.fixed)))
    EXECUTE FUNCTION forget_metrics_of_phase();

-- Late, repeated and corrected events are found without reading the others: each is noted in the transaction that
-- brings it. Append-only, so that two who send at once do not wait for each other.
CREATE TABLE metric_event_changes (
    experiment_id uuid NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    hour timestamptz NOT NULL
);
COMMENT ON TABLE metric_event_changes IS
    'Events of metrics that are not in the sums yet. Bound: the events since the newest hourly run.';
CREATE FUNCTION note_metric_events() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER note_new_events AFTER INSERT ON ai_events
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_metric_events();
CREATE TRIGGER note_what_it_was AFTER UPDATE ON ai_events
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_metric_events();
CREATE TRIGGER note_what_it_is AFTER UPDATE ON ai_events
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_metric_events();
CREATE INDEX ai_events_of_user ON ai_events (user_id, name, created_at);
