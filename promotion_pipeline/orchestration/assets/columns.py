"""What the columns of the tables mean, as the Dagster UI shows it; a test compares them with the database."""

from __future__ import annotations

import dagster as dg

from promotion_pipeline.config.thresholds import Unit
from promotion_pipeline.evaluation.contract import CONTRACT
from promotion_pipeline.orchestration import names


def _schema(text: str) -> dg.TableSchema:
    """One line a column: its name, its type up to the colon, what it means."""
    columns = []
    for line in filter(str.strip, text.splitlines()):
        head, _, meaning = line.strip().partition(": ")
        name, _, kind = head.partition(" ")
        columns.append(dg.TableColumn(name, kind, description=meaning))
    return dg.TableSchema(columns=columns)


_KEYS = """
    hour timestamp with time zone: start of the hour, UTC
    as_of timestamp with time zone: end of the hour: the instant that the row looks from
    experiment_id uuid: the experiment
    phase_id uuid: the stretch of unchanged traffic split that is measured
"""

_UNITS = {Unit.REQUESTS: "requests", Unit.PERCENT: "percent", Unit.HOURS: "hours", Unit.FRACTION: "a fraction"}

SCHEMAS: dict[str, dg.TableSchema] = {
    names.REQUESTS: _schema("""
        id uuid: the request
        experiment_id uuid: the experiment that it took part in
        variant_id uuid: the variant that served it
        user_id text: who asked, where known: several requests of one user are correlated
        created_at timestamp with time zone: when it was served
        latency_ms double precision: how long it took, milliseconds
        is_error boolean: whether it failed
        converted boolean: whether it led to what the experiment wants
        value numeric: what it was worth
    """),
    names.EXPERIMENTS: _schema("""
        id uuid: the experiment
        name text: its unique name
        is_active boolean: whether it is running
        start_date timestamp with time zone: when its first phase begins
        end_date timestamp with time zone: when it ended
        promotion_config jsonb: thresholds of its own, names as in PromotionConfig
        auto_promotion_hold text: why it is not promoted unattended; null: it may be
        rollup_source text: requests, or imported where the sums were loaded from elsewhere
        owner_channel text: Slack channel of its owners
    """),
    names.ROLLUPS: _schema("""
        hour timestamp with time zone: start of the hour, UTC
        experiment_id uuid: the experiment
        phase_id uuid: the phase, so that an hour in which the split changed does not mix two
        variant_id uuid: the variant
        requests bigint: requests served
        conversions bigint: of these, converted
        errors bigint: of these, failed
        latency_samples bigint: of these, with a latency
        latency_ms_sum double precision: sum of the latencies, milliseconds
        latency_ms_sum_squares double precision: sum of their squares
        value_sum double precision: sum of the values
        value_sum_squares double precision: sum of their squares
        new_users bigint: users first seen by this variant in this hour of the phase
        user_requests bigint: requests of known users
        user_conversions bigint: conversions of known users
        user_conversions_sum_squares bigint: growth of the sum over users of conversions squared
        user_requests_sum_squares bigint: growth of the sum over users of requests squared
        user_conversions_requests_sum_products bigint: growth of the sum over users of conversions times requests
        user_value_sum_squares double precision: growth of the sum over users of value squared
        user_value_requests_sum_products double precision: growth of the sum over users of value times requests
        crossed_users bigint: users of this hour that another variant of the phase had served too
        crossed_requests bigint: growth of the requests of users that several variants of the phase had served
        user_requests_sum_sixteenth_powers double precision: growth of the sum over users of (requests so far)^16
        newest_request_at timestamp with time zone: the newest request that was counted
    """),
    names.METRICS: _schema(
        _KEYS
        + """
        variant_id uuid: the variant
        variant_name text: its name
        is_control boolean: whether the others are compared with it
        traffic_percentage double precision: percent of traffic that it should get in this phase
        requests bigint: requests since the phase's start
        conversions bigint: conversions since the phase's start
        errors bigint: errors since the phase's start
        users bigint: users since the phase's start, where known
        conversion_rate double precision: conversions / requests, a fraction
        error_rate double precision: errors / requests, a fraction
        mean_latency_ms double precision: mean latency, milliseconds
        mean_value double precision: mean value of a request
    """
    ),
    names.SIGNIFICANCE: _schema(
        _KEYS
        + """
        variant_id uuid: the treatment
        control_variant_id uuid: what it is compared with
        z double precision: pooled z-statistic of the difference of rates
        p_value double precision: two-sided; valid for one look only
        confidence double precision: 100 * (1 - p_value), percent
        improvement double precision: 100 * lift, percent
        lift double precision: treatment rate / control rate - 1, a fraction
        lift_lower double precision: lower end of the interval of the lift at one look
        lift_upper double precision: upper end of it
        always_valid_p_value double precision: stays valid however often one looks
        always_valid_lower double precision: lower end of the interval of the lift that holds at every look at once
        always_valid_upper double precision: upper end of it
        adjusted_p_value double precision: p_value after Holm over the treatments of the experiment
        shrunken_lift double precision: the lift to expect, shrunk towards 0 as lift_prior_sd_percent says, a fraction
        information_fraction double precision: requests of both arms / planned_sample_size, at most 1; null: no plan
        group_sequential_z double precision: z of the planned looks, by user where users are known
        group_sequential_boundary_z double precision: what it must reach; holds however often one looks during the plan
    """
    ),
    names.DECISIONS: _schema(
        _KEYS
        + """
        label text: record: the first decision about the hour; shadow: the same in shadow mode; else: a re-evaluation
        made_by text: schedule, automation, sweep or person: only the first three lead to an unattended promotion
        verdict text: eligible, not_yet, rejected, inconclusive or error
        is_eligible boolean: every contract check passes
        is_promotable boolean: eligible, and the evidence for an unattended promotion is there
        candidate_variant_id uuid: the treatment that the row speaks of
        candidate_variant_name text: its name
        control_variant_id uuid: the control
        control_variant_name text: its name
        confidence double precision: percent, of the candidate
        improvement double precision: percent, of the candidate
        z double precision: pooled z-statistic of the candidate
        p_value double precision: two-sided, one look
        always_valid_p_value double precision: stays valid however often one looks
        lift_lower double precision: lower end of the always-valid interval of the lift, a fraction
        lift_upper double precision: upper end of it
        sample_size bigint: requests of the smaller of control and candidate
        runtime_hours double precision: hours since measured_since or the phase's start, less the attribution window
        measured_since timestamp with time zone: when both arms had requests, where the phase is older
        error_rate double precision: the candidate's, a fraction
        conversion_rate double precision: the candidate's, a fraction
        control_conversion_rate double precision: control's, a fraction
        srm_p_value double precision: chi-square of the observed split against the declared one
        sequential_srm_p_value double precision: the same question, valid however often one looks
        multiple_exposure double precision: users served by several variants / known users, a fraction
        multiple_exposure_requests double precision: requests of users served by several variants / those of known users
        largest_user_share double precision: one user made up to this share of an arm's requests; null: under 1 percent
        shrunken_lift double precision: the candidate's lift to expect, shrunk towards 0, a fraction
        lift_prior_sd double precision: standard deviation of true lifts that it is shrunk with, a fraction
        planned_sample_size double precision: requests of both arms that were planned; null: no plan
        information_fraction double precision: share of these that are there, at most 1
        group_sequential_z double precision: the candidate's z of the planned looks
        group_sequential_boundary_z double precision: what it must reach; null: no plan, or past it
        group_sequential_crossed boolean: whether it does
        analysis_unit text: user where users are known, else request
        """
        + "\n".join(f"{check.name} boolean: {check.meaning}" for check in CONTRACT)
        + "\n"
        + "\n".join(f"{check.threshold_column} double precision: {_UNITS[check.unit]}" for check in CONTRACT)
        + """
        guardrails_not_kept text[]: names of the guardrails that keep the candidate from going unattended
        guardrails_not_measured text[]: those of them that could not be measured
        reasons text[]: codes of why the verdict is what it is
        warnings text[]: codes of what a person should know; none of them blocks
        decided_at timestamp with time zone: when the row was written
    """
    ),
    names.PROMOTIONS: _schema("""
        id uuid: the promotion
        experiment_id uuid: the experiment
        experiment_name text: its name at the time
        promoted_variant_id uuid: the winner
        promoted_variant_name text: its name at the time
        control_variant_id uuid: the control
        control_variant_name text: its name at the time
        confidence numeric(5,2): percent, rounded; p_value has full precision
        improvement numeric(12,4): percent
        sample_size bigint: requests of the smaller arm
        promotion_type text: auto or manual
        promoted_by text: who promoted
        promoted_at timestamp with time zone: when
        rollback_at timestamp with time zone: when it was rolled back
        rollback_reason text: why
        metadata jsonb: what the promoter added: reason, reviewers, ticket
        rolled_back_by text: who rolled back
        state text: ramping, promoted, rolled_back, or shadow
        evidence text: always_valid, group_sequential, fixed_horizon or contract
        p_value double precision: full precision
        z double precision: full precision
        evaluated_as_of timestamp with time zone: the as-of of the decision
        config jsonb: every threshold that was in force
        snapshot jsonb: metrics of every variant, the split before and after, the decision as it stood
        ramp_step integer: which step of the ramp
        step_started_at timestamp with time zone: since when
        phase_id uuid: the phase that was judged
    """),
    names.REALISED: _schema("""
        promotion_id uuid: the promotion
        experiment_id uuid: its experiment
        state text: measuring, measured or not_measurable
        reason text: why it is not measurable
        source text: what says it: holdback, ramp or rest
        as_of timestamp with time zone: what is known as of then
        since timestamp with time zone: the first hour that counts
        until timestamp with time zone: until when requests count; null while it goes on
        lift double precision: of the winner over control, a fraction; positive where the winner is better
        lift_lower double precision: lower end of its interval
        lift_upper double precision: upper end
        standard_error double precision: of the lift
        control_requests bigint: requests of control that count
        winner_requests bigint: requests of the winner that count
        analysis_unit text: user or request
        measured_at timestamp with time zone: when it was looked at last
    """),
}

METRIC_RESULTS = _schema(
    _KEYS
    + """
    variant_id uuid: the treatment
    control_variant_id uuid: what it is compared with
    metric text: name of the metric that the experiment states
    kind text: what it is the mean of
    role text: goal, guardrail or secondary
    direction text: which way it improves
    margin_percent double precision: how much worse a guardrail may be; null: no margin
    control_estimate double precision: control's mean
    estimate double precision: the treatment's mean, less what its users' past explains where is_adjusted
    difference double precision: estimate - control_estimate
    standard_error double precision: of the difference
    lift double precision: difference / control_estimate, a fraction
    lift_lower double precision: lower end of the interval of the lift at one look
    lift_upper double precision: upper end of it
    p_value double precision: Welch's test of the difference, two-sided; valid for one look only
    adjusted_p_value double precision: always_valid_p_value, of a goal after Holm over the goals of the experiment
    always_valid_p_value double precision: of the difference; stays valid however often one looks
    always_valid_lower double precision: lower end of the interval of the lift that holds at every look at once
    always_valid_upper double precision: upper end of it
    control_sample double precision: users, or requests of a request_mean, of control
    sample double precision: the same of the treatment
    is_adjusted boolean: whether the users' past is taken out (CUPED)
    theta double precision: how much of the past is taken out
    variance_reduction double precision: share of the variance that this took out
    noninferiority_p_value double precision: of "worse by the margin or more", at one look
    guardrail_p_value double precision: the same at every look; without a margin: of "not worse than control"
    outcome text: better, worse, no_sign or not_measured, by the always-valid test
    guardrail text: kept, not_kept or not_measured; null: it is no guardrail
    reason text: measured, or why it could not be
    """
)
"""Of `metric_results`, which is written in one transaction with `significance_results`."""
