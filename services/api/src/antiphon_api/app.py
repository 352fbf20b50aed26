"""The application: routes, error documents and middleware, put together. Opens nothing, and runs nothing."""

import asyncio
from collections import defaultdict

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from antiphon.hooks import Hooks
from antiphon.ports import Ports
from antiphon_api import openapi, problems
from antiphon_api.context import Context
from antiphon_api.middleware import Guard, Linger, Watch
from antiphon_api.routes import events, health, internal_queues, jobs, legal_hold, queues, results
from antiphon_api.scrape import Scrape
from antiphon_api.settings import ApiSettings

ROUTERS = (
    jobs.router,
    legal_hold.router,
    results.router,
    events.router,
    queues.router,
    internal_queues.router,
    health.router,
)


def create_app(
    ports: Ports,
    settings: ApiSettings,
    hooks: Hooks,
    registry: CollectorRegistry,
    closing: asyncio.Event | None = None,
) -> FastAPI:
    """The API on open `ports`. `registry` is what `/metrics` tells; event streams end once `closing` is set."""
    app = FastAPI(
        title="Antiphon",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        openapi_url="/v1/openapi.json",
        openapi_tags=openapi.TAGS,
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat whatever Host the request names
    )
    app.state.context = Context(ports, settings, hooks, Scrape(ports, registry), closing or asyncio.Event())
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app, _methods(ROUTERS))
    openapi.install(app)
    for middleware in (Linger, Guard):
        app.add_middleware(middleware)
    app.add_middleware(Watch, hooks=hooks)
    return app


def _methods(routers: tuple[APIRouter, ...]) -> dict[str, set[str]]:
    """The methods of every route template."""
    methods: dict[str, set[str]] = defaultdict(set)
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                methods[route.path].update(route.methods or ())
    return methods
