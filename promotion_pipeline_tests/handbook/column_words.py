"""What columns mean of which the database says nothing, by name: it means the same in every table."""

MEANINGS = """
acknowledged_at: when a person kept the promotion in spite of the breach
acknowledged_because: the reason that they gave
acknowledged_by: who did
action: what was done
actor: who did it
adjusted_p_value: p-value after Holm over the treatments
adopted_at: when the product took the table over
always_valid_lower: lower end of the interval of the lift that holds at every look
always_valid_p_value: p-value that holds however often one looks
always_valid_upper: upper end of that interval
analysis_unit: what counts as independent: user or request
answered_at: when it was answered
answered_by: who answered
as_of: the instant that was looked from: the end of the hour
at: when
attempt: which attempt
attempts: how often it was tried
before: the instant
blind_because: why nothing of the winner could be seen
blind_told_at: when people were told of that
block: number of the block
body: the answer's body
breached_at: when the watch raised the alarm
built_at: when its sums were made
candidate_variant_id: id of the treatment that the decision speaks of
candidate_variant_name: its name
channel: slack, pagerduty or email
claim: which worker has it
code: code of the error that was answered
confidence: percent: 100 * (1 - p_value)
config: thresholds that were in force
control_conversion_rate: control's rate
control_estimate: control's mean of the metric
control_sample: users or requests of control
control_variant_id: id of control
control_variant_name: its name
conversion_rate: conversions a request
conversions: requests that converted
converted: whether the request converted
covariate_sum: sum over new users of their past
covariate_sum_squares: sum over new users of the square of their past
created_at: when the row, or the request, was made
created_by: who made it
crossed_requests: requests of users that several variants served
crossed_users: users that several variants served
day: the day, UTC
decided_at: when the decision was made
decision: the decision as it stood
dedup_key: what tells it from every other notification; the same at each attempt
delivered_at: when the channel confirmed it
denominator_sum: growth of the sum of the denominators, or of the requests, of users
detail: more, in words
details: more of it, in JSON
difference: the treatment's mean less control's
direction: which way is better: increase or decrease
drift: the split as somebody else left it
end_date: when the experiment is meant to end; after it nothing goes unattended
ended_at: when the phase ended; null: it goes on
environment_id: which thresholds of the environment
error: what went wrong last
error_rate: requests that failed, as a fraction
error_rate_acceptable: contract check: whether it passes
error_rate_threshold: threshold that was in force, a fraction
errors: requests that failed
estimate: the treatment's mean of the metric
evaluated_as_of: as-of of the decision that it stands on
evaluation: which evaluation
event: what happened
evidence: which evidence it stands on
experiment_id: id of the experiment
experiment_name: its name
expires_at: when it ends
exposed_at: when the user was first served in the phase
failed_at: when it last failed
failures: failures in a row
fanned_out_at: when it was given to the channels
fingerprint: what it was made from, as a digest
finished_at: when it ended
first_attempt_at: when it was first tried
first_hour: the earliest hour that changed
first_used_at: when it was first in force
found_at: when it was found
generation: counts the splits of an experiment
group_sequential_boundary_z: boundary that z has to cross at this share of the plan
group_sequential_crossed: whether it was crossed
group_sequential_z: user-level z that is held against it
guardrail: whether it lets the treatment go unattended; null: it is no guardrail
guardrail_p_value: the same at every look; without a margin, of not worse than control
hold: why automatic promotion is on hold
host: the host's name
hour: start of the hour, UTC
id: id of the row
improvement: percent: 100 * (treatment / control - 1)
information_fraction: share of the planned sample that is there
is_active: whether the experiment runs; false after a promotion
is_adjusted: whether users' past is taken out (CUPED)
is_control: whether the variant is control; one is
is_eligible: whether all contract checks pass
is_error: whether the request failed
is_promotable: eligible, and the evidence for an unattended promotion is there
key: the Idempotency-Key that was sent
key_check: what tells the right key from a wrong one
kind: what kind
largest_user_share: upper bound of the largest user's share of an arm's requests
last_error: what went wrong last, without secrets
last_used_at: when it was last used
latency_ms: how long the request took, milliseconds
latency_ms_sum: sum of the latencies, milliseconds
latency_ms_sum_squares: sum of their squares
latency_samples: requests with a known latency
level: info, warning or critical
lift: relative difference to control, a fraction
lift_lower: lower end of the interval of the lift: always-valid in decisions; in metric_results that of this one look
lift_prior_sd: how large true lifts usually are, a fraction
lift_upper: upper end of that interval
looked_at: when the watch last looked
machine: what tells this boot of the machine from others
margin_percent: how much worse a guardrail may be, percent of control's
mean_latency_ms: mean latency, milliseconds
mean_value: mean of value
media_type: the answer's media type
message: what was said
metadata: what whoever acted wanted kept
method: HTTP method
metric: name of a metric that the experiment states
min_confidence: contract check: whether it passes
min_confidence_threshold: threshold that was in force, percent
min_improvement: contract check: whether it passes
min_improvement_threshold: threshold that was in force, percent
min_runtime: contract check: whether it passes
min_runtime_threshold: threshold that was in force, hours
min_sample_size: contract check: whether it passes
min_sample_size_threshold: threshold that was in force, requests
multiple_exposure: share of the users that several variants served
multiple_exposure_requests: share of the requests that such users made
name: name
new_users: users first served in this time
newest_request_at: the newest request
next_attempt_at: when it is tried again
noninferiority_p_value: p-value of worse by the margin or more, at one look
noted_at: when it was noted
noticed_at: when it was noticed
number: how many events, or requests with a number
one_row: true: there is one row only
outbox_id: the notification
outcome: what came of it
owner_channel: Slack channel of whoever owns the experiment; null: the default
p_value: two-sided p-value of the z-test
paused_until: until when the channel rests
payload: what the message is made of
phase_id: the phase
planned_sample_size: requests that were planned for the two arms
principal: which credential
process_id: the process
process_started: when it started
promoted_at: when
promoted_by: who promoted
promoted_variant_id: id of the winner
promoted_variant_name: its name
promotion_config: thresholds of its own, in JSON
promotion_id: the promotion
promotion_type: auto or manual
ramp_step: number of the present ramp step, from 0
reason: why
reasons: codes of what fails, or all_checks_passed
received_at: when it was received
recorded: what the record says
request_id: what the log calls the request
requested_at: when a person was asked
requests: number of requests
revoked_at: when it was made useless
revoked_by: who did
role: of a token viewer, operator, admin, evaluate or ingest; of a metric goal, guardrail or secondary
rollback_at: when it was rolled back
rollback_reason: why
rolled_back_by: who rolled back
rolled_up_at: when
rollup_source: requests or imported
route: the address, without names
run_id: the run of Dagster
runtime_hours: hours that both arms were measured
sample: users or requests of the treatment
sample_size: requests of the smaller arm
secret_hash: digest of the session's secret
seen_at: when it was last seen
sequential_srm_p_value: p-value of the split over all looks at once
shrunken_lift: lift to expect after a promotion, a fraction
since: since when
snapshot: every number of that moment, and the split before and after
squares: sum of the squares of the requests' values
srm_p_value: p-value of the split
standard_error: standard error of the difference
start_date: when the experiment starts; null: a draft
started_at: when it began
state: which state it is in
status: what was answered, or which state it is in
step_started_at: when the present ramp step began
stored_at: when it was stored
theta: how much of users' past is taken out
token_hash: SHA-256 of the token
token_id: which token; null: the cron secret
told_at: when people were told
traffic_percentage: percent of traffic that the variant gets
traffic_target: what serves the split to the application; null: it reads ab_variants
unassigned_requests: requests of no known experiment or variant, or of before the phase
user_conversions: conversions of known users
user_conversions_requests_sum_products: its part of the sum over users of y * d
user_conversions_sum_squares: its part of the sum over users of y^2, y a user's conversions so far
user_denominator_sum_squares: growth of the sum over users of the square of their denominator so far
user_id: who was served; null where nobody is known
user_requests: requests of known users
user_requests_sum_sixteenth_powers: its part of the sum over users of d^16
user_requests_sum_squares: its part of the sum over users of d^2, d a user's requests so far
user_value_covariate_sum_products: growth of the sum over users of their value so far times their past
user_value_denominator_sum_products: growth of the sum over users of their value times their denominator so far
user_value_requests_sum_products: its part of the sum over users of value * d
user_value_sum_squares: its part of the sum over users of their value squared
users: users that are known
valid_from: since when
valid_until: until when
value: value of the request
value_sum: sum of the values
value_sum_squares: sum of their squares
variance_reduction: share of the variance that this took out
variant_id: id of the variant
variant_name: its name
verdict: eligible, not_yet, rejected, inconclusive or error
verified_at: when the target said that it serves it
version_num: the newest migration that was run
warnings: codes of the warnings
written_at: when it was written
z: z of the test, positive where the treatment is better
"""

COLUMN_WORDS: dict[str, str] = {
    name: meaning for name, _, meaning in (line.partition(": ") for line in MEANINGS.strip().splitlines())
}
