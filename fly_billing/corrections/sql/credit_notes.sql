-- name: add_credit_note
-- No rows. Adds a credit note, numbered per invoice, and its credit. The credit is drawn before prepaid credits (priority
-- 0), and after those of reservations (-10), which expire at the end of the month.
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
