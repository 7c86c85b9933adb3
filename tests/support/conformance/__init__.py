"""One table of requests over every adapter on every server: the table, the applications, the servers, the clients.

A request is a row of `table`, an adapter one of `applications`, and a server one of `servers`.
"""
