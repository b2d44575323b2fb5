-- name: add_commitments
-- No rows.
insert into commitments (
    id, organization_id, kind, description, amount, currency, scope, first_month, last_month, months, runs_from,
    runs_until
)
values (
    :id, :organization_id, :kind, :description, :amount, :currency, cast(:scope as jsonb), :first_month, :last_month,
    :months, :runs_from, :runs_until
);

-- name: change_commitment
-- No rows. The database refuses more than another end, once a final invoice used it.
update commitments
set
    amount = :amount, currency = :currency, scope = cast(:scope as jsonb), last_month = :last_month, months = :months,
    runs_from = :runs_from, runs_until = :runs_until
where id = :id;

-- name: commitments_of
-- One row per commitment of these organizations.
select
    id, organization_id, kind, description, amount, currency, scope, first_month, last_month, months, runs_from,
    runs_until
from commitments
where organization_id = any (:keys);

-- name: withdraw_commitment
-- No rows. The database refuses it if an invoice used it.
delete from commitments where id = :id;
