-- stripe_event_known
-- One row per event of these that is recorded already.
select id from stripe_events where id = any (:ids)
