-- name: requests
-- The requests of a window with their arms, as a rowset that the statements below read.
-- Squares are made of doubles: an integer's may overflow, and sums of decimals differ between the engines.
(
    SELECT {bucket} AS bucket, request.{created_at} AS created, arms.arm AS arm, arms.phase AS phase,
        {user} AS user_key,
        CASE WHEN {converted} THEN 1 END AS converted_flag,
        CASE WHEN {is_error} THEN 1 END AS error_flag,
        CASE WHEN {latency} > {smallest} AND {latency} < {largest} THEN CAST({latency} AS {double})
            WHEN {latency} >= 0 AND {latency} <= {smallest} THEN CAST(0 AS {double}) END AS latency,
        CASE WHEN ABS({value}) > {smallest} AND ABS({value}) < {largest} THEN CAST({value} AS {double})
            WHEN ABS({value}) <= {smallest} THEN CAST(0 AS {double}) END AS amount
    FROM {table} AS request
    {join} arms
        ON arms.experiment_key = {experiment} AND arms.variant_key = {variant}
        AND request.{created_at} >= arms.started AND request.{created_at} < arms.ended
    WHERE request.{created_at} >= {first} AND request.{created_at} < {end}{condition}{fence}
) AS request

-- name: hourly
-- The sums of a window by hour and arm; where users are summed over, with their moments.
WITH arms AS (
    SELECT * FROM {arms}
)
SELECT {hour} AS hour_number, hourly.arm AS arm, hourly.requests AS requests,
    hourly.conversions AS conversions, hourly.errors AS errors,
    hourly.latency_samples AS latency_samples, hourly.user_requests AS user_requests,
    hourly.user_conversions AS user_conversions, hourly.latency_ms_sum AS latency_ms_sum,
    hourly.latency_ms_sum_squares AS latency_ms_sum_squares, hourly.value_sum AS value_sum,
    hourly.value_sum_squares AS value_sum_squares, {newest} AS newest_request_micros{moment_columns}
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm,
        CAST(COUNT(*) AS {integer}) AS requests,
        CAST(COUNT(request.converted_flag) AS {integer}) AS conversions,
        CAST(COUNT(request.error_flag) AS {integer}) AS errors,
        CAST(COUNT(request.latency) AS {integer}) AS latency_samples,
        CAST(COUNT(request.user_key) AS {integer}) AS user_requests,
        CAST(COUNT(CASE WHEN request.converted_flag = 1 THEN request.user_key END) AS {integer}) AS user_conversions,
        CAST(COALESCE(SUM(request.latency), 0) AS {double}) AS latency_ms_sum,
        CAST(COALESCE(SUM(request.latency * request.latency), 0) AS {double}) AS latency_ms_sum_squares,
        CAST(COALESCE(SUM(request.amount), 0) AS {double}) AS value_sum,
        CAST(COALESCE(SUM(request.amount * request.amount), 0) AS {double}) AS value_sum_squares,
        MAX(request.created) AS newest
    FROM {requests}
    GROUP BY request.bucket, request.arm
) AS hourly{moments}

-- name: user_moments
-- What each hour adds to the moments over users, to be joined with `hourly`.
-- d, y and v are a user's totals up to and including the hour, dd, dy and dv its own share. All hours before the window
-- count as one, whose row is left out: a user's past is one row, however long it is. In the hour in which a user meets a
-- second variant all earlier visits become those of one who met several: that hour's row counts them.
LEFT JOIN (
    SELECT running.bucket AS bucket, running.arm AS arm,
        CAST(COUNT(CASE WHEN running.d = running.dd THEN 1 END) AS {integer}) AS new_users,
        CAST(SUM(running.y * running.y - (running.y - running.dy) * (running.y - running.dy)) AS {integer})
            AS user_conversions_sum_squares,
        CAST(SUM(running.d * running.d - (running.d - running.dd) * (running.d - running.dd)) AS {integer})
            AS user_requests_sum_squares,
        CAST(SUM(running.y * running.d - (running.y - running.dy) * (running.d - running.dd)) AS {integer})
            AS user_conversions_requests_sum_products,
        CAST(COUNT(CASE WHEN running.d = running.dd AND running.first_arm <> running.arm THEN 1 END) AS {integer})
            AS crossed_users,
        CAST(SUM(running.v * running.v - (running.v - running.dv) * (running.v - running.dv)) AS {double})
            AS user_value_sum_squares,
        CAST(SUM(running.v * running.d - (running.v - running.dv) * (running.d - running.dd)) AS {double})
            AS user_value_requests_sum_products,
        CAST(SUM(CASE WHEN running.elsewhere = 0 THEN 0
            WHEN running.elsewhere = running.dd AND running.arm <> running.first_arm THEN running.visits
            ELSE running.dd END) AS {integer}) AS crossed_requests,
        CAST(SUM(POWER(CAST(running.d AS {double}), 16) - POWER(CAST(running.d - running.dd AS {double}), 16))
            AS {double}) AS user_requests_sum_sixteenth_powers
    FROM (
        SELECT met.bucket AS bucket, met.arm AS arm, met.dd AS dd, met.dy AS dy, met.dv AS dv,
            met.d AS d, met.y AS y, met.v AS v, met.first_arm AS first_arm, met.visits AS visits,
            CAST(SUM(CASE WHEN met.arm = met.first_arm THEN 0 ELSE met.dd END) OVER (
                PARTITION BY met.phase, met.user_key ORDER BY met.bucket, met.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {integer}) AS elsewhere
        FROM (
        SELECT own.phase AS phase, own.user_key AS user_key,
            own.bucket AS bucket, own.arm AS arm, own.dd AS dd, own.dy AS dy, own.dv AS dv,
            CAST(SUM(own.dd) OVER ({totals}) AS {integer}) AS d,
            CAST(SUM(own.dy) OVER ({totals}) AS {integer}) AS y,
            SUM(own.dv) OVER ({totals}) AS v,
            FIRST_VALUE(own.arm) OVER (
                PARTITION BY own.phase, own.user_key ORDER BY own.bucket, own.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first_arm,
            CAST(SUM(own.dd) OVER (
                PARTITION BY own.phase, own.user_key ORDER BY own.bucket, own.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {integer}) AS visits
        FROM (
            SELECT {clamped} AS bucket, request.arm AS arm, request.phase AS phase, request.user_key AS user_key,
                CAST(COUNT(*) AS {integer}) AS dd,
                CAST(COUNT(request.converted_flag) AS {integer}) AS dy,
                CAST(COALESCE(SUM(request.amount), 0) AS {double}) AS dv
            FROM {requests}
            WHERE request.arm IS NOT NULL
            GROUP BY {clamped}, request.arm, request.phase, request.user_key
        ) AS own
        ) AS met
    ) AS running
    WHERE running.bucket >= {start_bucket}
    GROUP BY running.bucket, running.arm
) AS moments ON moments.bucket = hourly.bucket AND moments.arm = hourly.arm

-- name: user_hours
-- What each user did in an hour: it is kept on our side, so that no later hour reads the users' past.
WITH arms AS (
    SELECT * FROM {arms}
)
SELECT {hour} AS hour_number, own.arm AS arm, CAST(own.user_key AS {text}) AS user_id, own.dd AS requests,
    own.dy AS conversions, own.dv AS value
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm, request.user_key AS user_key,
        CAST(COUNT(*) AS {integer}) AS dd,
        CAST(COUNT(request.converted_flag) AS {integer}) AS dy,
        CAST(COALESCE(SUM(request.amount), 0) AS {double}) AS dv
    FROM {requests}
    WHERE request.arm IS NOT NULL
    GROUP BY request.bucket, request.arm, request.user_key
) AS own

-- name: by_hour
-- The number of requests in each hour, whatever their arm.
SELECT {hour} AS hour_number, counted.requests AS requests
FROM (
    SELECT request.bucket AS bucket, CAST(COUNT(*) AS {integer}) AS requests
    FROM (
        SELECT {bucket} AS bucket FROM {table} AS request
        WHERE request.{created_at} >= {start} AND request.{created_at} < {end}
    ) AS request
    GROUP BY request.bucket
) AS counted
