"""Sends the API thousands of requests with every kind of token, and reads every response for data of others."""
