"""A sixth contract check, added in memory as the recipe says: a field, a row. Prints where it is found, as JSON.

    python -m promotion_pipeline_tests.evaluation.sixth_check FOLDER

FOLDER takes the two modules that the recipe changes; the product is imported with these in place of its own.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

NAME, THRESHOLD, COLUMN, OBSERVED = (
    "anonymous_share_acceptable",
    "max_anonymous_share",
    "anonymous_share_threshold",
    "anonymous_share",
)
FIELD = '''
    max_anonymous_share: Annotated[float, Field(ge=0.0, le=1.0), OfContract(Unit.FRACTION, is_most=True)] = 1.0
    """Fraction of the candidate's requests that may have no user."""
'''
ROW = """
    ContractCheck(
        name="anonymous_share_acceptable",
        threshold="max_anonymous_share",
        threshold_column="anonymous_share_threshold",
        observed="anonymous_share",
        measure=lambda seen: seen.arms.clusters.anonymous[1:] / np.maximum(seen.arms.requests[1:], 1),
        fails_as=Verdict.REJECTED,
        title="Known users",
        subject="share of requests without a user",
        made_of="variant_metrics.users variant_metrics.requests",
    ),
"""
MODULES = {
    "promotion_pipeline.config.thresholds": ("    require_manual_approval: bool = False\n", FIELD.lstrip("\n")),
    "promotion_pipeline.evaluation.contract": (')\n"""Every one must pass', ROW.lstrip("\n")),
}
"""Module -> the text that the addition goes before, and the addition."""
ROOT = Path(__file__).parents[2]


class _WithSixth(importlib.abc.MetaPathFinder):
    """Finds the changed modules in place of the product's own."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, Path] = {}
        for number, (module, (before, addition)) in enumerate(MODULES.items()):
            text = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
            assert text.count(before) == 1, module
            self.files[module] = folder / f"changed_{number}.py"
            self.files[module].write_text(text.replace(before, addition + before), encoding="utf-8")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        file = self.files.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


def _of_evaluation() -> dict[str, Any]:
    from promotion_pipeline.config import PromotionConfig
    from promotion_pipeline.evaluation import evaluate, explain, outlook
    from promotion_pipeline.evaluation.contract import CODE_BITS
    from promotion_pipeline_tests.evaluation.builders import experiment, last, sums

    rollups = sums({"control": (10_000, 1_000), "variant-a": (10_000, 1_300)})
    passing = last(evaluate(rollups, experiment()).decisions)
    asked = PromotionConfig(max_anonymous_share=0.5)  # type: ignore[call-arg]
    failing = last(evaluate(rollups, experiment(), config=asked).decisions)
    ahead = outlook(failing)
    before = {str(name): value for name, value in passing.items() if name not in (NAME, COLUMN, OBSERVED)}
    return {
        "codes": list(CODE_BITS),
        "passing": [bool(passing[NAME]), bool(passing["is_eligible"]), float(passing[COLUMN])],
        "failing": [bool(failing[NAME]), failing["verdict"], list(failing["reasons"]), float(failing[OBSERVED])],
        "explained": [check.message for check in explain(failing).checks if check.name == NAME],
        "reasons": list(explain(failing).reasons),
        "summary": explain(passing).summary,
        "outlook": [] if ahead is None else [need.what for need in ahead.needs],
        "explained of an older record": [check.name for check in explain(before).checks],
    }


def _of_doors() -> dict[str, Any]:
    import inspect

    from typer.testing import CliRunner

    from promotion_pipeline.api.bodies import THRESHOLDS
    from promotion_pipeline.api.experiments import check
    from promotion_pipeline.api.pages.view import CHECK_TITLES
    from promotion_pipeline.cli.main import app
    from promotion_pipeline.config import PromotionConfig, Settings, known_variables
    from promotion_pipeline.config.precedence import stricter_of
    from promotion_pipeline.orchestration.run_config import ActingConfig, EvaluationConfig
    from promotion_pipeline.promotion.record.models import SafetyChecks

    environment = {"AUTO_PROMOTION_MAX_ANONYMOUS_SHARE": "0.2"}
    asked, own = (PromotionConfig(max_anonymous_share=share) for share in (0.9, 0.1))  # type: ignore[call-arg]
    return {
        "options": CliRunner().invoke(app, ["check", "--help"], terminal_width=200).output,
        "query": list(inspect.signature(check).parameters),
        "body": list(THRESHOLDS),
        "page": CHECK_TITLES.get(NAME),
        "launchpad": [name for kind in (EvaluationConfig, ActingConfig) for name in kind.to_fields_dict()],
        "safety checks": [field.alias for field in SafetyChecks.model_fields.values()],
        "variables": known_variables(),
        "environment": Settings.from_environment(environment).thresholds.to_json()[THRESHOLD],
        "stricter": stricter_of(asked, own)[0].to_json()[THRESHOLD],
    }


def _of_tables() -> dict[str, Any]:
    from promotion_pipeline.decisions import late
    from promotion_pipeline.orchestration import names
    from promotion_pipeline.orchestration.assets.columns import SCHEMAS
    from promotion_pipeline.orchestration.assets.lineage import LINEAGE
    from promotion_pipeline.promotion.history.verify import COMPARED

    return {
        "columns": [column.name for column in SCHEMAS[names.DECISIONS].columns],
        "lineage": list(LINEAGE[names.DECISIONS].deps_by_column),
        "verified": list(COMPARED),
        "late rows": list(late.THRESHOLDS),
    }


def main() -> None:
    """Add the check, look everywhere, print what is found."""
    sys.meta_path.insert(0, _WithSixth(Path(sys.argv[1])))
    print(json.dumps(_of_evaluation() | _of_doors() | _of_tables()))


if __name__ == "__main__":
    main()
