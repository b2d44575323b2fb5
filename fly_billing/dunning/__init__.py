"""Dunning: the state of each invoice's payment in words for the customer, and webhooks to the platform if it is late.

`rules/` says the state of a payment and its texts. This room finds invoices that are past due and queues webhooks for
the outbox (`alerting.outbox`). Not here: failed payments themselves (`stripe_sync`), and alerts to people (`alerting`).
"""
