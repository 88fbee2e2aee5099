"""Would the tests notice? Single changes of the source, each run against the tests that reach it.

``reach`` notes which tests call which functions, ``changes`` makes the changes, ``trial`` runs the tests on
one, and ``python -m tests.mutants`` (``make mutants``) draws, runs and lists what survived.
"""
