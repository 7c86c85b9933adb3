"""The settings of a door in one object, from the environment.

::

    from doorward_integrations.settings import settings

    app = InvokerMiddleware(app, settings().door())

On Cloud Run that needs a policy and nothing else: ``DOORWARD_POLICY`` names its file, or ``DOORWARD_MEMBERS``
those who may invoke; which service this is, the platform says. What is given in code wins:
``settings(leeway=10)``. Every variable is in `doorward_integrations.settings.variables`, and
``doorward settings --check`` says what they come to. A variable that is mistaken or not known is an error
with its name, since a door that ignores a setting is not the door that was asked for.
"""

from __future__ import annotations

from doorward_integrations.settings.resolved import Settings, settings
from doorward_integrations.settings.values import Explicit, SettingError

__all__ = ["Explicit", "SettingError", "Settings", "settings"]
