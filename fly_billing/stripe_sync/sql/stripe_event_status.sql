-- stripe_event_status
-- No rows. The invoice takes the status that Stripe gave it; the database refuses one that can't follow.
update invoices set
    status = :status, paid_at = case when :status = 'paid' then cast(:paid_at as timestamptz) end
where id = :invoice_id
