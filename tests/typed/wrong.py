"""What must not type-check: each line says which error mypy and pyright report, and fails the check without it."""

from __future__ import annotations

from aiohttp import web
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from doorward import Door, InvokerPolicy, Principal, Refusal, Verifier
from doorward_integrations import (
    aiohttp,
    asgi,
    django,
    fastapi,
    flask,
    functions_framework,
    grpc,
    starlette,
    wsgi,
)

verifier = Verifier("https://orders-1234567890.europe-west1.run.app")
policy = InvokerPolicy.all_authenticated_users()
door = Door(verifier, policy)


async def plain(scope: Scope, receive: Receive, send: Send) -> None: ...


# A door is made of a verifier and a policy, in this order.
Door(verifier)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Door(policy, verifier)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Door("https://orders-1234567890.europe-west1.run.app", policy)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Verifier()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Verifier(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Verifier(audience="https://orders", leeway="30")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
InvokerPolicy()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
InvokerPolicy.from_members([7])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

# What was decided is a fact.
outcome = door.admit([])
outcome.principal  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
door.policy = policy  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
door.verifier = verifier  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def change(principal: Principal, refusal: Refusal) -> None:
    principal.email = "ann@example.com"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    principal.claims["email"] = "ann@example.com"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    refusal.status = 200  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Principal()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


verifier.verify(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# The application first, then its door.
asgi.InvokerMiddleware(door, plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
asgi.InvokerMiddleware(plain)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
asgi.InvokerMiddleware(plain, verifier)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
wsgi.InvokerMiddleware(door, plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
starlette.Invoker(door, Starlette())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
starlette.Invoker(Starlette())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
starlette.Invoker(Starlette(), door, in_front=["CORSMiddleware"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
fastapi.Invoker(door, FastAPI())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fastapi.InvokerDependency(verifier)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
flask.Invoker(door, Flask("orders"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
aiohttp.Invoker(door, web.Application())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
aiohttp.invoker_middleware(policy)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
grpc.InvokerInterceptor(verifier)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
grpc.AioInvokerInterceptor(policy)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
functions_framework.guard_functions(verifier)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
functions_framework.guarded_http(policy)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# A caller is that of a request.
asgi.principal_of("request")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
starlette.principal_of(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
flask.principal_of(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
django.principal_of({})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
aiohttp.principal_of({})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
grpc.principal_of({})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
django.end_user_of("request")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
aiohttp.end_user_of(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def text(principal: Principal) -> str:
    return str(principal)


async def later(principal: Principal) -> bool:
    return principal.anonymous


def of_two(one: Principal, other: Principal) -> bool:
    return one == other


# A route is narrowed by a function of one principal, or by members.
starlette.only(text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
flask.only(later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
django.only(of_two)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
aiohttp.only("user:ann@example.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
grpc.only(members=[7])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
functions_framework.only(predicate=text)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
fastapi.only(lambda: True)  # type: ignore[arg-type,misc]  # pyright: ignore[reportArgumentType]
fastapi.InvokerDependency(door).only(later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
