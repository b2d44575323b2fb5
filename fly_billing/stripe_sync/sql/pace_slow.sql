-- One row: the requests per second that the bucket, which met a 429, allows from now on.
select slow_stripe_pace(:bucket, :per_second, :factor, :least_per_second, :recovery_seconds, :hold_seconds) as per_second
