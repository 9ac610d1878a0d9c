-- name: sums
-- Sums of spans by variant. A span's number and a variant's come back, never a name.
WITH wanted AS (
    SELECT * FROM {spans}
)
SELECT seen.span AS span, seen.arm AS arm, seen.recent AS recent,
    CAST(COUNT(*) AS {integer}) AS requests,
    CAST(COUNT(seen.error_flag) AS {integer}) AS errors,
    CAST(COUNT(seen.matured_flag) AS {integer}) AS matured_requests,
    CAST(COUNT(CASE WHEN seen.matured_flag = 1 THEN seen.converted_flag END) AS {integer}) AS conversions,
    CAST(COUNT(seen.latency) AS {integer}) AS latency_samples,
    CAST(COALESCE(SUM(seen.latency), 0) AS {double}) AS latency_ms_sum,
    CAST(COALESCE(SUM(seen.latency * seen.latency), 0) AS {double}) AS latency_ms_sum_squares,
    CAST(COALESCE(SUM(seen.amount), 0) AS {double}) AS value_sum,
    CAST(COALESCE(SUM(seen.amount * seen.amount), 0) AS {double}) AS value_sum_squares
FROM (
    SELECT wanted.span AS span, wanted.arm AS arm,
        CAST(CASE WHEN request.{created_at} >= wanted.recent_since THEN 1 ELSE 0 END AS {integer}) AS recent,
        CASE WHEN request.{created_at} < wanted.mature_before THEN 1 END AS matured_flag,
        CASE WHEN {converted} THEN 1 END AS converted_flag,
        CASE WHEN {is_error} THEN 1 END AS error_flag,
        CASE WHEN {latency} > {smallest} AND {latency} < {largest} THEN CAST({latency} AS {double})
            WHEN {latency} >= 0 AND {latency} <= {smallest} THEN CAST(0 AS {double}) END AS latency,
        CASE WHEN request.{created_at} >= wanted.mature_before THEN NULL
            WHEN ABS({value}) > {smallest} AND ABS({value}) < {largest} THEN CAST({value} AS {double})
            WHEN ABS({value}) <= {smallest} THEN CAST(0 AS {double}) END AS amount
    FROM {table} AS request
    JOIN wanted ON wanted.experiment_key = {experiment} AND wanted.variant_key = {variant}
    WHERE request.{created_at} >= {first} AND request.{created_at} < {end}
        AND request.{created_at} >= wanted.since AND request.{created_at} < wanted.until{fence}
) AS seen
GROUP BY seen.span, seen.arm, seen.recent

-- name: counts
-- The number of requests of each span.
WITH wanted AS (
    SELECT * FROM {spans}
)
SELECT wanted.span AS span, CAST(COUNT(*) AS {integer}) AS requests
FROM {table} AS request
JOIN wanted ON wanted.experiment_key = {experiment} AND wanted.variant_key = {variant}
WHERE request.{created_at} >= {first} AND request.{created_at} < {end}
    AND request.{created_at} >= wanted.since AND request.{created_at} < wanted.until
GROUP BY wanted.span

-- name: arrivals
-- The requests of each span by variant, and the users among them.
WITH wanted AS (
    SELECT * FROM {spans}
)
SELECT seen.span AS span, seen.arm AS arm,
    CAST(COUNT(*) AS {integer}) AS requests,
    CAST(COUNT(seen.user_key) AS {integer}) AS user_requests,
    CAST(COUNT(DISTINCT seen.user_key) AS {integer}) AS users
FROM (
    SELECT wanted.span AS span, wanted.arm AS arm, {user} AS user_key
    FROM {table} AS request
    JOIN wanted ON wanted.experiment_key = {experiment} AND wanted.variant_key = {variant}
    WHERE request.{created_at} >= {first} AND request.{created_at} < {end}
        AND request.{created_at} >= wanted.since AND request.{created_at} < wanted.until{fence}
) AS seen
GROUP BY seen.span, seen.arm

-- name: ends
-- The oldest and the newest time within bounds.
SELECT {oldest} AS oldest, {newest} AS newest
FROM (
    SELECT MIN(request.{created_at}) AS oldest, MAX(request.{created_at}) AS newest FROM {table} AS request
    WHERE request.{created_at} >= {first} AND request.{created_at} < {end}
) AS found
