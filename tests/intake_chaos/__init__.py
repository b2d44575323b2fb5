"""Kills the intake at random moments while senders post and retry, then counts every event."""
