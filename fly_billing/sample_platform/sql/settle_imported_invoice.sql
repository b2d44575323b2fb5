-- No rows. It was paid in the system it comes from.
update invoices set status = 'paid', paid_at = :paid_at where id = :id
