-- An application may write any date. A phase begins within what every part of the product can count with; whether
-- start_date itself can be used is told with the experiment's decision.
CREATE FUNCTION usable_start(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(greatest(at, '2000-01-01 00:00:00+00'::timestamptz), '9000-01-01 00:00:00+00'::timestamptz)
$$;
CREATE FUNCTION ab_phases_are_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.started_at := least(greatest(NEW.started_at, '2000-01-01 00:00:00+00'), '9000-01-01 00:00:00+00');
    IF NEW.ended_at < NEW.started_at THEN NEW.ended_at := NEW.started_at; END IF;
    RETURN NEW;
END $$;
-- By its name it fires before ab_phases_never_overlap.
CREATE TRIGGER ab_phases_are_in_time BEFORE INSERT OR UPDATE ON ab_experiment_phases
    FOR EACH ROW EXECUTE FUNCTION ab_phases_are_in_time();
UPDATE ab_experiment_phases SET started_at = usable_start(started_at)
    WHERE started_at NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-01-01 00:00:00+00';

-- A user's id as hourly_user_rollups and user_totals keep it. An index takes no key of more than 2,704 bytes, so a long
-- id is kept as its digest. Where AUTO_PROMOTION_USER_ID_KEY is set, the session holds the two keys that HMAC-SHA256
-- derives from it (RFC 2104), and only keyed hashes are kept.
CREATE FUNCTION kept_user_id(user_id text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
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

-- How the ids are kept that are stored: without a row, as they came. The check is a hash of a fixed text by the key, so
-- that another key, or none, is noticed instead of counting every user twice.
CREATE TABLE user_id_keys (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    key_check text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE user_id_keys IS 'one row where user ids are kept as keyed hashes; the key itself is in the environment';

CREATE FUNCTION user_ids_can_be_kept() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
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
