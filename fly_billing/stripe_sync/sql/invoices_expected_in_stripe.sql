-- One row per invoice of the month that Stripe should hold: finalized here, and with something to pay.
select id, organization_id
from invoices
where month = :month and origin = 'billed' and status in ('finalized', 'paid', 'uncollectible') and total_cents is distinct from 0
order by organization_id, revision
