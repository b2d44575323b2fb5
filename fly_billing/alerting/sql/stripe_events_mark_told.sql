-- stripe_events_mark_told
-- No rows. A human was told of this trouble of these invoices.
update stripe_events set alerted_at = now()
where invoice_id = any (:ids) and code = :code and alerted_at is null
