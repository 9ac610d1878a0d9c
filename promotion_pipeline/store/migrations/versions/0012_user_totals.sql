-- An hour's users are found by the hour; all that was known of a user before it is one row of user_totals.
ALTER TABLE hourly_user_rollups DROP CONSTRAINT hourly_user_rollups_pkey;
DROP INDEX hourly_user_rollups_hour;
ALTER TABLE hourly_user_rollups ADD PRIMARY KEY (hour, phase_id, user_id, variant_id);

-- The sums of all rows of hourly_user_rollups of a user, kept by the database itself.
CREATE TABLE user_totals (
    phase_id uuid NOT NULL,
    user_id text NOT NULL,
    variant_id uuid NOT NULL,
    requests bigint NOT NULL,
    conversions bigint NOT NULL,
    value numeric NOT NULL,
    PRIMARY KEY (phase_id, user_id, variant_id)
) WITH (fillfactor = 70);
INSERT INTO user_totals
SELECT phase_id, user_id, variant_id, sum(requests), sum(conversions), sum(value)
FROM hourly_user_rollups GROUP BY phase_id, user_id, variant_id ORDER BY phase_id, user_id, variant_id;

CREATE FUNCTION add_to_user_totals() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE FUNCTION take_from_user_totals() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER add_to_user_totals AFTER INSERT ON hourly_user_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION add_to_user_totals();
CREATE TRIGGER take_from_user_totals AFTER DELETE ON hourly_user_rollups
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION take_from_user_totals();
CREATE TRIGGER add_what_it_is_now AFTER UPDATE ON hourly_user_rollups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION add_to_user_totals();
CREATE TRIGGER take_what_it_was AFTER UPDATE ON hourly_user_rollups
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION take_from_user_totals();

CREATE FUNCTION forget_user_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE user_totals;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_user_totals AFTER TRUNCATE ON hourly_user_rollups
    FOR EACH STATEMENT EXECUTE FUNCTION forget_user_totals();
