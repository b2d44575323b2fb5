"""Sends the API thousands of requests with every kind of token, and reads every response for what it may not tell."""
