-- No rows. Open invoices are computed anew as a whole; a finalized one is never in `computed_invoices`, and the database
-- would refuse it.
insert into invoices (
    id, organization_id, month, revision, status, currency, amount, total_cents, usage_snapshot_id, computed_at
)
select id, organization_id, month, revision, 'open', currency, amount, total_cents, usage_snapshot_id, computed_at
from computed_invoices
on conflict (id) do update set
    currency = excluded.currency, amount = excluded.amount, total_cents = excluded.total_cents,
    usage_snapshot_id = excluded.usage_snapshot_id, computed_at = excluded.computed_at
