-- name: owned_organizations
-- One row per organization that a workspace or the database of a platform owns, or that closed its account (and has no
-- owner since).
select o.id, w.workspace as owner, o.currency, o.price_book
from organizations as o
left join workspace_records as w on w.kind = 'organization' and w.record_id = o.id
where w.workspace is not null or o.closed_at is not null;

-- name: owned_workspace_records
-- One row per record that a workspace owns.
select workspace, kind, record_id, record_key
from workspace_records;

-- name: workspace_book_taxes
-- One row per version of a price book's tax rate.
select
    id, book, key, tax, name, percent, is_inclusive, category, legal_text, scope, locations, customers, first_month,
    last_month
from tax_rates
where book is not null;

-- name: workspace_meters
-- One row per meter, with the columns of METER_COLUMNS.
select
    key, name, unit, aggregation, dimensions, unique_of, series, time_unit, event_step, event_round, event_type,
    quantity_of
from meters;
