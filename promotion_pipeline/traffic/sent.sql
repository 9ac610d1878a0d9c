-- name: remember_requests
-- Note that these requests were sent, as far as they were not before; ids and times with commas between them.
INSERT INTO sent_requests (id, created_at)
SELECT * FROM unnest(string_to_array(%(ids)s, ',')::uuid[], string_to_array(%(times)s, ',')::timestamptz[])
ON CONFLICT (id) DO NOTHING

-- name: remember_requests_of_now
-- The same of requests that all happened at one time.
INSERT INTO sent_requests (id, created_at)
SELECT id, %(time)s FROM unnest(string_to_array(%(ids)s, ',')::uuid[]) AS id
ON CONFLICT (id) DO NOTHING

-- name: forget_old_requests
-- Ids of requests that nobody sends again; a part at a time, and none that another batch is at.
DELETE FROM sent_requests WHERE id IN (
    SELECT id FROM sent_requests WHERE received_at < now() - interval '35 days' LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
