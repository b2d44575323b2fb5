"""The rules of billing: periods, money, prices, rating, invoice assembly, reconciliation.

Standard library only. No clock, no environment, no connection: `now` and all data are passed in.
"""
