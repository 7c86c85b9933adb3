"""Consumers of the WSGI family, as they are written: any WSGI application, Flask, and Django."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_type

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from flask import Blueprint, Flask, g, request
from flask.views import MethodView

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward_integrations import django, flask, wsgi
from doorward_integrations.flask import Invoker, add_readiness, current_principal, only, service_accounts

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)


def plain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    assert_type(wsgi.principal_of(environ), Principal)
    assert_type(wsgi.end_user_of(environ), Principal | None)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello"]


guarded = wsgi.InvokerMiddleware(plain, door, public_prefix="/api")

app, shop = Flask(__name__), Blueprint("shop", __name__)
Invoker(app, door, after_request=True)
extension = Invoker(door=door)
extension.init_app(app)
add_readiness(app, door)


@app.get("/orders")
def orders() -> str:
    assert_type(current_principal, Principal)
    return f"Hello, {current_principal}, {g.principal}, {flask.principal_of(request)}"


@shop.get("/reports/<number>")
@only(service_accounts)
async def reports(number: str) -> str:
    return number


class Methods(MethodView):
    decorators = [only(members=["user:ann@example.com"])]  # noqa: RUF012 - as Flask documents it

    def get(self) -> str:
        return str(flask.end_user_of(request))


def view(request: HttpRequest) -> HttpResponse:
    assert_type(django.principal_of(request), Principal)
    assert_type(django.end_user_of(request), Principal | None)
    return HttpResponse(b"Hello")


@django.only(django.service_accounts)
async def async_view(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(str(number).encode())


@method_decorator(django.only(lambda principal: principal.email is not None), name="dispatch")
class Views(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"Hello")


urlpatterns = [
    path("", view),
    path("orders/<int:number>", async_view),
    path("views", Views.as_view()),
    path("readyz", django.readiness),
]
