-- No rows. From here on these invoices never change; the database checks that their items add up.
update invoices set status = 'finalized', finalized_at = :now, due_on = :due_on
from computed_invoices
where invoices.id = computed_invoices.id and invoices.status = 'open'
