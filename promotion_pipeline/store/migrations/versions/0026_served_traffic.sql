CREATE TABLE served_traffic (
    experiment_id uuid PRIMARY KEY,
    compared_at timestamptz,
    served jsonb CHECK (jsonb_typeof(served) = 'object'),
    read_at timestamptz,
    unread text,
    unread_since timestamptz,
    unread_told_at timestamptz,
    observed jsonb CHECK (jsonb_typeof(observed) = 'object'),
    observed_unit text CHECK (observed_unit IN ('users', 'requests')),
    observed_since timestamptz,
    observed_until timestamptz,
    p_value double precision,
    unobserved text,
    differs text,
    differs_since timestamptz,
    CHECK ((differs IS NULL) = (differs_since IS NULL)),
    CHECK ((unread IS NULL) = (unread_since IS NULL))
);
COMMENT ON TABLE served_traffic IS
    'What the target of each experiment said when it was read last, and what the log showed: one row an experiment, rewritten every hour. Bound: a row an experiment; removed with it.';
COMMENT ON COLUMN served_traffic.compared_at IS 'when the three splits were compared last; null: a delivery alone read it back';
COMMENT ON COLUMN served_traffic.read_at IS 'when the target said what it serves';
COMMENT ON COLUMN served_traffic.unread_since IS 'since when it cannot be read';
COMMENT ON COLUMN served_traffic.unread_told_at IS 'when people were told of that';
COMMENT ON COLUMN served_traffic.observed_unit IS 'what is counted: users, or requests where most of them name no user';
COMMENT ON COLUMN served_traffic.observed_since IS 'from when on: ten minutes after the split was served, at most a day ago';
COMMENT ON COLUMN served_traffic.observed_until IS 'until when';
COMMENT ON COLUMN served_traffic.differs_since IS 'when that was found first';
COMMENT ON COLUMN served_traffic.served IS 'what the target said at read_at: percent of traffic by variant id';
COMMENT ON COLUMN served_traffic.unread IS 'why it could not be read since unread_since; null: it could';
COMMENT ON COLUMN served_traffic.observed IS 'units of observed_unit by variant id in the log, from observed_since to observed_until';
COMMENT ON COLUMN served_traffic.p_value IS 'chi-square of the observed units against the decided split';
COMMENT ON COLUMN served_traffic.unobserved IS 'why the log could not be asked; null: it could';
COMMENT ON COLUMN served_traffic.differs IS 'what is wrong since differs_since: what people are told of once';

-- Changes a check of 0024: what was verified and is another split later keeps the time at which it was verified.
ALTER TABLE traffic_deliveries DROP CONSTRAINT traffic_deliveries_check,
    ADD CONSTRAINT traffic_deliveries_check
        CHECK (verified_at IS NULL OR state IN ('verified', 'superseded', 'conflicted'));

-- Where an experiment is served, as far as two experiments there would overwrite each other; null: nowhere in particular.
-- Both doors of our own serve both kinds of flag. A webhook is told the experiment's name, so only what it reads counts.
CREATE FUNCTION traffic_place(target jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE target ->> 'kind'
        WHEN 'unleash' THEN 'the flag ' || (target ->> 'feature') || ' of the Unleash project ' || (target ->> 'project')
            || ', environment ' || (target ->> 'environment')
        WHEN 'flagd' THEN 'the flag ' || (target ->> 'flag')
        WHEN 'ofrep' THEN 'the flag ' || (target ->> 'flag')
        WHEN 'webhook' THEN target ->> 'read_url'
    END
$$;

-- An experiment holds its place while it runs, and while its promotion stands: so a rollback never meets another there.
CREATE FUNCTION ab_one_experiment_a_flag() RETURNS trigger LANGUAGE plpgsql AS $$
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
END $$;
CREATE TRIGGER ab_one_experiment_a_flag_from_now_on AFTER INSERT ON ab_experiments FOR EACH ROW
    WHEN (NEW.traffic_target IS NOT NULL) EXECUTE FUNCTION ab_one_experiment_a_flag();
CREATE TRIGGER ab_one_experiment_a_flag_still AFTER UPDATE ON ab_experiments FOR EACH ROW
    WHEN (NEW.traffic_target IS NOT NULL AND (OLD.traffic_target IS DISTINCT FROM NEW.traffic_target
        OR (NEW.is_active AND NOT OLD.is_active)))
    EXECUTE FUNCTION ab_one_experiment_a_flag();
