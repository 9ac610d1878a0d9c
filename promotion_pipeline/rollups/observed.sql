-- name: newest_rolled_up
-- The newest request that is in the sums, of the last hours that have any.
SELECT max(newest_request_at) AS newest FROM hourly_variant_rollups
WHERE hour = (SELECT max(hour) FROM hourly_variant_rollups)

-- name: experiments
-- How many experiments there are and run, and when the newest began.
SELECT count(*) AS rows, count(*) FILTER (WHERE is_active) AS running, max(start_date) AS newest FROM ab_experiments
