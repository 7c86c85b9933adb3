"""From the document of a policy to its bindings, those of a project and its ancestors included."""
