"""The HTTP application, and the thread that serves it."""

from __future__ import annotations

import logging
import threading

import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse

from xiqa import __version__
from xiqa.service.api import events, intake, queue, state
from xiqa.service.api.guard import HEADERS, Guard
from xiqa.service.node import Node
from xiqa.service.settings import Api

__all__ = ["WebServer", "make_app"]

_LOG = logging.getLogger(__name__)
_LOCAL = ("localhost", "127.0.0.1", "::1")


def make_app(node: Node, *pages: APIRouter) -> FastAPI:
    """The application of a node.

    Args:
        node: Running.
        pages: Routers of pages for people, which guard themselves.
    """
    settings = node.settings.api
    app = FastAPI(title="xiqa node", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(state.open_routes(node))
    routers = [state.routes(node), queue.routes(node), events.routes(node)]
    if node.spool is not None:
        routers.append(intake.routes(node))
    for router in routers:
        app.include_router(router)
    for page in pages:
        app.include_router(page)
    hosts = frozenset(name.lower() for name in (*_LOCAL, settings.host, *settings.hosts))
    app.middleware("http")(Guard(hosts, settings.token(), settings.upload_mb << 20))
    app.add_exception_handler(SQLAlchemyError, _database_away)
    return app


def _database_away(request: Request, error: Exception) -> JSONResponse:
    _LOG.warning("a request needs the database", extra={"kind": type(error).__name__})
    return JSONResponse({"detail": "the database does not answer"}, 503, headers=HEADERS)


class WebServer:
    """Serves an application in a thread.

    Args:
        app: What.
        settings: Where.
    """

    def __init__(self, app: FastAPI, settings: Api) -> None:
        tls = settings.tls
        configuration = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            limit_concurrency=200,
            h11_max_incomplete_event_size=64 * 1024,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
        )
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(target=self._server.run, name="xiqa-http", daemon=True)

    def start(self, seconds: float = 20.0) -> None:
        """Begin to serve.

        Raises:
            OSError: The address cannot be listened on.
        """
        self._thread.start()
        pause = threading.Event()
        while not self._server.started:
            if not self._thread.is_alive() or seconds <= 0:
                raise OSError("the HTTP address cannot be listened on")
            pause.wait(0.05)
            seconds -= 0.05

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    def stop(self) -> None:
        """End; requests that run get a few seconds."""
        self._server.should_exit = True
        self._thread.join(10)
