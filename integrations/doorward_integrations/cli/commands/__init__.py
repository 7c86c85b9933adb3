"""The commands of ``doorward``: one file each, whose name is the command's.

A command is a module with the same three names, as `doorward_integrations.cli.command` describes them. The
files of this folder are found by their names; nothing else lists them.
"""
