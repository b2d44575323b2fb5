"""Alerts to customers about their spend, and calls of the platform when an organization reaches its own cap.

`thresholds` are what customers set. `evaluation` compares open months with them and queues messages, `spend_caps`
queues calls of the cap hook; the outbox (`alerting.outbox`) sends them through `channels`. Operators get only what
concerns them: a message that was given up, a call that nobody acknowledges. Not here: alerts about failures
(`alerting`).
"""
