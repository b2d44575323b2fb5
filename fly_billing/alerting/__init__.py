"""Alerts the on-call engineer about failures and recoveries: what to report, an outbox, and the channels.

`unreported` finds failures in Postgres that nobody was alerted about. It puts each alert into the `outbox` and marks it
as sent in the same transaction. The outbox posts it to each channel until the channel accepts it. The texts are in
`alerting.rules`.
"""
