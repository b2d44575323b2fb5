"""Rules for posted events, tokens and file names. Pure."""
