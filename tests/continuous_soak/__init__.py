"""One simulated day of continuous billing: files arrive at random moments, and a light run follows every five minutes.

`python -m tests.continuous_soak` runs it on a throw-away server and writes a table, a plot and the numbers.
"""
