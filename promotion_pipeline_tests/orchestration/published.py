"""`python -m promotion_pipeline_tests.orchestration.published`: `deploy/` against schemas that others publish.

`--chart FOLDER` is Dagster's chart, unpacked (`helm pull dagster/dagster --untar`): the values, merged with the chart's
own, must fit its `values.schema.json`, and every name in them must be one that the chart reads, which its schema does
not ask for. `--compose FILE` is `schema/compose-spec.json` of the Compose specification. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
PASSED_ON = {
    *("additionalInstanceConfig", "containerConfig", "jobSpecConfig", "podSpecConfig", "tagConcurrencyLimits"),
    *("podSecurityContext", "securityContext", "readinessProbe", "resources", "env", "envSecrets"),
}
"""What the chart hands on as it is: Kubernetes and Dagster know the names."""


def merged(below: Any, above: Any) -> Any:
    """Values over the chart's own, as Helm merges them."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {name: merged(below.get(name), value) for name, value in above.items()}


def unfit(schema: Any, given: Any) -> list[str]:
    """Where something does not fit a schema, and why. References to other hosts are not followed."""
    validator = jsonschema_rs.validator_for(local(schema))
    return [f"{'/'.join(map(str, one.instance_path))}: {one.message}" for one in validator.iter_errors(given)]


def local(schema: Any) -> Any:
    """A schema in which what another host would have to say is left open."""
    if isinstance(schema, list):
        return [local(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if str(schema.get("$ref", "#"))[0] != "#":
        return {}
    return {name: local(value) for name, value in schema.items() if name not in ("$schema", "$id")}


def unread(given: Any, chart: set[str], path: str = "") -> Iterator[str]:
    """Names that no file of the chart has a word for."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in chart:
                yield f"{path}/{name}"
            if name not in PASSED_ON:
                yield from unread(value, chart, f"{path}/{name}")
    elif isinstance(given, list):
        for one in given:
            yield from unread(one, chart, path)


def words_of(chart: Path) -> set[str]:
    """Every word in the chart's values, schemas and templates."""
    files = [path for path in chart.rglob("*") if path.suffix in {".yaml", ".json", ".tpl"}]
    return {word for path in files for word in re.findall(r"[\w-]+", path.read_text(encoding="utf-8"))}


def of_chart(folder: Path) -> list[str]:
    """What is wrong with `deploy/values.yaml` for this chart."""
    values = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))
    own = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((folder / "values.schema.json").read_text(encoding="utf-8"))
    wrong = unfit(schema, merged(own, values))
    return wrong + [f"{path}: the chart does not read it" for path in unread(values, words_of(folder))]


def of_compose(file: Path) -> list[str]:
    """What is wrong with `deploy/compose/compose.yaml` for this specification."""
    given = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    return unfit(json.loads(file.read_text(encoding="utf-8")), given)


def main() -> int:
    """Say what is wrong; exit code 1 if something is."""
    parser = argparse.ArgumentParser(description="Check deploy/ against published schemas that lie on this machine.")
    parser.add_argument("--chart", type=Path, help="Dagster's Helm chart, unpacked")
    parser.add_argument("--compose", type=Path, help="compose-spec.json")
    given = parser.parse_args()
    if given.chart is None and given.compose is None:
        parser.error("name --chart, --compose or both")
    wrong = [*(of_chart(given.chart) if given.chart else ()), *(of_compose(given.compose) if given.compose else ())]
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or "everything fits\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
