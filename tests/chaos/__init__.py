"""`make chaos`: thousands of invoices are synced under every fault at once, and an audit checks the results.

`python -m tests.chaos` runs it; tests/scenarios/test_chaos.py runs a smaller one. Data, fault rules and the moments of
kills (by progress) come from a seed; the state at a kill depends on real time, so no two runs are equal. Keeps out:
tests of one fault at a time (tests/integration) and of one moment of death (tests/scenarios).
"""
