-- One row per credit: what `invoicing.rules.inputs.CreditGrant` has of it; available is all that was granted.
select id, description, amount as available, granted_at, expires_at, priority, scope, pays
from credit_grants
where id = any (:ids)
