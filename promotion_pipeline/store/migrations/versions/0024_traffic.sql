-- What serves an experiment's split to the application; null: the application reads ab_variants.
ALTER TABLE ab_experiments ADD COLUMN IF NOT EXISTS traffic_target jsonb;

CREATE TABLE traffic_allocations (
    experiment_id uuid NOT NULL,
    generation integer NOT NULL CHECK (generation > 0),
    buckets jsonb NOT NULL CHECK (jsonb_typeof(buckets) = 'array'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (experiment_id, generation)
);
COMMENT ON TABLE traffic_allocations IS
    'Which of an experiment''s 10,000 buckets of users get which variant, one list a generation; the newest is in force. Bound: a row a change of split; removed with the experiment.';
COMMENT ON COLUMN traffic_allocations.buckets IS
    'all buckets in their order: a list of [variant id, width] whose widths sum to 10000';

CREATE TABLE traffic_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment_id uuid NOT NULL,
    promotion_id uuid,
    generation integer NOT NULL,
    target text NOT NULL,
    wanted jsonb NOT NULL CHECK (jsonb_typeof(wanted) = 'object'),
    expected jsonb CHECK (jsonb_typeof(expected) = 'array'),
    goes_back boolean NOT NULL DEFAULT false,
    says jsonb,
    before jsonb,
    served jsonb,
    state text NOT NULL CHECK (state IN ('pending', 'applied', 'verified', 'superseded', 'conflicted', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verified_at timestamptz,
    UNIQUE (experiment_id, generation),
    CHECK ((verified_at IS NULL) OR state IN ('verified', 'superseded')),
    CHECK (state <> 'verified' OR (verified_at IS NOT NULL AND served IS NOT NULL))
);
-- What is on its way: one of an experiment, whatever two writers think.
CREATE UNIQUE INDEX traffic_deliveries_one_under_way ON traffic_deliveries (experiment_id)
    WHERE state IN ('pending', 'applied');
COMMENT ON TABLE traffic_deliveries IS
    'Each change of split on its way to what serves it, written in the transaction of the act. Bound: a row a change of split; kept for good.';
COMMENT ON COLUMN traffic_deliveries.target IS 'the kind of the target, as it was at the act: table, unleash, flagd, ofrep or webhook';
COMMENT ON COLUMN traffic_deliveries.wanted IS 'what shall be served: percent of traffic by variant id';
COMMENT ON COLUMN traffic_deliveries.expected IS
    'the splits that may be served before: anything else is somebody''s edit; null: whatever is there is overwritten';
COMMENT ON COLUMN traffic_deliveries.goes_back IS 'whether the object of before the promotion is put back, where it gives the wanted split';
COMMENT ON COLUMN traffic_deliveries.says IS 'the notification that is written when it is verified';
COMMENT ON COLUMN traffic_deliveries.before IS 'the target''s whole object as it was read before the first write';
COMMENT ON COLUMN traffic_deliveries.served IS 'what the target said when it was read last: percent of traffic by variant id';

-- Changes promotions_keep_history of 0002: the clocks of a completed promotion begin once it is served, after the act.
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
