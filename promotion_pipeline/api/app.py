"""The application: every route of the HTTP door on one screen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from promotion_pipeline.api import experiments, incoming, ofrep, sweep, system
from promotion_pipeline.api.batching import CheckBatcher
from promotion_pipeline.api.guard import Door
from promotion_pipeline.api.middleware import BodyLimit, RequestContext
from promotion_pipeline.api.openapi import api_routes, describe
from promotion_pipeline.api.origins import EvaluationOrigins
from promotion_pipeline.api.pages import routes as pages
from promotion_pipeline.api.problems import answer_error, answer_wrong_method
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.pool import pooled


def create_app(store: Store, settings: Settings | None = None) -> FastAPI:
    """The HTTP door on a store.

    Args:
        store: the database; the caller keeps it open while the application serves.
        settings: default those of the store.
    """
    kept = pooled(store)
    door = Door(kept, settings or store.settings, CheckBatcher(kept))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        door.evaluation.close()
        kept.close()

    app = FastAPI(
        title="Experiment Winner Auto-Promotion",
        version=version("promotion-pipeline"),
        lifespan=lifespan,
        # The built-in pages would be open to everybody, and load scripts from elsewhere.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.door = door
    for part in (system, experiments, sweep, incoming, ofrep, pages):
        # Added one by one, not as routers: so `app.routes` lists every route, and it is checked that each says who may
        # call it.
        app.router.routes.extend(part.router.routes)
    # Starlette calls the middleware that was added last first.
    app.add_middleware(BodyLimit, larger=incoming.LARGER_BODIES)
    if door.settings.evaluation_origins:
        app.add_middleware(EvaluationOrigins, path=ofrep.BASE, origins=door.settings.evaluation_origins)
    app.add_middleware(RequestContext)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(405, partial(answer_wrong_method, api_routes(app)))
    describe(app, api_routes(app))
    return app
