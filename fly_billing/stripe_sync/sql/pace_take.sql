-- One row: in how many seconds the request may be sent. The moment is booked for it, at the endpoint and the account.
select take_stripe_slot(:endpoint, :endpoint_per_second, :account_per_second, :recovery_seconds) as seconds
