-- Experiments whose sums have changed in or before hours that are decided, from which hour on. The trigger sees every
-- change of the sums, whatever made it; whoever decides these hours again removes the row.
CREATE TABLE late_changes (
    experiment_id uuid PRIMARY KEY REFERENCES ab_experiments (id),
    first_hour timestamptz NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION note_late_changes() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER note_late_rows AFTER INSERT ON hourly_variant_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_late_changes();
CREATE TRIGGER note_rows_gone AFTER DELETE ON hourly_variant_rollups
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_late_changes();
CREATE TRIGGER note_changed_rows AFTER UPDATE ON hourly_variant_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_late_changes();

-- Decisions that would be others now, for rows that came late; each is told once. The decisions of record stay.
CREATE TABLE late_verdicts (
    experiment_id uuid NOT NULL REFERENCES ab_experiments (id),
    hour timestamptz NOT NULL,
    recorded text NOT NULL,
    outcome text NOT NULL,
    promotion_id uuid REFERENCES experiment_promotions (id),
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (experiment_id, hour, outcome)
);
COMMENT ON COLUMN late_verdicts.outcome IS 'verdict, or promotable, and the candidate of an eligible one';
COMMENT ON COLUMN late_verdicts.promotion_id IS 'the promotion that stood on the decision';

-- What an evaluation of several blocks has written, until it is through: started again, it does not write it twice.
CREATE TABLE evaluation_blocks (
    evaluation text NOT NULL,
    block text NOT NULL,
    fingerprint text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (evaluation, block)
);
