"""What is sent to Stripe, what its answers and events mean, and which differences can be repaired. Pure."""
