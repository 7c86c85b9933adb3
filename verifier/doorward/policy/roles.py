"""Which predefined roles hold ``run.routes.invoke``: data.

From the role definitions that the IAM API publishes
(https://cloud.google.com/iam/docs/roles-permissions/run), read on 2026-11-22.
``roles/cloudfunctions.invoker`` is not among them: it invokes first-generation functions only.
"""

from __future__ import annotations

from typing import Final

__all__ = ["INVOKE", "INVOKER_ROLES"]

INVOKE: Final = "run.routes.invoke"
"""The permission that the invoker check asks for."""

INVOKER_ROLES: Final = frozenset(
    {
        "roles/owner",
        "roles/editor",
        "roles/run.invoker",
        "roles/run.servicesInvoker",
        "roles/run.admin",
        "roles/run.developer",
        "roles/run.editor",
        "roles/run.sourceDeveloper",
        "roles/cloudfunctions.admin",
        "roles/cloudfunctions.developer",
        "roles/cloudfunctions.editor",
        "roles/firebase.admin",
        "roles/firebase.developAdmin",
        "roles/iam.dataScientist",
        "roles/iam.devOps",
        "roles/iam.mlEngineer",
        # Held by Google's own service agents.
        "roles/run.serviceAgent",
        "roles/serverless.serviceAgent",
        "roles/cloudfunctions.serviceAgent",
        "roles/aiplatform.serviceAgent",
        "roles/ces.serviceAgent",
        "roles/dialogflow.serviceAgent",
        "roles/firebaseapphosting.serviceAgent",
        "roles/firebasedataconnect.serviceAgent",
        "roles/integrations.serviceAgent",
        "roles/monitoring.notificationServiceAgent",
        "roles/spanner.serviceAgent",
        "roles/visionai.serviceAgent",
    }
)
"""The 28 predefined roles that hold it."""
