-- stripe_events_mark_recovered
-- No rows. People know that these invoices' trouble is over.
update stripe_events set recovery_told_at = now()
where invoice_id = any (:ids) and alerted_at is not null and recovery_told_at is null
