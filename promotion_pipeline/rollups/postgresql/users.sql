-- name: user_hours
-- What each known user did in an hour, by phase and variant.
-- OFFSET 0 keeps the grouping from changing how the requests are read.
WITH {arms}, sums AS (
    SELECT hour, arm, user_id, count(*)::integer AS requests,
        (count(*) FILTER (WHERE converted))::integer AS conversions,
        coalesce(sum(value), 0)::numeric AS value
    FROM (
        SELECT {hour} AS hour, arms.arm, kept_user_id(request.user_id) AS user_id, request.converted,
            {amount} AS value
        FROM {requests}
        WHERE {known_user} AND (SELECT user_ids_can_be_kept()) AND {condition}
        OFFSET 0
    ) AS request
    WHERE arm IS NOT NULL
    GROUP BY hour, arm, user_id
)
SELECT hour, phase_id, user_id, variant_id, requests, conversions, value FROM sums JOIN arms USING (arm)

-- name: contributions
-- What each hour adds to the moments of its variant.
-- d, y and v are a user's requests, conversions and value with a variant up to and including the hour; dd, dy and dv are
-- the hour's own share. So d - dd is the total before the hour.
-- A user crosses over in the first hour with a variant that comes after another one: after it in time, or in the same
-- hour with a larger id. From then on the user is one who met several variants, and so are the requests made before: the
-- hour of the crossing counts all of them, beside the variant that was met second.
-- All windows but `visits` have one order, and so need one sort.
SELECT hour, phase_id, variant_id,
    count(*) FILTER (WHERE is_first)::bigint AS new_users,
    sum(y * y - (y - dy) * (y - dy))::bigint AS user_conversions_sum_squares,
    sum(d * d - (d - dd) * (d - dd))::bigint AS user_requests_sum_squares,
    sum(y * d - (y - dy) * (d - dd))::bigint AS user_conversions_requests_sum_products,
    sum(v * v - (v - dv) * (v - dv)) AS user_value_sum_squares,
    sum(v * d - (v - dv) * (d - dd)) AS user_value_requests_sum_products,
    count(*) FILTER (WHERE is_first AND (met_at < hour OR met_others_at <= hour))::bigint AS crossed_users,
    coalesce(sum(CASE WHEN elsewhere = dd AND variant_id <> met_first THEN so_far ELSE dd END)
        FILTER (WHERE elsewhere > 0), 0)::bigint AS crossed_requests,
    sum(power(d::float8, 16) - power((d - dd)::float8, 16)) AS user_requests_sum_sixteenth_powers
FROM (
    SELECT running.*,
        sum(CASE WHEN variant_id = met_first THEN 0 ELSE dd END) OVER visits AS elsewhere
    FROM (
    SELECT hour, phase_id, user_id, variant_id,
        requests::bigint AS dd, conversions::bigint AS dy, value AS dv,
        (sum(requests) OVER totals)::bigint AS d,
        (sum(conversions) OVER totals)::bigint AS y,
        sum(value) OVER totals AS v,
        row_number() OVER totals = 1 AS is_first,
        min(hour) OVER person AS met_at,
        min(hour) OVER others AS met_others_at,
        first_value(variant_id) OVER visits AS met_first,
        sum(requests) OVER visits AS so_far
    FROM ({user_hours}) AS own
    WINDOW
        totals AS (PARTITION BY phase_id, user_id, variant_id ORDER BY hour ROWS UNBOUNDED PRECEDING),
        person AS (PARTITION BY phase_id, user_id),
        others AS (PARTITION BY phase_id, user_id ORDER BY variant_id, hour
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
        visits AS (PARTITION BY phase_id, user_id ORDER BY hour, variant_id ROWS UNBOUNDED PRECEDING)
    ) AS running
    WINDOW visits AS (PARTITION BY phase_id, user_id ORDER BY hour, variant_id ROWS UNBOUNDED PRECEDING)
) AS running
GROUP BY hour, phase_id, variant_id

-- name: known_user_hours
-- The stored hours of users since a cutoff. What lies before it is one row at -infinity, which is no stored hour: it
-- says where the totals begin, and nothing is added to it.
WITH later AS MATERIALIZED (
    SELECT {columns} FROM hourly_user_rollups JOIN {users} AS met USING (phase_id, user_id) WHERE hour >= {cutoff}
)
SELECT '-infinity'::timestamptz AS hour, phase_id, user_id, variant_id, sum(requests)::bigint AS requests,
    sum(conversions)::bigint AS conversions, sum(value) AS value
FROM (
    SELECT phase_id, user_id, variant_id, requests, conversions, value
    FROM user_totals JOIN {users} AS met USING (phase_id, user_id)
    UNION ALL SELECT phase_id, user_id, variant_id, -requests, -conversions, -value FROM later
) AS earlier
GROUP BY phase_id, user_id, variant_id
HAVING sum(requests) > 0
UNION ALL SELECT {columns} FROM later

-- name: difference
-- The moments of one set of user hours less those of another.
SELECT hour, phase_id, variant_id, {sums}
FROM (SELECT 1 AS sign, gained.* FROM ({after}) AS gained
    UNION ALL SELECT -1, lost.* FROM ({before}) AS lost) AS signed
WHERE hour > '-infinity'
GROUP BY hour, phase_id, variant_id
HAVING {moved}

-- name: find_changed_users
-- Users whose hours in the log are not those that are stored.
CREATE TEMPORARY TABLE changed_users ON COMMIT DROP AS
SELECT DISTINCT phase_id, user_id FROM (
    (SELECT {columns} FROM fresh_user_hours EXCEPT {stored})
    UNION ALL ({stored} EXCEPT SELECT {columns} FROM fresh_user_hours)) AS different

-- name: moved_spans
-- The moved hours, neighbours joined.
SELECT min(hour), max(hour) + interval '1 hour'
FROM (SELECT hour, hour - interval '1 hour' * row_number() OVER (ORDER BY hour) AS span
    FROM (SELECT DISTINCT hour FROM moved_hours) AS moved) AS numbered
GROUP BY span ORDER BY 1

-- name: delete_changed_hours
-- The changed users' rows of the moved hours.
DELETE FROM hourly_user_rollups AS stored USING changed_users
WHERE (stored.phase_id, stored.user_id) = (changed_users.phase_id, changed_users.user_id)
    AND {} AND (stored.hour, stored.phase_id) IN (SELECT hour, phase_id FROM moved_hours)

-- name: add_moments
-- Add a difference to the stored moments.
UPDATE hourly_variant_rollups AS stored SET {assignments}
FROM ({moments}) AS moments
WHERE (stored.hour, stored.phase_id, stored.variant_id)
    = (moments.hour, moments.phase_id, moments.variant_id)
