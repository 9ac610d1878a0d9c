-- Which time of a phase is in its rollups. `rollup_hours` says which hours were read, not for whom: an experiment that
-- arrives with its history finds its hours read already, when nobody knew of it. One row a phase.
CREATE TABLE phase_rollups (
    phase_id uuid PRIMARY KEY REFERENCES ab_experiment_phases (id) ON DELETE CASCADE,
    covered tstzmultirange NOT NULL
);
COMMENT ON COLUMN phase_rollups.covered IS 'time whose requests are in the rollups of the phase';

-- Phases that are there: what was read since their first sums. What lies before it may have been read without them;
-- the next hourly run reads it again, for these phases alone.
INSERT INTO phase_rollups (phase_id, covered)
SELECT phase.id, range_agg(tstzrange(hours.hour, hours.hour + interval '1 hour'))
FROM (SELECT phase_id, min(hour) AS hour FROM hourly_variant_rollups GROUP BY phase_id) AS first
JOIN ab_experiment_phases AS phase ON phase.id = first.phase_id
JOIN rollup_hours AS hours ON hours.hour >= first.hour AND hours.hour < coalesce(phase.ended_at, 'infinity')
GROUP BY phase.id;

-- Requests of a variant that was not known yet are in no rollup: another set of variants is read anew.
CREATE FUNCTION forget_phase_rollups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM phase_rollups WHERE phase_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_phase_rollups AFTER UPDATE OF traffic ON ab_experiment_phases
    FOR EACH ROW WHEN (OLD.traffic IS DISTINCT FROM NEW.traffic) EXECUTE FUNCTION forget_phase_rollups();

-- Days of requests that were compared with what was counted, and PostgreSQL's own count of their changes at that time: a
-- day without a change since then needs no second look. One row a day that is kept.
CREATE TABLE compared_days (
    day date PRIMARY KEY,
    changes bigint NOT NULL
);
COMMENT ON COLUMN compared_days.changes IS 'rows inserted, updated and deleted in the partition; it starts anew after a crash, which is a change too';
