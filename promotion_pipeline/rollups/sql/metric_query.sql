-- name: metric_hours
-- What each user did in an hour for the metrics of columns: of each column how many numbers, how many above zero, their
-- sum and that of their squares. Requests of nobody known are one row an hour and arm. Whatever the columns: when the
-- user was first there.
WITH arms AS (
    SELECT * FROM {arms}
)
SELECT {hour} AS hour_number, own.arm AS arm, CAST(own.user_key AS {text}) AS user_id,
    {first} AS first_micros{column_names}
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm, request.user_key AS user_key,
        MIN(request.created) AS first_created{column_sums}
    FROM (
        SELECT {bucket} AS bucket, request.{created_at} AS created, arms.arm AS arm, {user} AS user_key{columns}
        FROM {table} AS request
        JOIN arms
            ON arms.experiment_key = {experiment} AND arms.variant_key = {variant}
            AND request.{created_at} >= arms.started AND request.{created_at} < arms.ended
        WHERE {within}{fence}
    ) AS request
    GROUP BY request.bucket, request.arm, request.user_key
) AS own

-- name: column_sums
-- The sums of one column of `metric_hours`.
,
        CAST(COUNT(request.{name}) AS {integer}) AS {name}_number,
        CAST(COUNT(CASE WHEN request.{name} > 0 THEN 1 END) AS {integer}) AS {name}_positive,
        COALESCE(SUM(request.{name}), 0) AS {name}_sum,
        COALESCE(SUM(request.{name} * request.{name}), 0) AS {name}_squares

-- name: number
-- A number of the log that can be counted with, exactly where the engine can.
CASE WHEN ABS({value}) > {smallest} AND ABS({value}) < {largest} THEN CAST({value} AS {exact})
            WHEN ABS({value}) <= {smallest} THEN CAST(0 AS {exact}) END
