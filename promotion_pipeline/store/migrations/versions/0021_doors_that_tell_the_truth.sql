-- A run that works says so every few seconds, so that one whose process or host died is found out.
-- Bound: a row for each run that works now; what a dead run left is removed after a day.
CREATE TABLE run_signs_of_life (
    run_id text PRIMARY KEY,
    host text NOT NULL,
    machine text NOT NULL,
    process_id integer NOT NULL,
    process_started text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
