"""The rules of the Stripe sync: requests, keys, retries, failures, events, reconciliation and repairs. Pure."""
