"""One file for each adapter: the same small service, written as its framework has it, behind the door.

`make(door)` returns the guarded application. It answers ``/orders`` and what is below, ``/healthz``, and
``/sub/orders`` in whatever the framework mounts, all with `support.conformance.answers.answer`; a websocket
at ``/live`` sends its caller, and ends.
"""
