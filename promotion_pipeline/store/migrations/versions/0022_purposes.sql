-- What each table is for and what bounds its growth: for whoever meets it in psql, in a dump, or in the handbook.
-- The tables of the application's own are left as their owner describes them.
COMMENT ON TABLE ab_experiment_phases IS
    'Stretches of an experiment in which the split did not change; measurement starts at a phase''s beginning. Bound: a row a change of split or of activity.';
COMMENT ON TABLE ab_experiment_history IS
    'What was in force at an as-of in (valid_from, valid_until]: thresholds, variants, split. Bound: a row a change of an experiment.';
COMMENT ON TABLE ab_hold_history IS
    'When automatic promotion of an experiment was on hold, and why. Bound: a row a hold.';
COMMENT ON TABLE api_audit IS
    'Every write that was asked for over HTTP, append-only. Bound: a row a write; kept for good.';
COMMENT ON TABLE api_idempotency_keys IS
    'Answers that a repeated request gets again. Bound: removed when they expire.';
COMMENT ON TABLE api_tokens IS
    'Bearer tokens as hashes; revoked, never deleted. Bound: a row a token.';
COMMENT ON TABLE dropped_requests IS
    'Requests of before this instant may be gone: their sums are final, and are not compared with the rows any more. Bound: one row.';
COMMENT ON TABLE eligibility_decisions IS
    'One decision an experiment and hour: label record is the first, which is never rewritten; others are kept beside it. Bound: a row an hour of each running experiment and label; kept for good.';
COMMENT ON TABLE evaluation_blocks IS
    'Blocks of a long evaluation that are written, so that it goes on after a crash. Bound: removed when the evaluation is done.';
COMMENT ON TABLE evaluation_environments IS
    'Thresholds of the environment that hours were decided with. Bound: a row a change of the environment.';
COMMENT ON TABLE evaluation_hours IS
    'Which environment each hour was decided with. Bound: a row an hour.';
COMMENT ON TABLE hourly_user_rollups IS
    'Requests and conversions of each user in each hour, so that late rows change user-level sums exactly. Bound: the phases'' users times the hours they came; may be deleted for phases that have ended.';
COMMENT ON TABLE hourly_variant_rollups IS
    'Additive sums of one hour, experiment, phase and variant. Bound: a row an hour of each variant that had requests; kept for good.';
COMMENT ON TABLE late_changes IS
    'Experiments whose sums changed in hours that are decided. Bound: one row an experiment, removed when it is decided again.';
COMMENT ON TABLE late_verdicts IS
    'Decisions of record that late rows would change, as people were told. Bound: a row a changed decision.';
COMMENT ON TABLE notification_channels IS
    'Which channels are on, and since when. Bound: a row a channel.';
COMMENT ON TABLE notification_deliveries IS
    'What became of each notification on each channel. Bound: removed with its notification.';
COMMENT ON TABLE notification_outbox IS
    'What people are to be told, written in the transaction of the act. Bound: delivered ones are removed after AUTO_PROMOTION_NOTIFICATION_RETENTION_DAYS.';
COMMENT ON TABLE page_sessions IS
    'Sessions of the evidence page. Bound: removed when they end.';
COMMENT ON TABLE phase_totals IS
    'Sums of a phase''s earlier days: a cache that the database empties where an earlier hour changes. Bound: a row a variant of each running phase.';
COMMENT ON TABLE promotion_approvals IS
    'Requests for a person''s approval and their answers. Bound: a row a request; kept for good.';
COMMENT ON TABLE promotion_attempts IS
    'Attempts of the apply job, so that one that died is followed by another. Bound: five an experiment, kind and hour in which something waited.';
COMMENT ON TABLE promotion_audit IS
    'Who did what, append-only. Bound: a row an act; kept for good.';
COMMENT ON TABLE rollup_hours IS
    'Which hours were rolled up; unassigned: rows of no known variant or phase. Bound: a row an hour.';
COMMENT ON TABLE significance_results IS
    'Every treatment against control at each hour. Bound: a row an hour of each treatment; may be deleted and computed again.';
COMMENT ON TABLE user_totals IS
    'Totals of each user of a phase, so that an hour does not read the users'' past. Bound: the phases'' users; follows hourly_user_rollups.';
COMMENT ON TABLE variant_metrics IS
    'Cumulative counts and rates of every variant at each hour. Bound: a row an hour of each variant; may be deleted and computed again.';
COMMENT ON TABLE phase_rollups IS
    'Which time of each phase is in its rollups, so that what is missing is found experiment by experiment. Bound: a row a phase.';
COMMENT ON TABLE compared_days IS
    'Change counters of the log''s days when they were last compared with the rollups. Bound: a row a day of ai_requests.';
COMMENT ON TABLE live_deployments IS
    'Deployments that act on this database and their thresholds, to tell of two that differ. Bound: a row a set of thresholds that is in use.';
COMMENT ON TABLE promotion_watch IS
    'What the watch last saw of each promotion: breach, blindness, drift. Bound: a row a promotion.';
COMMENT ON TABLE log_gaps IS
    'Hours that had requests which the log does not have any more, or that cannot be read. Bound: a row a gap, removed when it is closed.';
COMMENT ON TABLE user_id_keys IS
    'A check value of the key that user ids are hashed with; never the key. Bound: one row.';
COMMENT ON TABLE adopted_tables IS
    'Which of the application''s tables were there before the product. Bound: four rows.';
COMMENT ON TABLE run_signs_of_life IS
    'Which process works on which run of Dagster, and when it last said so. Bound: a row a run at work, removed when it ends.';
