-- The sums of all hours of a phase before a midnight, added up in the order of the hours. A cache: it may be emptied at
-- any time, and the database itself forgets what a change of earlier hours makes wrong.
CREATE TABLE phase_totals (
    phase_id uuid NOT NULL,
    before timestamptz NOT NULL,
    variant_id uuid NOT NULL,
    experiment_id uuid NOT NULL,
    first_requests bigint NOT NULL,
    has_fallen boolean NOT NULL,
    requests bigint NOT NULL,
    conversions bigint NOT NULL,
    errors bigint NOT NULL,
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
    newest_request_at timestamptz,
    PRIMARY KEY (phase_id, before, variant_id)
);
COMMENT ON COLUMN phase_totals.first_requests IS 'requests of the phase''s first 48 hours: they tune its always-valid interval';
COMMENT ON COLUMN phase_totals.has_fallen IS 'whether a count of some hour was negative, as corrections of imported sums are';

CREATE FUNCTION forget_phase_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM phase_totals AS total
    USING (SELECT phase_id, min(hour) AS hour FROM changed GROUP BY phase_id) AS phase
    WHERE total.phase_id = phase.phase_id AND total.before > phase.hour;
    RETURN NULL;
END $$;
-- One trigger an event: a trigger of several cannot see the changed rows as a table.
CREATE TRIGGER forget_totals_on_insert AFTER INSERT ON hourly_variant_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_phase_totals();
CREATE TRIGGER forget_totals_on_delete AFTER DELETE ON hourly_variant_rollups
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_phase_totals();
CREATE TRIGGER forget_totals_on_update AFTER UPDATE ON hourly_variant_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_phase_totals();
CREATE TRIGGER forget_totals_of_moved_rows AFTER UPDATE ON hourly_variant_rollups
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION forget_phase_totals();

CREATE FUNCTION forget_all_phase_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM phase_totals;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_totals_on_truncate AFTER TRUNCATE ON hourly_variant_rollups
    FOR EACH STATEMENT EXECUTE FUNCTION forget_all_phase_totals();

-- Which hours count, and which are the first 48, hangs on the start.
CREATE FUNCTION forget_totals_of_phase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM phase_totals WHERE phase_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_totals_of_moved_phase AFTER UPDATE OF started_at ON ab_experiment_phases
    FOR EACH ROW WHEN (OLD.started_at <> NEW.started_at) EXECUTE FUNCTION forget_totals_of_phase();
