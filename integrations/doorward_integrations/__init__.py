"""doorward for web frameworks: one module per framework, each of them over the one `doorward.Door`.

Nothing is imported here. Import the module of your framework: ``doorward_integrations.asgi``, ``.starlette``,
``.fastapi``, ``.wsgi`` or ``.flask``. ``.opentelemetry`` counts what a key cache does, and ``.emulator`` is a
Google of your own on this machine.
"""
