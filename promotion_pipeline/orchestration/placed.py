"""Definitions that can be made again for another place: the decorators of Dagster, with names that may get a prefix.

What a decorator returns here is Dagster's own definition, of the place without a prefix. `at` gives the same one for
another place. So a module of this layer reads as in any project of Dagster, and no name is built in it.

A step, a schedule or a sensor gets its `StoreResource` as the parameter `store`; what is called there differs from
place to place, and `store.place` says how.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import dagster as dg

from promotion_pipeline.orchestration.place import BARE, STORE, Placement

Definition = TypeVar("Definition")
LINEAGE_KEY = "dagster/column_lineage"
_JOBS: dict[int, tuple[object, Callable[[Placement, dg.ExecutorDefinition | None], Any]]] = {}
"""Of each job: itself, so that its number stays its own, and how to make it for a place."""
_RECIPES: dict[int, tuple[object, Callable[[Placement], Any]]] = {}
"""Of each definition: itself, so that its number stays its own, and how to make it for a place."""


def at(definition: Any, place: Placement) -> Any:
    """A definition as it is at a place.

    Raises:
        KeyError: it was not made by a decorator of this module.
    """
    return _RECIPES[id(definition)][1](place)


def _kept(recipe: Callable[[Placement], Definition]) -> Definition:
    bare = recipe(BARE)
    _RECIPES[id(bare)] = (bare, lambda place: bare if place == BARE else recipe(place))
    return bare


def _kept_job(recipe: Callable[[Placement, dg.ExecutorDefinition | None], Definition]) -> Definition:
    bare = recipe(BARE, None)
    _JOBS[id(bare)] = (bare, recipe)
    return bare


def multi_asset(**given: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dagster.multi_asset`."""

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        def made(place: Placement, hours: dg.PartitionsDefinition[str] | None) -> dg.AssetsDefinition:
            here = _step(place, given)
            here["specs"] = [spec_at(spec, place) for spec in given["specs"]]
            if "check_specs" in given:
                here["check_specs"] = [_check_at(check, place, hours) for check in given["check_specs"]]
            if hours is not None:
                here["partitions_def"] = hours
            return dg.multi_asset(**here)(_with_store(function, place))

        # Where the hours of a place begin is asked of its database, so not when a module is imported.
        bare = made(BARE, given.get("partitions_def"))
        _RECIPES[id(bare)] = (bare, lambda place: made(place, place.hours if "partitions_def" in given else None))
        return bare

    return decorate


def asset(**given: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dagster.asset`."""

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        def recipe(place: Placement) -> dg.AssetsDefinition:
            here = _step(place, given)
            del here["name"]
            here |= {
                "key": place.key(given["name"]),
                "deps": [place.key(name) for name in given["deps"]],
                "group_name": place.named(given["group_name"]),
                "owners": list(place.owners) or given["owners"],
            }
            made: dg.AssetsDefinition = dg.asset(**here)(_with_store(function, place))
            return made

        return _kept(recipe)

    return decorate


def op(**given: Any) -> Callable[[Callable[..., Any]], dg.OpDefinition]:
    """`dagster.op`."""

    def decorate(function: Callable[..., Any]) -> dg.OpDefinition:
        named = {"name": function.__name__, **given}

        def recipe(place: Placement) -> dg.OpDefinition:
            made: dg.OpDefinition = dg.op(**_step(place, named))(_with_store(function, place))
            return made

        return _kept(recipe)

    return decorate


def one_step_job(step: dg.OpDefinition, *, name: str, description: str, tags: dict[str, str]) -> dg.JobDefinition:
    """A job of one step."""

    def recipe(place: Placement, executor: dg.ExecutorDefinition | None) -> dg.JobDefinition:
        here = at(step, place)

        @dg.job(
            name=place.named(name), description=place.told(description), tags=place.tags(tags), executor_def=executor
        )
        def job() -> None:
            here()

        return job

    return _kept_job(recipe)


def asset_job(name: str, *, selection: Sequence[str], description: str, tags: dict[str, str]) -> Any:
    """`dagster.define_asset_job` over assets with these names."""
    return _kept_job(
        lambda place, executor: dg.define_asset_job(
            place.named(name),
            selection=dg.AssetSelection.assets(*(place.key(one) for one in selection)),
            description=place.told(description),
            tags=place.tags(tags),
            executor_def=executor,
        )
    )


def job_at(job: object, place: Placement, executor: dg.ExecutorDefinition) -> Any:
    """A job as it is at a place, with its executor: that of the location is not ours to choose.

    Raises:
        KeyError: it was not made by a function of this module.
    """
    return _JOBS[id(job)][1](place, executor)


def schedule(
    *, cron_schedule: Callable[[int], str] | str, **given: Any
) -> Callable[[Callable[..., Any]], dg.ScheduleDefinition]:
    """`dagster.schedule`; a function makes the cron expression of the minute at which an hour is started."""

    def decorate(function: Callable[..., Any]) -> dg.ScheduleDefinition:
        def recipe(place: Placement) -> dg.ScheduleDefinition:
            cron = cron_schedule if isinstance(cron_schedule, str) else cron_schedule(place.schedule_minute)
            return dg.schedule(cron_schedule=cron, **_starter(place, given))(_with_store(function, place))

        return _kept(recipe)

    return decorate


def sensor(**given: Any) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """`dagster.sensor`."""
    return _sensor(dg.sensor, given)


def run_failure_sensor(**given: Any) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """`dagster.run_failure_sensor`."""
    return _sensor(dg.run_failure_sensor, given)


def run_status_sensor(**given: Any) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """`dagster.run_status_sensor`."""
    return _sensor(dg.run_status_sensor, given)


def _sensor(decorator: Any, given: dict[str, Any]) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    def decorate(function: Callable[..., Any]) -> dg.SensorDefinition:
        def recipe(place: Placement) -> dg.SensorDefinition:
            made = decorator(**_starter(place, given))(_with_store(function, place))
            assert isinstance(made, dg.SensorDefinition)
            return made

        return _kept(recipe)

    return decorate


def spec_at(spec: dg.AssetSpec, place: Placement) -> dg.AssetSpec:
    """What is said of an asset, at a place."""
    if place == BARE:
        return spec
    return spec.replace_attributes(
        key=place.key_of(spec.key),
        metadata=_metadata_at(spec.metadata, place),
        deps=[dep._replace(asset_key=place.key_of(dep.asset_key)) for dep in spec.deps],
        description=place.told(spec.description),
        group_name=place.named(spec.group_name) if spec.group_name else None,
        owners=place.owners or spec.owners,
    )


def _metadata_at(metadata: Mapping[str, Any], place: Placement) -> Mapping[str, Any]:
    lineage = metadata.get(LINEAGE_KEY)
    return {**metadata, LINEAGE_KEY: place.lineage(lineage)} if lineage is not None else metadata


def _check_at(
    check: dg.AssetCheckSpec, place: Placement, hours: dg.PartitionsDefinition[str] | None
) -> dg.AssetCheckSpec:
    return check._replace(asset_key=place.key_of(check.asset_key), partitions_def=hours)


def _step(place: Placement, given: dict[str, Any]) -> dict[str, Any]:
    """What a step is called, and the pool that it is in."""
    here = {**given, "name": place.named(given["name"])}
    if given.get("description"):
        here["description"] = place.told(given["description"])
    if given.get("pool"):
        here["pool"] = place.named(given["pool"])
    return here


def _starter(place: Placement, given: dict[str, Any]) -> dict[str, Any]:
    """What a schedule or a sensor is called, and the job that it starts."""
    here = {**given, "name": place.named(given["name"]), "description": place.told(given["description"])}
    if "job_name" in given:
        here["job_name"] = place.named(given["job_name"])
    return here


def _with_store(function: Callable[..., Any], place: Placement) -> Callable[..., Any]:
    """The function with its parameter `store` called as the resource is called at the place: Dagster goes by the name.

    A generator must look like one.
    """
    if place.store_key == STORE:
        return function
    signature = inspect.signature(function)
    parameters = [
        one.replace(name=place.store_key) if one.name == STORE else one for one in signature.parameters.values()
    ]
    renamed = _renaming_generator if inspect.isgeneratorfunction(function) else _renaming
    wrapped = functools.wraps(function)(renamed(function, place.store_key))
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters if one.annotation is not one.empty}
    if signature.return_annotation is not signature.empty:
        wrapped.__annotations__["return"] = signature.return_annotation
    del wrapped.__wrapped__
    return wrapped


def _renaming(function: Callable[..., Any], key: str) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{STORE if name == key else name: value for name, value in kwargs.items()})

    return called


def _renaming_generator(function: Callable[..., Any], key: str) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Iterable[Any]:
        yield from function(*args, **{STORE if name == key else name: value for name, value in kwargs.items()})

    return called
