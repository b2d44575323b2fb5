"""`make chaos`: thousands of invoices are synced under every fault at once, and an audit says what became of them.

`python -m tests.chaos` runs it; tests/scenarios/test_chaos.py runs a smaller one. Data, fault rules and the moments of
kills (by progress) come from a seed; what a kill meets is decided by real time, so no two runs are alike. Keeps out:
tests of one fault at a time (tests/integration) and of one moment of death (tests/scenarios).
"""
