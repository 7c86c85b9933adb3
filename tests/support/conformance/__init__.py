"""One table of requests over every adapter on every server.

A request is a row of `table`, an adapter one of `applications`, and a server one of `servers`.
"""
