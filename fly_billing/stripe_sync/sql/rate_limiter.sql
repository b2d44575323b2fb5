-- name: slow_down_requests
-- One row: the requests per second that the bucket allows from now on, after a 429.
select slow_stripe_pace(
    :bucket, :per_second, :factor, :least_per_second, :recovery_seconds, :hold_seconds
) as per_second;

-- name: book_request_slot
-- One row: the number of seconds until the request may be sent. Books this slot for the endpoint and the account.
select take_stripe_slot(:endpoint, :endpoint_per_second, :account_per_second, :recovery_seconds) as seconds;
