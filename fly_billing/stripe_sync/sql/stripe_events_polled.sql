-- stripe_events_polled
-- One row, or none before the first poll: all events that Stripe made before then were read.
select until from stripe_events_polled
