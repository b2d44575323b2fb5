"""Usage: raw events land once, and are rolled up exactly per organization, meter and month."""
