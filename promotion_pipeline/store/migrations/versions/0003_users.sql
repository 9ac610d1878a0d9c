-- A user's requests of one hour. Only the rollup reads it: the evaluation never sees a user.
CREATE TABLE hourly_user_rollups (
    phase_id uuid NOT NULL,
    user_id text NOT NULL,
    variant_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    requests integer NOT NULL,
    conversions integer NOT NULL,
    value numeric NOT NULL,
    PRIMARY KEY (phase_id, user_id, variant_id, hour)
);
CREATE INDEX hourly_user_rollups_hour ON hourly_user_rollups (hour, phase_id);
COMMENT ON TABLE hourly_user_rollups IS 'may be deleted for phases that have ended and will not be rolled up again';

ALTER TABLE hourly_variant_rollups
    ADD COLUMN user_value_sum_squares double precision NOT NULL DEFAULT 0,
    ADD COLUMN user_value_requests_sum_products double precision NOT NULL DEFAULT 0,
    ADD COLUMN crossed_users bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN hourly_variant_rollups.new_users IS 'users first served by this variant in this hour of the phase';
COMMENT ON COLUMN hourly_variant_rollups.crossed_users IS
    'new_users of this variant that another variant of the phase had served before';
