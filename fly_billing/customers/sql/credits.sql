-- name: add_credit_grants
-- No rows.
insert into credit_grants (
    id, organization_id, description, amount, currency, priority, scope, granted_at, expires_at, pays
)
values (
    :id, :organization_id, :description, :amount, :currency, :priority, cast(:scope as jsonb), :granted_at, :expires_at,
    :pays
);

-- name: change_credit_grant
-- No rows. The database refuses another amount, and more than another end once it was used.
update credit_grants
set
    amount = :amount, currency = :currency, priority = :priority, scope = cast(:scope as jsonb),
    expires_at = :expires_at, pays = :pays
where id = :id;

-- name: credit_grants_of
-- One row per credit of these organizations.
select id, organization_id, description, amount, currency, priority, scope, granted_at, expires_at, pays
from credit_grants
where organization_id = any (:keys);
