-- One row per organization of these invoices that has no customer in Stripe yet, so far as we know.
select distinct o.id, o.created_at
from invoices as i
join organizations as o on o.id = i.organization_id
where i.id = any (:ids) and o.stripe_customer_id is null
