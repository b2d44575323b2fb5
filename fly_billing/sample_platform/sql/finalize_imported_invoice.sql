-- No rows. The database checks that the items add up.
update invoices set status = 'finalized', finalized_at = :finalized_at, due_on = :due_on where id = :id
