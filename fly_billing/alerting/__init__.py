"""Telling people what failed and what is over: what to tell, an outbox, and the channels that it goes to.

`unreported` finds in Postgres what nobody was told of, and puts it into the `outbox` in the transaction that marks it
as told; from there it is posted to each channel until that one takes it. Keeps out: the words
(`alerting.rules.alerts`).
"""
