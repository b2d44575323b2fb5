-- name: pace_slow
-- One row: the requests per second that the bucket, which met a 429, allows from now on.
select slow_stripe_pace(
    :bucket, :per_second, :factor, :least_per_second, :recovery_seconds, :hold_seconds
) as per_second;

-- name: pace_take
-- One row: in how many seconds the request may be sent. The moment is booked for it, at the endpoint and the account.
select take_stripe_slot(:endpoint, :endpoint_per_second, :account_per_second, :recovery_seconds) as seconds;
