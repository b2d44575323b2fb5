-- name: clear_computed
-- No rows. Makes room for the next block of freshly computed invoices.
truncate computed_invoices;

-- name: drop_open_of_linked
-- No rows. Open invoices of organizations whose payer has them on its own in this month.
delete from invoices as i
using organization_links as l
where i.month = :month and i.status = 'open' and l.organization_id = i.organization_id
    and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date);

-- name: drop_parts_of_computed
-- No rows. What freshly computed invoices had before: items (the links to rollups go with them), snapshots, taxes and what
-- counted towards commitments.
delete from invoice_items where invoice_id = any (array(select id from computed_invoices));
delete from invoice_snapshots where invoice_id = any (array(select id from computed_invoices));
delete from invoice_tax_rates where invoice_id = any (array(select id from computed_invoices));
delete from invoice_taxes where invoice_id = any (array(select id from computed_invoices));
delete from invoice_commitments where invoice_id = any (array(select id from computed_invoices));

-- name: finalize_computed
-- No rows. From here on these invoices never change; the database checks that their items add up.
update invoices set status = 'finalized', finalized_at = :now, due_on = :due_on
from computed_invoices
where invoices.id = computed_invoices.id and invoices.status = 'open';

-- name: forget_billing_failures
-- No rows. These organizations' invoices of the month can be computed (again). Of whom people were told, they are told
-- that it is over.
with gone as (
    delete from billing_failures where month = :month and organization_id = any (:organizations)
    returning organization_id, month, alerted_code
)
insert into billing_recoveries (organization_id, month, alerted_code)
select organization_id, month, alerted_code from gone where alerted_code is not null
on conflict (organization_id, month) do update set alerted_code = excluded.alerted_code, recovered_at = now();

-- name: make_computed
-- No rows. Where COPY puts freshly computed invoices, a block at a time, before they take the place of what was there.
create temp table computed_invoices (like invoices) on commit drop;

-- name: record_billing_failure
-- No rows. The organization's invoice of the month can't be computed. `alerted_code` stays: a human who was told of this
-- very failure is not told again, also where it was over in between and nobody was told of that yet.
with untold as (
    delete from billing_recoveries where organization_id = :organization_id and month = :month returning alerted_code
)
insert into billing_failures (
    organization_id, month, code, customer_text, operator_text, retryable, run_id, failed_at, alerted_code
)
values (
    :organization_id, :month, :code, :customer_text, :operator_text, :retryable, :run_id, :now,
    (select alerted_code from untold)
)
on conflict (organization_id, month) do update set
    code = excluded.code, customer_text = excluded.customer_text, operator_text = excluded.operator_text,
    retryable = excluded.retryable, run_id = excluded.run_id, failed_at = excluded.failed_at;

-- name: replace_open_invoices
-- No rows. Open invoices are computed anew as a whole; a finalized one is never in `computed_invoices`, and the database
-- would refuse it.
insert into invoices (
    id, organization_id, month, revision, status, currency, amount, total_cents, usage_snapshot_id, computed_at
)
select id, organization_id, month, revision, 'open', currency, amount, total_cents, usage_snapshot_id, computed_at
from computed_invoices
on conflict (id) do update set
    currency = excluded.currency, amount = excluded.amount, total_cents = excluded.total_cents,
    usage_snapshot_id = excluded.usage_snapshot_id, computed_at = excluded.computed_at;

-- name: tables_without_statistics
-- One row per table of invoices that Postgres plans for as if it were empty.
select relname as name from pg_class where oid in (cast('invoices' as regclass), cast('invoice_items' as regclass))
    and reltuples = 0;
