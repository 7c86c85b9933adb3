"""doorward in the places where requests arrive: one module per framework, all over the one `doorward.Door`.

Nothing is imported here. Take the module of your framework: ``doorward_integrations.asgi``, ``.fastapi``,
``.starlette``, ``.wsgi``, ``.flask``; and ``.emulator`` for a Google of your own on this machine.
"""
