from promotion_pipeline.promotion.eligibility import check_promotion_eligibility
from promotion_pipeline_tests.seeding import *

def test_x(store):
    s = seed_experiment(store, "x", WINNER, users=3000)
    e = check_promotion_eligibility("x", store=store)
    print(e.to_json())
    s = seed_experiment(store, "y", UNPROVEN, users=None)
    e = check_promotion_eligibility("y", store=store)
    print(e.to_json()["reasons"], e.warnings, e.evidence)
    e = check_promotion_eligibility("y", {"minConfidenceLevel": 99, "evidence": "fixed_horizon"}, store=store)
    print(e.to_json()["reasons"], e.warnings, e.evidence)
