-- name: add_staged_items
-- One row. Adds the copied items and links to the invoices, and empties the temporary tables for the next block.
select add_staged_items();

-- name: clear_computed
-- No rows. Empties the temporary table for the next block of invoices.
truncate computed_invoices;

-- name: drop_parts_of_computed
-- No rows. Deletes the parts of the invoices that are computed again: items (with their links to rollups), snapshots,
-- taxes and the amounts that counted towards commitments.
delete from invoice_items where invoice_id = any (array(select id from computed_invoices));
delete from invoice_snapshots where invoice_id = any (array(select id from computed_invoices));
delete from invoice_tax_rates where invoice_id = any (array(select id from computed_invoices));
delete from invoice_taxes where invoice_id = any (array(select id from computed_invoices));
delete from invoice_commitments where invoice_id = any (array(select id from computed_invoices));

-- name: finalize_computed
-- No rows. Finalizes the computed invoices. They never change afterwards; the database checks that their items add up.
-- An organization's own terms of payment replace :due_on.
update invoices set
    status = 'finalized', finalized_at = :now,
    due_on = coalesce(cast(cast(:now as timestamptz) at time zone 'UTC' as date) + d.net_days, :due_on)
from computed_invoices
left join billing_details as d on d.organization_id = computed_invoices.organization_id
where invoices.id = computed_invoices.id and invoices.status = 'open';

-- name: replace_open_invoices
-- No rows. Inserts computed invoices, or replaces their open versions. `computed_invoices` never has a finalized one;
-- the database would refuse to change it.
insert into invoices (
    id, organization_id, month, revision, status, currency, amount, total_cents, usage_snapshot_id, computed_at,
    inputs_fingerprint
)
select
    id, organization_id, month, revision, 'open', currency, amount, total_cents, usage_snapshot_id, computed_at,
    inputs_fingerprint
from computed_invoices
on conflict (id) do update set
    currency = excluded.currency, amount = excluded.amount, total_cents = excluded.total_cents,
    usage_snapshot_id = excluded.usage_snapshot_id, computed_at = excluded.computed_at,
    inputs_fingerprint = excluded.inputs_fingerprint;
