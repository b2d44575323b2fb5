-- One row per table of invoices that Postgres plans for as if it were empty.
select relname as name from pg_class where oid in (cast('invoices' as regclass), cast('invoice_items' as regclass)) and reltuples = 0
