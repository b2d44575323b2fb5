"""HTTP: Starlette routes for Stripe's endpoints and the control API, and responses with Stripe's headers.

Not here: handling a call (`pipeline`).
"""

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fly_billing.stripe_sandbox import control, form
from fly_billing.stripe_sandbox.calls import Call, SandboxResponse
from fly_billing.stripe_sandbox.drops import Connections
from fly_billing.stripe_sandbox.endpoints import ENDPOINTS, NOT_OFFERED, Endpoint
from fly_billing.stripe_sandbox.errors import unknown_url
from fly_billing.stripe_sandbox.events import API_VERSION
from fly_billing.stripe_sandbox.pipeline import Pipeline
from fly_billing.stripe_sandbox.store import Json, Store, new_id

ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def build_app(store: Store, connections: Connections) -> Starlette:
    """Return the sandbox as an ASGI application over one store."""
    pipeline = Pipeline(store)
    routes = [
        Route(endpoint.path, _EndpointApp(pipeline, connections, endpoint), methods=[endpoint.method])
        for endpoint in ENDPOINTS
    ]
    absent = [Route(path, _EndpointApp(pipeline, connections, None), methods=[method]) for method, path in NOT_OFFERED]
    unknown = Route("/{path:path}", _EndpointApp(pipeline, connections, None), methods=ANY_METHOD)
    app = Starlette(routes=[*absent, *routes, *control.routes(pipeline), unknown])
    app.router.redirect_slashes = False
    return app


class _EndpointApp:
    """An endpoint as its own ASGI application, so that it can leave a request without a response."""

    def __init__(self, pipeline: Pipeline, connections: Connections, endpoint: Endpoint | None) -> None:
        self.pipeline, self.connections, self.endpoint = pipeline, connections, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            call = await read_call(request, self.endpoint or _unknown(request.method, request.url.path))
        except ClientDisconnect:
            return  # the client disconnected before it had sent the whole request: nobody waits for a response
        answer = await self.pipeline.answer(call)
        if not answer.dropped:
            await response(call, answer)(scope, receive, send)
            return
        self.connections.drop(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            pass


def _unknown(method: str, path: str) -> Endpoint:
    def refuse(store: Store, ids: Json, wanted: Json) -> Json:
        raise unknown_url(method, path)

    return Endpoint("unknown", method, path, None, refuse)


async def read_call(request: Request, endpoint: Endpoint) -> Call:
    """Read a request into a Call."""
    text = request.url.query if request.method in ("GET", "DELETE") else (await request.body()).decode(errors="replace")
    return Call(
        request_id=new_id("req", 14).replace("_1", "_"),
        endpoint=endpoint,
        method=request.method,
        path=request.url.path,
        ids=dict(request.path_params),
        raw=form.parse(text),
        headers=request.headers,
    )


def response(call: Call, answer: SandboxResponse) -> Response:
    """Return the HTTP response to a call, with Stripe's headers."""
    headers = {
        "Request-Id": call.request_id,
        "Stripe-Version": API_VERSION,
        **answer.headers,
    }
    if call.key:
        headers["Idempotency-Key"] = call.key
        headers.setdefault("Original-Request", call.request_id)
    return Response(answer.body, answer.status, headers, media_type="application/json")
