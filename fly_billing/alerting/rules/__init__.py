"""What alerts say, and when spending crosses a threshold. Pure."""
