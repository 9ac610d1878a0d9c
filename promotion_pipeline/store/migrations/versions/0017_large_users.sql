-- NaN where the hours were rolled up before this was kept: it is not known, and a sum with it is not either.
ALTER TABLE hourly_variant_rollups
    ADD COLUMN crossed_requests bigint NOT NULL DEFAULT 0,
    ADD COLUMN user_requests_sum_sixteenth_powers double precision NOT NULL DEFAULT 'NaN';
ALTER TABLE hourly_variant_rollups ALTER COLUMN user_requests_sum_sixteenth_powers SET DEFAULT 0;
COMMENT ON COLUMN hourly_variant_rollups.crossed_requests IS
    'growth of the requests of users that several variants of the phase had served';
COMMENT ON COLUMN hourly_variant_rollups.user_requests_sum_sixteenth_powers IS
    'growth of the sum over users of (requests so far)^16, whose 16th root is close to those of the largest user';

-- A cache: it is filled again.
DELETE FROM phase_totals;
ALTER TABLE phase_totals
    ADD COLUMN first_request_hour timestamptz,
    ADD COLUMN crossed_requests bigint NOT NULL,
    ADD COLUMN user_requests_sum_sixteenth_powers double precision NOT NULL;
COMMENT ON COLUMN phase_totals.first_request_hour IS 'first hour with requests: runtime counts from it';

ALTER TABLE eligibility_decisions
    ADD COLUMN measured_since timestamptz,
    ADD COLUMN multiple_exposure_requests double precision,
    ADD COLUMN largest_user_share double precision;
COMMENT ON COLUMN eligibility_decisions.measured_since IS
    'first hour by which control and candidate both had requests, where the phase began earlier: runtime counts from it';
