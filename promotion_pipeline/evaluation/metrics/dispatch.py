"""From the metric that a unit names to the class that knows it, for one unit or for an array of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TypeVar, assert_never

import numpy as np

from promotion_pipeline.config import PrimaryMetric
from promotion_pipeline.evaluation.clusters import Clusters
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints
from promotion_pipeline.evaluation.metrics.conversion import Conversion
from promotion_pipeline.evaluation.metrics.kind import MetricEstimate, PrimaryMetricKind
from promotion_pipeline.evaluation.metrics.value import ValueMean, ValuePerUser
from promotion_pipeline.statistics import ZTest

Units = slice | Bools
Found = TypeVar("Found", MetricEstimate, ZTest)
ALL = slice(None)


def kind_of(metric: PrimaryMetric) -> PrimaryMetricKind:
    """The class of a metric.

    Raises:
        AssertionError: nobody wrote a class for it.
    """
    match metric:
        case PrimaryMetric.CONVERSION:
            return Conversion()
        case PrimaryMetric.VALUE_MEAN:
            return ValueMean()
        case PrimaryMetric.VALUE_PER_USER:
            return ValuePerUser()
        case _:
            assert_never(metric)


def estimates(metric: Ints, sums: dict[str, Floats], clusters: Clusters) -> MetricEstimate:
    """Each unit's metric in each arm; `metric` is the position in `PrimaryMetric`, shape (units,). O(cells)."""
    return _by_kind(metric, lambda kind, units: kind.estimate(_of(sums, units), clusters.of(units)))


def z_tests(metric: Ints, estimate: MetricEstimate) -> ZTest:
    """Each treatment against control on each unit's metric. O(cells)."""
    return _by_kind(metric, lambda kind, units: kind.z_test(_parts(estimate, units)))


def improvements_percent(metric: Ints, estimate: MetricEstimate) -> Floats:
    """Each treatment's improvement over control on each unit's metric, in percent. O(cells)."""
    parts = [(units, kind.improvement_percent(_parts(estimate, units))) for kind, units in _kinds(metric)]
    return _joined(parts, metric)


def are_proportions(metric: Ints) -> Bools:
    """Which units are decided on a proportion; the shape of `metric`."""
    return np.array([kind_of(kind).is_proportion for kind in PrimaryMetric])[metric]


def _of(arrays: dict[str, Floats], units: Units) -> dict[str, Floats]:
    return arrays if units is ALL else {name: values[:, units] for name, values in arrays.items()}


def _parts(estimate: MetricEstimate, units: Units) -> MetricEstimate:
    return MetricEstimate(**_of(vars(estimate), units))


def _kinds(metric: Ints) -> list[tuple[PrimaryMetricKind, Units]]:
    """The kinds that some unit has, with these units; where all units have one kind nothing is copied."""
    kinds = list(PrimaryMetric)
    present = np.unique(metric)
    if len(present) < 2:
        return [(kind_of(kinds[present[0]] if len(present) else PrimaryMetric.CONVERSION), ALL)]
    return [(kind_of(kinds[position]), metric == position) for position in present]


def _by_kind(metric: Ints, answer: Callable[[PrimaryMetricKind, Units], Found]) -> Found:
    """The answers of the kinds as one, array by array."""
    parts = [(units, answer(kind, units)) for kind, units in _kinds(metric)]
    first = parts[0][1]
    names = [field.name for field in fields(first)]
    return type(first)(**{name: _joined([(u, getattr(part, name)) for u, part in parts], metric) for name in names})


def _joined(parts: list[tuple[Units, Floats]], metric: Ints) -> Floats:
    if len(parts) == 1:
        return parts[0][1]
    slots, _, hours = parts[0][1].shape
    joined = np.empty((slots, len(metric), hours))
    for units, values in parts:
        joined[:, units] = values
    return joined
