"""May this principal invoke?"""
