-- Routed once: an outbox row that no channel wants, or that was written while all were off, is not routed again.
ALTER TABLE notification_outbox ADD COLUMN fanned_out_at timestamptz;
CREATE INDEX notification_outbox_not_fanned_out ON notification_outbox (id) WHERE fanned_out_at IS NULL;
CREATE INDEX notification_outbox_runs ON notification_outbox ((payload ->> 'job'), id)
    WHERE event IN ('run_failure', 'run_recovered');

-- A delivery is claimed before it is sent: a row found in 'sending' after its time is one whose sender died,
-- and whose message may have arrived.
ALTER TABLE notification_deliveries
    ADD COLUMN priority smallint NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 2),
    ADD COLUMN target text,
    ADD COLUMN thread_key text,
    ADD COLUMN is_plain boolean NOT NULL DEFAULT false,
    ADD COLUMN claim uuid,
    ADD COLUMN first_attempt_at timestamptz,
    ADD COLUMN receipt jsonb,
    ALTER COLUMN next_attempt_at DROP NOT NULL;
ALTER TABLE notification_deliveries DROP CONSTRAINT notification_deliveries_state_check;
ALTER TABLE notification_deliveries
    ADD CONSTRAINT notification_deliveries_state_check
        CHECK (state IN ('pending', 'sending', 'delivered', 'uncertain', 'dead')),
    ADD CONSTRAINT notification_deliveries_claimed_while_sending CHECK ((state = 'sending') = (claim IS NOT NULL)),
    ADD CONSTRAINT notification_deliveries_delivered_once CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    ADD CONSTRAINT notification_deliveries_scheduled
        CHECK (next_attempt_at IS NOT NULL OR state IN ('delivered', 'uncertain', 'dead'));
COMMENT ON COLUMN notification_deliveries.priority IS '0 critical, 1 warning, 2 info: what is urgent goes first';
COMMENT ON COLUMN notification_deliveries.target IS 'where in the channel; null: the channel''s default';
COMMENT ON COLUMN notification_deliveries.thread_key IS 'deliveries of one key are sent in the order of the outbox';
COMMENT ON COLUMN notification_deliveries.is_plain IS 'the rich form was rejected, or is not to be used';
COMMENT ON COLUMN notification_deliveries.next_attempt_at IS
    'pending: when to send; sending: when the claim lapses; uncertain: when to look (null: a person decides)';
COMMENT ON COLUMN notification_deliveries.receipt IS 'what the channel answered: ids to find the message by';
DROP INDEX notification_deliveries_due;
CREATE INDEX notification_deliveries_due ON notification_deliveries (channel, priority, next_attempt_at, outbox_id)
    WHERE state IN ('pending', 'sending', 'uncertain');
CREATE INDEX notification_deliveries_thread ON notification_deliveries (channel, thread_key, outbox_id)
    WHERE thread_key IS NOT NULL;

CREATE FUNCTION delivered_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'notification % is delivered to %: it is not sent again', OLD.outbox_id, OLD.channel
        USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER delivered_is_final BEFORE UPDATE ON notification_deliveries
    FOR EACH ROW WHEN (OLD.state = 'delivered') EXECUTE FUNCTION delivered_is_final();

-- How each channel does: one that is down or limits the rate rests for a while instead of failing every message.
CREATE TABLE notification_channels (
    channel text PRIMARY KEY CHECK (channel IN ('slack', 'pagerduty', 'email')),
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    paused_until timestamptz,
    last_error text,
    failed_at timestamptz,
    delivered_at timestamptz
);
INSERT INTO notification_channels (channel) VALUES ('slack'), ('pagerduty'), ('email');
