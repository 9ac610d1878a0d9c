-- name: compared
-- Every experiment whose traffic is governed: it runs, or its promotion stands; longest unread first.
SELECT e.id, e.name::text AS name, e.traffic_target AS configured, e.rollup_source,
    coalesce(v.names, '{}') AS names, coalesce(v.split, '{}') AS split, p.started_at AS phase_started_at, s.read_at
FROM ab_experiments AS e
CROSS JOIN LATERAL (SELECT jsonb_object_agg(id::text, name::text) AS names,
        jsonb_object_agg(id::text, traffic_percentage::numeric) AS split
    FROM ab_variants WHERE experiment_id = e.id) AS v
LEFT JOIN LATERAL (SELECT max(started_at) AS started_at FROM ab_experiment_phases
    WHERE experiment_id = e.id AND ended_at IS NULL) AS p ON true
LEFT JOIN served_traffic AS s ON s.experiment_id = e.id
WHERE e.start_date IS NOT NULL AND (e.is_active OR EXISTS (SELECT 1 FROM experiment_promotions AS live
    WHERE live.experiment_id = e.id AND live.state IN ('ramping', 'promoted')))
ORDER BY s.read_at NULLS FIRST, e.name

-- name: newest_deliveries
-- The delivery of the newest generation of each of these experiments.
SELECT DISTINCT ON (experiment_id) * FROM traffic_deliveries WHERE experiment_id = ANY(%(ids)s)
ORDER BY experiment_id, generation DESC

-- name: alone
-- Two that have compared write one after the other, so that the second sees what the first has told.
SELECT pg_advisory_xact_lock(1953653091, 1)

-- name: kept
-- What is kept of these experiments.
SELECT experiment_id, unread_since, unread_told_at, differs_since, clock_timestamp() AS now
FROM served_traffic WHERE experiment_id = ANY(%(ids)s)

-- name: keep
-- What was found of one experiment; a read-back that did not take place keeps the one of before.
INSERT INTO served_traffic AS kept (experiment_id, compared_at, served, read_at, unread, unread_since, unread_told_at,
    observed, observed_unit, observed_since, observed_until, p_value, unobserved, differs, differs_since)
VALUES (%(experiment_id)s, %(at)s, %(served)s, %(read_at)s, %(unread)s, %(unread_since)s, %(unread_told_at)s,
    %(observed)s, %(observed_unit)s, %(observed_since)s, %(observed_until)s, %(p_value)s, %(unobserved)s,
    %(differs)s, %(differs_since)s)
ON CONFLICT (experiment_id) DO UPDATE SET compared_at = excluded.compared_at,
    served = CASE WHEN excluded.read_at > coalesce(kept.read_at, '-infinity') THEN excluded.served ELSE kept.served END,
    read_at = greatest(kept.read_at, excluded.read_at), unread = excluded.unread,
    unread_since = excluded.unread_since, unread_told_at = excluded.unread_told_at, observed = excluded.observed,
    observed_unit = excluded.observed_unit, observed_since = excluded.observed_since,
    observed_until = excluded.observed_until, p_value = excluded.p_value, unobserved = excluded.unobserved,
    differs = excluded.differs, differs_since = excluded.differs_since

-- name: last_compared
-- When it was compared last, and whether there is anything to compare.
SELECT (SELECT max(compared_at) FROM served_traffic) AS compared_at, clock_timestamp() AS now,
    EXISTS (SELECT 1 FROM ab_experiments AS e WHERE e.is_active AND e.start_date IS NOT NULL)
    OR EXISTS (SELECT 1 FROM experiment_promotions WHERE state IN ('ramping', 'promoted')) AS is_any
