-- More evidence beside each comparison and decision: missing for what was decided before, and where no plan is stated.
ALTER TABLE significance_results
    ADD COLUMN shrunken_lift double precision,
    ADD COLUMN information_fraction double precision,
    ADD COLUMN group_sequential_z double precision,
    ADD COLUMN group_sequential_boundary_z double precision;

ALTER TABLE eligibility_decisions
    ADD COLUMN multiple_exposure double precision,
    ADD COLUMN lift_prior_sd double precision,
    ADD COLUMN planned_sample_size double precision,
    ADD COLUMN shrunken_lift double precision,
    ADD COLUMN information_fraction double precision,
    ADD COLUMN group_sequential_z double precision,
    ADD COLUMN group_sequential_boundary_z double precision,
    ADD COLUMN group_sequential_crossed boolean,
    ADD COLUMN sequential_srm_p_value double precision;
