"""Shared parts of the system tests: a private machine, bundles, the runtime under test, and the check that nothing is left."""
