-- compiled, not run here
WITH arms AS (
    SELECT * FROM (VALUES (0, 0, '00000000-0000-4000-8000-000100000000', '00000000-0000-4000-8000-000300000002', TIMESTAMP '2026-03-07 19:00:00.000000 UTC', TIMESTAMP '2026-03-08 04:21:00.000000 UTC'),
        (1, 0, '00000000-0000-4000-8000-000100000000', '00000000-0000-4000-8000-000300000001', TIMESTAMP '2026-03-07 19:00:00.000000 UTC', TIMESTAMP '2026-03-08 04:21:00.000000 UTC'),
        (2, 0, '00000000-0000-4000-8000-000100000000', '00000000-0000-4000-8000-000300000000', TIMESTAMP '2026-03-07 19:00:00.000000 UTC', TIMESTAMP '2026-03-08 04:21:00.000000 UTC'),
        (3, 1, '00000000-0000-4000-8000-000100000000', '00000000-0000-4000-8000-000300000002', TIMESTAMP '2026-03-08 04:21:00.000000 UTC', TIMESTAMP '2026-03-08 07:00:00.000000 UTC'),
        (4, 1, '00000000-0000-4000-8000-000100000000', '00000000-0000-4000-8000-000300000001', TIMESTAMP '2026-03-08 04:21:00.000000 UTC', TIMESTAMP '2026-03-08 07:00:00.000000 UTC'),
        (5, 1, '00000000-0000-4000-8000-000100000000', '00000000-0000-4000-8000-000300000000', TIMESTAMP '2026-03-08 04:21:00.000000 UTC', TIMESTAMP '2026-03-08 07:00:00.000000 UTC'),
        (6, 2, '00000000-0000-4000-8000-000100000001', '00000000-0000-4000-8000-000300000012', TIMESTAMP '2026-03-08 03:00:00.000000 UTC', TIMESTAMP '2026-03-08 07:00:00.000000 UTC'),
        (7, 2, '00000000-0000-4000-8000-000100000001', '00000000-0000-4000-8000-000300000011', TIMESTAMP '2026-03-08 03:00:00.000000 UTC', TIMESTAMP '2026-03-08 07:00:00.000000 UTC')) AS listed (arm, phase, experiment_key, variant_key, started, ended)
)
SELECT hourly.bucket AS hour_number, hourly.arm AS arm, hourly.requests AS requests,
    hourly.conversions AS conversions, hourly.errors AS errors,
    hourly.latency_samples AS latency_samples, hourly.user_requests AS user_requests,
    hourly.user_conversions AS user_conversions, hourly.latency_ms_sum AS latency_ms_sum,
    hourly.latency_ms_sum_squares AS latency_ms_sum_squares, hourly.value_sum AS value_sum,
    hourly.value_sum_squares AS value_sum_squares, CAST(ROUND(to_unixtime(hourly.newest) * 1000000) AS BIGINT) AS newest_request_micros,
    COALESCE(moments.new_users, 0) AS new_users,
    COALESCE(moments.user_conversions_sum_squares, 0) AS user_conversions_sum_squares,
    COALESCE(moments.user_requests_sum_squares, 0) AS user_requests_sum_squares,
    COALESCE(moments.user_conversions_requests_sum_products, 0) AS user_conversions_requests_sum_products,
    COALESCE(moments.crossed_users, 0) AS crossed_users,
    COALESCE(moments.crossed_requests, 0) AS crossed_requests,
    COALESCE(moments.user_value_sum_squares, 0) AS user_value_sum_squares,
    COALESCE(moments.user_value_requests_sum_products, 0) AS user_value_requests_sum_products,
    COALESCE(moments.user_requests_sum_sixteenth_powers, 0) AS user_requests_sum_sixteenth_powers
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm,
        CAST(COUNT(*) AS BIGINT) AS requests,
        CAST(COUNT(request.converted_flag) AS BIGINT) AS conversions,
        CAST(COUNT(request.error_flag) AS BIGINT) AS errors,
        CAST(COUNT(request.latency) AS BIGINT) AS latency_samples,
        CAST(COUNT(request.user_key) AS BIGINT) AS user_requests,
        CAST(COUNT(CASE WHEN request.converted_flag = 1 THEN request.user_key END) AS BIGINT) AS user_conversions,
        CAST(COALESCE(SUM(request.latency), 0) AS DOUBLE) AS latency_ms_sum,
        CAST(COALESCE(SUM(request.latency * request.latency), 0) AS DOUBLE) AS latency_ms_sum_squares,
        CAST(COALESCE(SUM(request.amount), 0) AS DOUBLE) AS value_sum,
        CAST(COALESCE(SUM(request.amount * request.amount), 0) AS DOUBLE) AS value_sum_squares,
        MAX(request.created) AS newest
    FROM (
    SELECT CAST(FLOOR(to_unixtime(request."created_at") / 3600) AS BIGINT) AS bucket, request."created_at" AS created, arms.arm AS arm, arms.phase AS phase,
        CASE WHEN TRIM(translate(request."user_id", '	
', '     ')) <> '' THEN request."user_id" END AS user_key,
        CASE WHEN request."converted" THEN 1 END AS converted_flag,
        CASE WHEN request."is_error" THEN 1 END AS error_flag,
        CASE WHEN request."latency_ms" > CAST('1e-100' AS DOUBLE) AND request."latency_ms" < CAST('1e100' AS DOUBLE) THEN CAST(request."latency_ms" AS DOUBLE)
            WHEN request."latency_ms" >= 0 AND request."latency_ms" <= CAST('1e-100' AS DOUBLE) THEN CAST(0 AS DOUBLE) END AS latency,
        CASE WHEN ABS(request."value") > CAST('1e-100' AS DOUBLE) AND ABS(request."value") < CAST('1e100' AS DOUBLE) THEN CAST(request."value" AS DOUBLE)
            WHEN ABS(request."value") <= CAST('1e-100' AS DOUBLE) THEN CAST(0 AS DOUBLE) END AS amount
    FROM "team's"."events" AS request
    LEFT JOIN arms
        ON arms.experiment_key = request."experiment_id" AND arms.variant_key = request."variant_id"
        AND request."created_at" >= arms.started AND request."created_at" < arms.ended
    WHERE request."created_at" >= TIMESTAMP '2026-03-08 04:00:00.000000 UTC' AND request."created_at" < TIMESTAMP '2026-03-08 07:00:00.000000 UTC'
) AS request
    GROUP BY request.bucket, request.arm
) AS hourly
LEFT JOIN (
    SELECT running.bucket AS bucket, running.arm AS arm,
        CAST(COUNT(CASE WHEN running.d = running.dd THEN 1 END) AS BIGINT) AS new_users,
        CAST(SUM(running.y * running.y - (running.y - running.dy) * (running.y - running.dy)) AS BIGINT)
            AS user_conversions_sum_squares,
        CAST(SUM(running.d * running.d - (running.d - running.dd) * (running.d - running.dd)) AS BIGINT)
            AS user_requests_sum_squares,
        CAST(SUM(running.y * running.d - (running.y - running.dy) * (running.d - running.dd)) AS BIGINT)
            AS user_conversions_requests_sum_products,
        CAST(COUNT(CASE WHEN running.d = running.dd AND running.first_arm <> running.arm THEN 1 END) AS BIGINT)
            AS crossed_users,
        CAST(SUM(running.v * running.v - (running.v - running.dv) * (running.v - running.dv)) AS DOUBLE)
            AS user_value_sum_squares,
        CAST(SUM(running.v * running.d - (running.v - running.dv) * (running.d - running.dd)) AS DOUBLE)
            AS user_value_requests_sum_products,
        CAST(SUM(CASE WHEN running.elsewhere = 0 THEN 0
            WHEN running.elsewhere = running.dd AND running.arm <> running.first_arm THEN running.visits
            ELSE running.dd END) AS BIGINT) AS crossed_requests,
        CAST(SUM(POWER(CAST(running.d AS DOUBLE), 16) - POWER(CAST(running.d - running.dd AS DOUBLE), 16))
            AS DOUBLE) AS user_requests_sum_sixteenth_powers
    FROM (
        SELECT met.bucket AS bucket, met.arm AS arm, met.dd AS dd, met.dy AS dy, met.dv AS dv,
            met.d AS d, met.y AS y, met.v AS v, met.first_arm AS first_arm, met.visits AS visits,
            CAST(SUM(CASE WHEN met.arm = met.first_arm THEN 0 ELSE met.dd END) OVER (
                PARTITION BY met.phase, met.user_key ORDER BY met.bucket, met.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS elsewhere
        FROM (
        SELECT own.phase AS phase, own.user_key AS user_key,
            own.bucket AS bucket, own.arm AS arm, own.dd AS dd, own.dy AS dy, own.dv AS dv,
            CAST(SUM(own.dd) OVER (PARTITION BY own.phase, own.user_key, own.arm ORDER BY own.bucket
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS d,
            CAST(SUM(own.dy) OVER (PARTITION BY own.phase, own.user_key, own.arm ORDER BY own.bucket
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS y,
            SUM(own.dv) OVER (PARTITION BY own.phase, own.user_key, own.arm ORDER BY own.bucket
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS v,
            FIRST_VALUE(own.arm) OVER (
                PARTITION BY own.phase, own.user_key ORDER BY own.bucket, own.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first_arm,
            CAST(SUM(own.dd) OVER (
                PARTITION BY own.phase, own.user_key ORDER BY own.bucket, own.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS visits
        FROM (
            SELECT GREATEST(request.bucket, CAST(FLOOR(to_unixtime(TIMESTAMP '2026-03-08 03:00:00.000000 UTC') / 3600) AS BIGINT)) AS bucket, request.arm AS arm, request.phase AS phase, request.user_key AS user_key,
                CAST(COUNT(*) AS BIGINT) AS dd,
                CAST(COUNT(request.converted_flag) AS BIGINT) AS dy,
                CAST(COALESCE(SUM(request.amount), 0) AS DOUBLE) AS dv
            FROM (
    SELECT CAST(FLOOR(to_unixtime(request."created_at") / 3600) AS BIGINT) AS bucket, request."created_at" AS created, arms.arm AS arm, arms.phase AS phase,
        CASE WHEN TRIM(translate(request."user_id", '	
', '     ')) <> '' THEN request."user_id" END AS user_key,
        CASE WHEN request."converted" THEN 1 END AS converted_flag,
        CASE WHEN request."is_error" THEN 1 END AS error_flag,
        CASE WHEN request."latency_ms" > CAST('1e-100' AS DOUBLE) AND request."latency_ms" < CAST('1e100' AS DOUBLE) THEN CAST(request."latency_ms" AS DOUBLE)
            WHEN request."latency_ms" >= 0 AND request."latency_ms" <= CAST('1e-100' AS DOUBLE) THEN CAST(0 AS DOUBLE) END AS latency,
        CASE WHEN ABS(request."value") > CAST('1e-100' AS DOUBLE) AND ABS(request."value") < CAST('1e100' AS DOUBLE) THEN CAST(request."value" AS DOUBLE)
            WHEN ABS(request."value") <= CAST('1e-100' AS DOUBLE) THEN CAST(0 AS DOUBLE) END AS amount
    FROM "team's"."events" AS request
    LEFT JOIN arms
        ON arms.experiment_key = request."experiment_id" AND arms.variant_key = request."variant_id"
        AND request."created_at" >= arms.started AND request."created_at" < arms.ended
    WHERE request."created_at" >= TIMESTAMP '2026-03-07 19:00:00.000000 UTC' AND request."created_at" < TIMESTAMP '2026-03-08 07:00:00.000000 UTC' AND TRIM(translate(request."user_id", '	
', '     ')) <> ''
) AS request
            WHERE request.arm IS NOT NULL
            GROUP BY GREATEST(request.bucket, CAST(FLOOR(to_unixtime(TIMESTAMP '2026-03-08 03:00:00.000000 UTC') / 3600) AS BIGINT)), request.arm, request.phase, request.user_key
        ) AS own
        ) AS met
    ) AS running
    WHERE running.bucket >= CAST(FLOOR(to_unixtime(TIMESTAMP '2026-03-08 04:00:00.000000 UTC') / 3600) AS BIGINT)
    GROUP BY running.bucket, running.arm
) AS moments ON moments.bucket = hourly.bucket AND moments.arm = hourly.arm
