-- Changes ensure_request_days of 0019. An insert that had found no day for its row waited at the default partition while
-- the day was made, and was refused there afterwards: "violates partition constraint". So everybody waits at the parent
-- table, and looks for the day once it is there.
CREATE OR REPLACE FUNCTION ensure_request_days(first date, last date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day date;
    name text;
    made integer := 0;
BEGIN
    IF EXISTS (SELECT 1 FROM adopted_tables AS adopted WHERE adopted.name = 'ai_requests') THEN RETURN 0; END IF;
    FOR day IN SELECT generate_series(first, last, '1 day')::date LOOP
        name := 'ai_requests_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
        IF made = 0 THEN
            -- The parent before all else, as everybody does: and against readers too, for one that goes on to insert
            -- would wait for us at the parent, and we for it at the default partition.
            LOCK TABLE ONLY ai_requests IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE ai_requests_default IN ACCESS EXCLUSIVE MODE;
            -- Somebody else may have made it meanwhile.
            CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
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
