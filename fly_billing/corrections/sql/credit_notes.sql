-- name: add_credit_note
-- No rows. A credit note, numbered per invoice, and the credit that it gives: drawn before what was prepaid (0), and after
-- a reservation's (-10), which would be lost at the month's end.
with granted as (
    insert into credit_grants (id, organization_id, description, amount, currency, priority, granted_at)
    values (:grant_id, :organization_id, :description, :amount, :currency, -5, :made_at)
    returning id
)

insert into credit_notes (id, invoice_id, number, amount_cents, credit_grant_id, made_at, made_by, why)
select
    :id, :invoice_id,
    (select coalesce(max(number), 0) + 1 from credit_notes where invoice_id = :invoice_id),
    :amount_cents, granted.id, :made_at, :made_by, :why
from granted;
