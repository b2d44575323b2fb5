-- name: correct_statistics
-- One row per table of invoices that was analyzed, because Postgres planned as if it were empty.
select analyze_table(oid) from pg_class
where oid in (cast('invoices' as regclass), cast('invoice_items' as regclass)) and reltuples = 0;

-- name: gather_statistics
-- One row per table that was analyzed: those that have grown from nothing, and those by month if Postgres does not know
-- that they have this month. It would plan for a few rows of the month, and join by comparing all with all.
select analyze_table(c.oid) from pg_class as c
where c.oid = any (cast(array[
    'invoices', 'invoice_items', 'invoice_item_rollups', 'invoice_snapshots', 'invoice_details', 'usage_snapshots',
    'usage_rollups', 'ledger_entries', 'ledger_transactions'
] as regclass []))
and (
    (c.reltuples <= 0 and pg_relation_size(c.oid) > 0)
    or (
        c.relname in ('invoices', 'usage_snapshots')
        and not exists (
            select from pg_stats as s
            where s.schemaname = current_schema() and s.tablename = c.relname and s.attname = 'month'
                and cast(:month as date) = any (cast(cast(s.most_common_vals as text) as date []))
        )
    )
);
