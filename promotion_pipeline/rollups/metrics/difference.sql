-- name: list_metrics
-- The metrics of the phases that are looked at, and whether their sums were never made.
CREATE TEMPORARY TABLE metric_list ON COMMIT DROP AS
SELECT listed.*, NOT EXISTS (SELECT 1 FROM metric_phases AS known
    WHERE (known.phase_id, known.metric) = (listed.phase_id, listed.metric)) AS is_new
FROM jsonb_to_recordset(%(metrics)s) AS listed (phase_id uuid, experiment_id uuid, started_at timestamptz,
    ended_at timestamptz, metric text, kind text, event text, log_column text, slot integer, above text,
    above_kind text, above_cap numeric, below text, below_kind text, below_cap numeric, covariate_days integer)

-- name: hours_of_new
-- All hours of phases with a metric whose sums were never made.
INSERT INTO metric_hours
SELECT DISTINCT rollup.hour, rollup.phase_id FROM hourly_variant_rollups AS rollup
WHERE rollup.phase_id IN (SELECT phase_id FROM metric_list WHERE is_new) AND rollup.hour < %(until)s
    AND rollup.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
ON CONFLICT DO NOTHING

-- name: find_lost
-- Users who are not in the hour any more in which they were first served: it was read again, and their requests there are
-- left out now, deleted or another variant's. Those of whom nothing is left in a phase have another past in later ones.
-- The hour in which they are met first now, if any, is read again too.
CREATE TEMPORARY TABLE metric_lost ON COMMIT DROP AS
WITH missed AS (
    SELECT known.phase_id, known.user_id FROM metric_hours AS looked
    JOIN metric_users AS known ON known.phase_id = looked.phase_id
        AND known.exposed_at >= looked.hour AND known.exposed_at < looked.hour + interval '1 hour'
    WHERE NOT EXISTS (SELECT 1 FROM hourly_user_rollups AS still
        WHERE (still.hour, still.phase_id, still.user_id, still.variant_id)
            = (looked.hour, known.phase_id, known.user_id, known.variant_id))
), concerned AS (
    SELECT phase_id, user_id FROM missed
    UNION
    SELECT known.phase_id, known.user_id FROM missed
    JOIN ab_experiment_phases AS earlier ON earlier.id = missed.phase_id
    JOIN ab_experiment_phases AS later
        ON later.experiment_id = earlier.experiment_id AND later.started_at > earlier.started_at
    JOIN metric_users AS known ON known.phase_id = later.id AND known.user_id = missed.user_id
    WHERE NOT EXISTS (SELECT 1 FROM user_totals AS left_over
        WHERE (left_over.phase_id, left_over.user_id) = (missed.phase_id, missed.user_id))
)
SELECT phase_id, user_id, min(met.hour) AS hour
FROM concerned LEFT JOIN hourly_user_rollups AS met USING (phase_id, user_id)
GROUP BY phase_id, user_id
HAVING coalesce(min(met.hour) >= (SELECT before FROM dropped_requests), true)

-- name: read_where_they_are_met_now
-- So that the very first request of theirs is known.
INSERT INTO metric_hours SELECT DISTINCT hour, phase_id FROM metric_lost WHERE hour IS NOT NULL
ON CONFLICT DO NOTHING

-- name: name_users
-- What users did, with their ids as they are kept.
CREATE TEMPORARY TABLE metric_read ON COMMIT DROP AS
SELECT found.*, CASE WHEN btrim(found.user_id, E' \t\n\v\f\r') <> '' AND user_ids_can_be_kept()
    THEN kept_user_id(found.user_id) END AS kept_id
FROM metric_read_raw AS found JOIN metric_hours USING (hour, phase_id)

-- name: find_later_in_their_hour
-- Users whose first request is gone, and who made another one in that hour.
INSERT INTO metric_lost
SELECT known.phase_id, known.user_id, looked.hour FROM metric_hours AS looked
JOIN metric_users AS known ON known.phase_id = looked.phase_id
    AND known.exposed_at >= looked.hour AND known.exposed_at < looked.hour + interval '1 hour'
JOIN (SELECT phase_id, hour, kept_id, min(first_at) AS first_at FROM metric_read GROUP BY phase_id, hour, kept_id) AS seen
    ON (seen.phase_id, seen.hour, seen.kept_id) = (looked.phase_id, looked.hour, known.user_id)
WHERE seen.first_at > known.exposed_at AND NOT EXISTS (SELECT 1 FROM metric_lost AS lost
    WHERE (lost.phase_id, lost.user_id) = (known.phase_id, known.user_id))

-- name: find_new_users
-- Users that were never seen before in their phase, or are now known to have been there earlier; and what their past
-- ends with: when they were first served in the experiment, or an earlier phase began in which they were.
CREATE TEMPORARY TABLE metric_new_users ON COMMIT DROP AS
WITH seen AS (
    SELECT DISTINCT ON (phase_id, kept_id) phase_id, kept_id AS user_id, user_id AS raw_id, variant_id,
        first_at AS exposed_at
    FROM metric_read WHERE kept_id IS NOT NULL ORDER BY phase_id, kept_id, first_at, variant_id
)
SELECT seen.phase_id, seen.user_id, seen.raw_id,
    CASE WHEN moved.is_earlier THEN seen.variant_id ELSE known.variant_id END AS variant_id,
    CASE WHEN moved.is_earlier THEN seen.exposed_at ELSE known.exposed_at END AS exposed_at,
    moved.is_earlier,
    least(seen.exposed_at, known.exposed_at, (SELECT min(earlier.started_at)
        FROM ab_experiment_phases AS earlier
        JOIN user_totals AS total ON total.phase_id = earlier.id AND total.user_id = seen.user_id
        WHERE earlier.experiment_id = phase.experiment_id AND earlier.started_at < phase.started_at)) AS past_until
FROM seen JOIN ab_experiment_phases AS phase ON phase.id = seen.phase_id
LEFT JOIN (SELECT * FROM metric_users AS kept WHERE NOT EXISTS (SELECT 1 FROM metric_lost AS lost
    WHERE (lost.phase_id, lost.user_id) = (kept.phase_id, kept.user_id))) AS known USING (phase_id, user_id)
CROSS JOIN LATERAL (SELECT known.user_id IS NULL
    OR (seen.exposed_at, seen.variant_id) < (known.exposed_at, known.variant_id) AS is_earlier) AS moved
WHERE moved.is_earlier OR seen.phase_id IN (SELECT phase_id FROM metric_list WHERE is_new)

-- name: end_pasts_at_earlier_phases
-- The past of users who are seen in several phases at once ends before the first of these.
UPDATE metric_new_users AS new SET past_until = met.started_at
FROM (SELECT later.id AS phase_id, seen.user_id, min(earlier.started_at) AS started_at
    FROM metric_new_users AS seen JOIN ab_experiment_phases AS earlier ON earlier.id = seen.phase_id
    JOIN ab_experiment_phases AS later
        ON later.experiment_id = earlier.experiment_id AND later.started_at > earlier.started_at
    GROUP BY 1, 2) AS met
WHERE (new.phase_id, new.user_id) = (met.phase_id, met.user_id) AND new.past_until > met.started_at

-- name: add_users_of_later_phases
-- Users who are now known to have been there in an earlier phase: their past ends before it.
INSERT INTO metric_new_users
SELECT DISTINCT ON (known.phase_id, known.user_id) known.phase_id, known.user_id, new.raw_id, known.variant_id,
    known.exposed_at, false, earlier.started_at
FROM metric_new_users AS new
JOIN ab_experiment_phases AS earlier ON earlier.id = new.phase_id
JOIN ab_experiment_phases AS later
    ON later.experiment_id = earlier.experiment_id AND later.started_at > earlier.started_at
JOIN metric_users AS known ON known.phase_id = later.id AND known.user_id = new.user_id
    AND known.past_until > earlier.started_at
WHERE later.id IN (SELECT phase_id FROM metric_list WHERE covariate_days IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM metric_new_users AS there
        WHERE (there.phase_id, there.user_id) = (known.phase_id, known.user_id))
    AND NOT EXISTS (SELECT 1 FROM metric_lost AS lost
        WHERE (lost.phase_id, lost.user_id) = (known.phase_id, known.user_id))
ORDER BY known.phase_id, known.user_id, earlier.started_at

-- name: make_event_hours
-- Which users' events of complete hours have changed since they were last looked at.
CREATE TEMPORARY TABLE metric_event_hours (experiment_id uuid, raw_id text, name text, hour timestamptz, user_id text)
ON COMMIT DROP

-- name: take_event_changes
-- Whoever takes the changes forgets them; what comes in meanwhile is of the next run.
WITH taken AS (DELETE FROM metric_event_changes WHERE hour < %(until)s RETURNING *)
INSERT INTO metric_event_hours
SELECT DISTINCT taken.experiment_id, taken.user_id, taken.name, taken.hour, kept_user_id(taken.user_id)
FROM taken WHERE user_ids_can_be_kept()

-- name: see_event_changes
-- The same without forgetting them.
INSERT INTO metric_event_hours
SELECT DISTINCT changed.experiment_id, changed.user_id, changed.name, changed.hour, kept_user_id(changed.user_id)
FROM metric_event_changes AS changed WHERE changed.hour < %(until)s AND user_ids_can_be_kept()

-- name: find_touched_events
-- Which hours of which users' event metrics are to be summed up again: what has changed, and all of a user who is new.
-- Each with the time in which its events count, so that nothing else is needed to find them.
CREATE TEMPORARY TABLE metric_touched ON COMMIT DROP AS
SELECT touched.*, metric.experiment_id, metric.event,
    greatest(touched.hour, touched.exposed_at) AS since, least(touched.hour + interval '1 hour', metric.ended_at) AS until
FROM (
    SELECT metric.phase_id, metric.metric, changed.user_id, changed.raw_id, changed.hour,
        coalesce(new.exposed_at, known.exposed_at) AS exposed_at
    FROM metric_event_hours AS changed
    JOIN metric_list AS metric ON metric.event = changed.name AND metric.experiment_id = changed.experiment_id
        AND changed.hour + interval '1 hour' > metric.started_at AND changed.hour < metric.ended_at
    LEFT JOIN metric_users AS known ON (known.phase_id, known.user_id) = (metric.phase_id, changed.user_id)
    LEFT JOIN metric_new_users AS new ON (new.phase_id, new.user_id) = (metric.phase_id, changed.user_id)
    WHERE coalesce(new.exposed_at, known.exposed_at) < changed.hour + interval '1 hour'
    UNION
    SELECT metric.phase_id, metric.metric, new.user_id, new.raw_id,
        date_bin('1 hour', event.created_at, '2000-01-01 00:00:00+00'), new.exposed_at
    FROM metric_new_users AS new
    JOIN metric_list AS metric ON metric.phase_id = new.phase_id
    JOIN ai_events AS event ON event.user_id = new.raw_id AND event.name = metric.event
        AND event.experiment_id = metric.experiment_id
    WHERE event.created_at >= new.exposed_at AND event.created_at < metric.ended_at AND event.created_at < %(until)s
    UNION
    SELECT metric.phase_id, metric.metric, known.user_id, event.user_id,
        date_bin('1 hour', event.created_at, '2000-01-01 00:00:00+00'), known.exposed_at
    FROM metric_list AS metric
    JOIN ai_events AS event ON event.experiment_id = metric.experiment_id AND event.name = metric.event
    JOIN metric_users AS known ON known.phase_id = metric.phase_id AND known.user_id = kept_user_id(event.user_id)
    WHERE metric.is_new AND event.created_at >= known.exposed_at AND event.created_at < metric.ended_at
        AND event.created_at < %(until)s
        AND NOT EXISTS (SELECT 1 FROM metric_new_users AS new
            WHERE (new.phase_id, new.user_id) = (known.phase_id, known.user_id))
) AS touched JOIN metric_list AS metric USING (phase_id, metric)

-- name: find_touched_pasts
-- Whose covariates of events are to be summed up: of who is new, and of whose events have changed in any experiment.
CREATE TEMPORARY TABLE metric_touched_pasts ON COMMIT DROP AS
SELECT touched.phase_id, touched.metric, touched.user_id, touched.raw_id, metric.event, touched.past_until AS until,
    touched.past_until - metric.covariate_days * interval '1 day' AS since
FROM (
    SELECT metric.phase_id, metric.metric, new.user_id, new.raw_id, new.past_until
    FROM metric_new_users AS new JOIN metric_list AS metric ON metric.phase_id = new.phase_id
    WHERE metric.covariate_days IS NOT NULL AND metric.event IS NOT NULL
    UNION
    SELECT metric.phase_id, metric.metric, known.user_id, changed.raw_id, known.past_until
    FROM metric_event_hours AS changed
    JOIN metric_list AS metric ON metric.event = changed.name AND metric.covariate_days IS NOT NULL
    JOIN metric_users AS known ON known.phase_id = metric.phase_id AND known.user_id = changed.user_id
        AND changed.hour < known.past_until
    WHERE NOT EXISTS (SELECT 1 FROM metric_new_users AS new
        WHERE (new.phase_id, new.user_id) = (metric.phase_id, known.user_id))
) AS touched JOIN metric_list AS metric USING (phase_id, metric)

-- name: fresh_events
-- What the events of those hours are now, from the user's first exposure on; and what they were before it.
INSERT INTO metric_fresh
SELECT touched.phase_id, touched.user_id, touched.metric, touched.hour, {nobodys},
    coalesce(sum({amount}), 0), count(*), 0, count(event.value) FILTER (WHERE {amount} IS NULL)
FROM metric_touched AS touched
JOIN ai_events AS event ON event.user_id = touched.raw_id AND event.name = touched.event
    AND event.experiment_id = touched.experiment_id
    AND event.created_at >= touched.since AND event.created_at < touched.until
GROUP BY touched.phase_id, touched.user_id, touched.metric, touched.hour
UNION ALL
SELECT touched.phase_id, touched.user_id, touched.metric, '-infinity', {nobodys},
    coalesce(sum({amount}), 0), count(*), 0, count(event.value) FILTER (WHERE {amount} IS NULL)
FROM metric_touched_pasts AS touched
JOIN ai_events AS event ON event.user_id = touched.raw_id AND event.name = touched.event
    AND event.created_at >= touched.since AND event.created_at < touched.until
GROUP BY touched.phase_id, touched.user_id, touched.metric

-- name: make_fresh
-- What users did, as it is known now, of all that is looked at again.
CREATE TEMPORARY TABLE metric_fresh (phase_id uuid, user_id text, metric text, hour timestamptz, variant_id uuid,
    value numeric, number bigint, squares numeric, unusable bigint) ON COMMIT DROP

-- name: fresh_columns
-- The same of a column of the log; a metric of users is of the user's own variant, a mean of requests of theirs.
INSERT INTO metric_fresh
SELECT found.phase_id, coalesce(found.kept_id, ''), metric.metric, found.hour, own.variant_id,
    sum(found.{total}::numeric),
    sum(CASE WHEN metric.kind IN ('user_proportion', 'user_count') THEN found.{positive} ELSE found.{number} END),
    sum(found.{squares}::numeric), 0
FROM metric_read AS found JOIN metric_list AS metric ON metric.phase_id = found.phase_id AND metric.slot = {slot}
CROSS JOIN LATERAL (SELECT CASE WHEN metric.kind = 'request_mean' THEN found.variant_id ELSE {nobodys} END
    AS variant_id) AS own
WHERE found.kept_id IS NOT NULL OR metric.kind = 'request_mean'
GROUP BY 1, 2, 3, 4, 5
HAVING sum(CASE WHEN metric.kind IN ('user_proportion', 'user_count') THEN found.{positive} ELSE found.{number} END) > 0

-- name: fresh_numbers
-- How many numbers that are not above zero a metric of users has beside them: it is measured, and by them it is zero.
-- A row an hour and variant, of nobody; kept in `squares`.
INSERT INTO metric_fresh
SELECT found.phase_id, '', metric.metric, found.hour, found.variant_id, 0, 0, sum(found.{number} - found.{positive}), 0
FROM metric_read AS found JOIN metric_list AS metric ON metric.phase_id = found.phase_id AND metric.slot = {slot}
WHERE metric.kind IN ('user_proportion', 'user_count') AND found.kept_id IS NOT NULL
GROUP BY found.phase_id, metric.metric, found.hour, found.variant_id HAVING sum(found.{number} - found.{positive}) > 0

-- name: fresh_pasts_of_columns
-- The past of new users in the log, whatever experiment its requests are of.
INSERT INTO metric_fresh
SELECT new.phase_id, new.user_id, metric.metric, '-infinity', {nobodys}, coalesce(sum(number.value), 0),
    count(CASE WHEN metric.kind IN ('user_proportion', 'user_count') THEN nullif(number.value > 0, false)
        ELSE number.value IS NOT NULL END), 0, 0
FROM metric_new_users AS new
JOIN metric_list AS metric ON metric.phase_id = new.phase_id
    AND metric.slot IS NOT NULL AND metric.covariate_days IS NOT NULL
JOIN promotion_pipeline_requests AS request ON request.user_id::text = new.raw_id
    AND request.created_at < new.past_until
    AND request.created_at >= new.past_until - metric.covariate_days * interval '1 day'
CROSS JOIN LATERAL (SELECT CASE metric.log_column WHEN 'value' THEN {amount} WHEN 'latency_ms' THEN {latency}::numeric
    WHEN 'converted' THEN request.converted::integer WHEN 'is_error' THEN request.is_error::integer END AS value)
    AS number
WHERE request.created_at >= {first} AND request.created_at < {last} AND number.value IS NOT NULL
GROUP BY new.phase_id, new.user_id, metric.metric

-- name: bounds_of_pasts
-- Between which times the pasts of new users lie.
SELECT min(new.past_until - metric.covariate_days * interval '1 day') AS first, max(new.past_until) AS last
FROM metric_new_users AS new JOIN metric_list AS metric ON metric.phase_id = new.phase_id
    AND metric.slot IS NOT NULL AND metric.covariate_days IS NOT NULL

-- name: find_stale
-- What is stored of all that was looked at again, and where.
CREATE TEMPORARY TABLE metric_stale ON COMMIT DROP AS
SELECT stored.ctid AS place, stored.* FROM metric_hours JOIN hourly_user_metrics AS stored USING (hour, phase_id)
JOIN metric_list AS metric USING (phase_id, metric) WHERE metric.slot IS NOT NULL
UNION ALL
SELECT stored.ctid, stored.* FROM metric_lost AS lost JOIN hourly_user_metrics AS stored USING (phase_id, user_id)
JOIN metric_list AS metric USING (phase_id, metric) WHERE metric.slot IS NULL OR lost.hour IS NULL
UNION ALL
SELECT stored.ctid, stored.* FROM (SELECT DISTINCT phase_id, user_id, metric, hour FROM metric_touched) AS touched
JOIN hourly_user_metrics AS stored USING (phase_id, user_id, metric, hour)
UNION ALL
SELECT stored.ctid, stored.* FROM (SELECT phase_id, user_id, metric FROM metric_touched_pasts
    UNION SELECT new.phase_id, new.user_id, metric.metric FROM metric_new_users AS new
        JOIN metric_list AS metric ON metric.phase_id = new.phase_id
        WHERE {reads_past} AND metric.slot IS NOT NULL AND metric.covariate_days IS NOT NULL) AS touched
JOIN hourly_user_metrics AS stored USING (phase_id, user_id, metric) WHERE stored.hour = '-infinity'

-- name: find_changed
-- Users for whom something is another than it was, and since which hour: what they did before adds what it added.
CREATE TEMPORARY TABLE metric_changed ON COMMIT DROP AS
SELECT phase_id, user_id, min(hour) AS since FROM (
    (SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares FROM metric_fresh
        EXCEPT SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares FROM metric_stale)
    UNION ALL
    (SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares FROM metric_stale
        EXCEPT SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares FROM metric_fresh)
    UNION ALL SELECT phase_id, user_id, NULL, '-infinity', NULL, 0, 0, 0 FROM metric_new_users
    UNION ALL SELECT phase_id, user_id, NULL, '-infinity', NULL, 0, 0, 0 FROM metric_lost
    UNION ALL SELECT phase_id, user_id, NULL, '-infinity', NULL, 0, 0, 0 FROM metric_users
        WHERE phase_id IN (SELECT phase_id FROM metric_list WHERE is_new)
    UNION ALL SELECT phase_id, user_id, NULL, '-infinity', NULL, 0, 0, 0 FROM hourly_user_metrics
        WHERE phase_id IN (SELECT phase_id FROM metric_list WHERE is_new)
    ) AS different
GROUP BY phase_id, user_id

-- name: make_was
-- What is stored of the users for whom something is another.
CREATE TEMPORARY TABLE metric_was ON COMMIT DROP AS
SELECT stored.ctid AS place, since, stored.* FROM metric_changed JOIN hourly_user_metrics AS stored USING (phase_id, user_id)

-- name: make_is_now
-- The same as it is now.
CREATE TEMPORARY TABLE metric_is_now ON COMMIT DROP AS
SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares, since FROM metric_was AS was
WHERE NOT EXISTS (SELECT 1 FROM metric_stale AS stale WHERE stale.place = was.place)
UNION ALL SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares, since
FROM metric_fresh JOIN metric_changed USING (phase_id, user_id)

-- name: make_before
-- What is stored of those of them for whom there is something from that hour on: of the others nothing is taken out.
CREATE TEMPORARY TABLE metric_before ON COMMIT DROP AS
SELECT was.* FROM metric_was AS was
JOIN (SELECT phase_id, user_id FROM metric_was GROUP BY phase_id, user_id HAVING max(hour) >= min(since))
    AS later USING (phase_id, user_id)

-- name: make_people_were
-- When those users were first served, as it was known before.
CREATE TEMPORARY TABLE metric_people_were ON COMMIT DROP AS
SELECT known.phase_id, known.user_id, known.variant_id, known.exposed_at, since
FROM metric_changed JOIN metric_users AS known USING (phase_id, user_id)

-- name: make_people_are
-- The same as it is known now.
CREATE TEMPORARY TABLE metric_people_are ON COMMIT DROP AS
SELECT phase_id, user_id, variant_id, exposed_at, '-infinity'::timestamptz AS since FROM metric_new_users
UNION ALL SELECT phase_id, user_id, variant_id, exposed_at, since FROM metric_people_were AS known
WHERE NOT EXISTS (SELECT 1 FROM metric_new_users AS new
    WHERE (new.phase_id, new.user_id) = (known.phase_id, known.user_id))
    AND NOT EXISTS (SELECT 1 FROM metric_lost AS lost
        WHERE (lost.phase_id, lost.user_id) = (known.phase_id, known.user_id))

-- name: find_difference
-- What all that changes in the sums.
CREATE TEMPORARY TABLE metric_difference ON COMMIT DROP AS
SELECT signed.hour, metric.experiment_id, signed.phase_id, signed.variant_id, signed.metric, {sums}
FROM (SELECT 1 AS sign, gained.* FROM ({after}) AS gained
    UNION ALL SELECT -1, lost.* FROM ({before}) AS lost) AS signed
JOIN metric_list AS metric USING (phase_id, metric)
GROUP BY signed.hour, metric.experiment_id, signed.phase_id, signed.variant_id, signed.metric
HAVING {moved}

-- name: contributions
-- What each hour adds to the sums of its variant, of one state of what users did.
-- y and d are a user's value and denominator up to and including the hour, y0 and d0 before it; x is the user's past.
SELECT hour, phase_id, variant_id, metric,
    sum(number) AS samples, sum(CASE WHEN kind = 'request_mean' AND is_first THEN 1 ELSE 0 END) AS new_users,
    sum(CASE WHEN kind = 'request_mean' THEN number ELSE 0 END) AS requests,
    sum(y - y0) AS value_sum,
    sum(CASE WHEN kind = 'request_mean' THEN squares ELSE 0 END) AS value_sum_squares,
    sum(y * y - y0 * y0) AS user_value_sum_squares,
    sum(d - d0) AS denominator_sum,
    sum(d * d - d0 * d0) AS user_denominator_sum_squares,
    sum(y * d - y0 * d0) AS user_value_denominator_sum_products,
    0 AS covariate_sum, 0 AS covariate_sum_squares,
    sum((y - y0) * coalesce(x, 0)) AS user_value_covariate_sum_products
FROM (
    SELECT totals.hour, totals.phase_id, totals.variant_id, metric.metric, metric.kind, totals.number, totals.squares,
        totals.number = totals.number_total AS is_first,
        {y} AS y, {y0} AS y0, {d} AS d, {d0} AS d0, past.x
    FROM (
        SELECT shares.*, sum(value) OVER so_far AS value_total, sum(number) OVER so_far AS number_total,
            sum(below_value) OVER so_far AS below_value_total, sum(below_number) OVER so_far AS below_number_total
        FROM (
            SELECT did.phase_id, did.user_id, did.metric, did.hour, did.since,
                CASE WHEN did.variant_id = {nobodys} THEN person.variant_id ELSE did.variant_id END AS variant_id,
                did.value, did.number, did.squares, 0 AS below_value, 0 AS below_number
            FROM {cells} AS did
            JOIN metric_list AS metric ON metric.phase_id = did.phase_id AND metric.metric = did.metric
            LEFT JOIN {people} AS person ON (person.phase_id, person.user_id) = (did.phase_id, did.user_id)
            WHERE did.hour > '-infinity' AND did.user_id <> '' AND {which}
            UNION ALL
            SELECT did.phase_id, did.user_id, metric.metric, did.hour, did.since,
                CASE WHEN did.variant_id = {nobodys} THEN person.variant_id ELSE did.variant_id END AS variant_id,
                coalesce(sum(did.value) FILTER (WHERE did.metric = metric.above), 0) AS value,
                coalesce(sum(did.number) FILTER (WHERE did.metric = metric.above), 0) AS number,
                coalesce(sum(did.squares) FILTER (WHERE did.metric = metric.above), 0) AS squares,
                coalesce(sum(did.value) FILTER (WHERE did.metric = metric.below), 0) AS below_value,
                coalesce(sum(did.number) FILTER (WHERE did.metric = metric.below), 0) AS below_number
            FROM {cells} AS did
            JOIN metric_list AS metric ON metric.phase_id = did.phase_id AND metric.kind = 'ratio'
                AND did.metric IN (metric.above, metric.below)
            LEFT JOIN {people} AS person ON (person.phase_id, person.user_id) = (did.phase_id, did.user_id)
            WHERE did.hour > '-infinity' AND did.user_id <> '' AND {which}
            GROUP BY 1, 2, 3, 4, 5, 6
        ) AS shares
        WINDOW so_far AS (PARTITION BY phase_id, user_id, variant_id, metric ORDER BY hour ROWS UNBOUNDED PRECEDING)
    ) AS totals
    JOIN metric_list AS metric USING (phase_id, metric)
    LEFT JOIN ({pasts}) AS past
        ON (past.phase_id, past.user_id, past.metric) = (totals.phase_id, totals.user_id, totals.metric)
    WHERE totals.hour >= totals.since
) AS grown
GROUP BY hour, phase_id, variant_id, metric
UNION ALL
SELECT date_bin('1 hour', person.exposed_at, '2000-01-01 00:00:00+00'), person.phase_id, person.variant_id,
    metric.metric, 0, count(*), 0, 0, 0, 0, 0, 0, 0, coalesce(sum(past.x), 0), coalesce(sum(past.x * past.x), 0), 0
FROM {people} AS person JOIN metric_list AS metric ON metric.phase_id = person.phase_id AND {which}
LEFT JOIN ({pasts}) AS past
    ON (past.phase_id, past.user_id, past.metric) = (person.phase_id, person.user_id, metric.metric)
WHERE metric.kind <> 'request_mean' AND person.since = '-infinity'
GROUP BY 1, 2, 3, 4
UNION ALL
-- A request of nobody known is as if each had a user of its own; of metrics of users it is a number that is not above 0.
SELECT did.hour, did.phase_id, did.variant_id, did.metric,
    CASE WHEN metric.kind = 'request_mean' THEN did.number ELSE did.squares END, did.number, did.number, did.value,
    own.squares, own.squares, did.number, did.number, did.value, 0, 0, 0
FROM {cells} AS did JOIN metric_list AS metric ON (metric.phase_id, metric.metric) = (did.phase_id, did.metric)
CROSS JOIN LATERAL (SELECT CASE WHEN metric.kind = 'request_mean' THEN did.squares ELSE 0 END AS squares) AS own
WHERE did.user_id = '' AND did.hour >= did.since AND {which}

-- name: pasts
-- The past of each user who has one, as the metric counts it.
SELECT did.phase_id, did.user_id, did.metric, {x} AS x FROM {cells} AS did
JOIN metric_list AS metric ON (metric.phase_id, metric.metric) = (did.phase_id, did.metric)
WHERE did.hour = '-infinity'

-- name: spans
-- The hours to look at again, neighbours joined.
SELECT min(hour), max(hour) + interval '1 hour'
FROM (SELECT hour, hour - interval '1 hour' * row_number() OVER (ORDER BY hour) AS span
    FROM (SELECT DISTINCT hour FROM metric_hours) AS looked_at) AS numbered
GROUP BY span ORDER BY 1
