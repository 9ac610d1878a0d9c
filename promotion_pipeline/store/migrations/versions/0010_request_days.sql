-- Requests by the day: a window reads its days only, and a day is dropped at once. A plain table is left as it is.
DO $$ BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'ai_requests'::regclass) = 'p' THEN
        -- Rows come nearly in the order of time, so a few kilobytes find the blocks of an hour.
        CREATE INDEX IF NOT EXISTS ai_requests_created_at_brin ON ai_requests
            USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
    END IF;
END $$;

CREATE TABLE dropped_requests (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    before timestamptz NOT NULL
);
COMMENT ON TABLE dropped_requests IS
    'requests of before this instant may be gone: their sums are final, and are not compared with the rows any more';

-- Makes the days' partitions where they are missing, and moves what the default partition holds of them.
-- Returns how many were made; 0 for a plain table.
CREATE FUNCTION ensure_request_days(first date, last date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day date;
    name text;
    made integer := 0;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'ai_requests'::regclass) <> 'p' THEN RETURN 0; END IF;
    FOR day IN SELECT generate_series(first, last, '1 day')::date LOOP
        name := 'ai_requests_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
        IF made = 0 THEN
            -- First: whoever writes to the default partition meanwhile would lock in another order.
            LOCK TABLE ai_requests_default IN ACCESS EXCLUSIVE MODE;
        END IF;
        EXECUTE format('CREATE TABLE %I (LIKE ai_requests INCLUDING DEFAULTS INCLUDING STORAGE)', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM ai_requests_default WHERE created_at >= %1$L AND created_at < %2$L RETURNING *)'
            ' INSERT INTO %3$I SELECT * FROM moved ORDER BY created_at',
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC', name);
        EXECUTE format('ALTER TABLE ai_requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
