-- name: users
-- What each user of a phase did in each hour; users by a number, since only who is the same matters.
SELECT hashtextextended(user_id, 0) AS user_key, extract(epoch FROM hour)::bigint / 3600 AS hour_number,
    sum(requests)::bigint AS requests, sum(conversions)::bigint AS conversions, sum(value)::float8 AS value
FROM hourly_user_rollups WHERE phase_id = {phase}::uuid AND hour < {end} GROUP BY 1, 2

-- name: metrics
-- What each user did for each metric in each hour; null: in the days before the first exposure.
SELECT hashtextextended(user_id, 0) AS user_key, metric,
    CASE WHEN hour > '-infinity' THEN extract(epoch FROM hour)::bigint / 3600 END AS hour_number,
    sum(value)::float8 AS value, sum(number)::bigint AS number, sum(squares)::float8 AS squares
FROM hourly_user_metrics WHERE phase_id = {phase}::uuid AND hour < {end} AND user_id <> '' GROUP BY 1, 2, 3

-- name: rows
-- How many rows the two have.
SELECT (SELECT count(*) FROM hourly_user_rollups WHERE phase_id = {phase}::uuid)
    + (SELECT count(*) FROM hourly_user_metrics WHERE phase_id = {phase}::uuid) AS found
