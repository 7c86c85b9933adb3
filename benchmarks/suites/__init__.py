"""The suites, a module each; ``python benchmarks/run.py NAME`` runs one."""
