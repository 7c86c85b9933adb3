"""An emulator of Cloud Run that enforces its invoker check. Run it with: uvicorn emulator_backend:app."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from doorward import ConfigurationError, InvokerPolicy
from doorward.services.services import Services
from doorward_integrations.asgi import InvokerMiddleware, principal_of

SERVICE = "/v2/projects/{project}/locations/{location}/services"
services = Services(exempt=[(method, "/v2/{path:path}") for method in ("DELETE", "GET", "POST")])
kept: dict[str, dict[str, Any]] = {}  # a service's document, with its policy beside it


def failure(code: int, status: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "status": status, "message": message}}, code)


def done(name: str, service: dict[str, Any]) -> Response:
    response = {"@type": "type.googleapis.com/google.cloud.run.v2.Service", **service}
    return JSONResponse({"name": f"{name}/operations/1", "done": True, "response": response})


def put(name: str, service: dict[str, Any], policy: dict[str, Any]) -> None:
    services.put(
        name,
        audience=service["uri"],
        policy=InvokerPolicy.from_dict(policy),
        prefix=f"/run/{name.rpartition('/')[2]}",
    )
    kept[name] = {"service": service, "policy": policy}


async def create(request: Request) -> Response:
    parent = request.url.path.removeprefix("/v2/")
    name = f"{parent}/{request.query_params['serviceId']}"
    if name in kept:
        return failure(409, "ALREADY_EXISTS", f"Service {name} already exists.")
    uri = f"{request.base_url}run/{request.query_params['serviceId']}"
    put(name, {**await request.json(), "name": name, "uri": uri}, {"bindings": []})
    return done(name, kept[name]["service"])


async def serve(request: Request) -> Response:
    name, _, method = request.url.path.removeprefix("/v2/").partition(":")
    if name not in kept:
        return failure(404, "NOT_FOUND", f"Service {name} was not found.")
    if request.method == "DELETE":
        services.remove(name)
        return done(name, kept.pop(name)["service"])
    if method == "setIamPolicy":
        try:
            put(name, kept[name]["service"], (await request.json())["policy"])
        except ConfigurationError as error:
            return failure(400, "INVALID_ARGUMENT", str(error))
    return JSONResponse(kept[name]["policy" if method else "service"])


async def run(request: Request) -> Response:
    return PlainTextResponse(f"{request.url.path} runs for {principal_of(request)}")


routes = [
    Route(SERVICE, create, methods=["POST"]),
    Route(f"{SERVICE}/{{service}}", serve, methods=["DELETE", "GET", "POST"]),
    Route("/run/{path:path}", run, methods=["DELETE", "GET", "PATCH", "POST", "PUT"]),
]
app = InvokerMiddleware(Starlette(routes=routes), services)
