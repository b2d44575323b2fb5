-- name: add_loaded_meters
-- No rows. Inserts or updates meters by key. Name and unit may change at any time, the aggregation only without usage.
insert into meters (
    key, name, unit, aggregation, dimensions, unique_of, series, time_unit, event_step, event_round, event_type,
    quantity_of
)
select
    key, name, unit, aggregation, dimensions, unique_of, series, time_unit, event_step, event_round, event_type,
    quantity_of
from loaded_meters
on conflict (key) do update set
    name = excluded.name, unit = excluded.unit, aggregation = excluded.aggregation, dimensions = excluded.dimensions,
    unique_of = excluded.unique_of, series = excluded.series, time_unit = excluded.time_unit,
    event_step = excluded.event_step, event_round = excluded.event_round,
    event_type = excluded.event_type, quantity_of = excluded.quantity_of;

-- name: add_loaded_prices
-- No rows. Inserts or updates price versions by (book, key, effective_from). Unchanged ones are not written, because
-- the database refuses every update of a used price.
insert into prices select * from loaded_prices
on conflict (book, key, effective_from) do update set
    meter = excluded.meter, product = excluded.product, description = excluded.description, unit = excluded.unit,
    currency = excluded.currency, model = excluded.model, unit_amount = excluded.unit_amount, per = excluded.per,
    tiers = excluded.tiers, free_allowance = excluded.free_allowance, match = excluded.match,
    effective_until = excluded.effective_until, settings = excluded.settings
where to_jsonb(prices) <> to_jsonb(excluded);

-- name: add_loaded_tax_rates
-- No rows. Inserts or updates tax rates by (book, key, first_month). Unchanged ones are not written, because the
-- database refuses every update of a used rate.
insert into tax_rates select * from loaded_tax_rates
on conflict (book, key, first_month) do update set
    tax = excluded.tax, name = excluded.name, percent = excluded.percent, is_inclusive = excluded.is_inclusive,
    category = excluded.category, legal_text = excluded.legal_text, scope = excluded.scope,
    locations = excluded.locations, customers = excluded.customers, last_month = excluded.last_month
where to_jsonb(tax_rates) <> to_jsonb(excluded);

-- name: make_loaded_prices
-- No rows. Creates the temporary tables into which COPY writes a price book; those of an earlier one go.
drop table if exists
    loaded_meters, loaded_prices, loaded_tax_rates, loaded_negotiated_prices, loaded_members;
create temp table loaded_meters (like meters) on commit drop;
create temp table loaded_prices (like prices) on commit drop;
create temp table loaded_tax_rates (like tax_rates) on commit drop;
create temp table loaded_negotiated_prices (like negotiated_prices) on commit drop;
create temp table loaded_members (like price_group_members) on commit drop;

-- name: meter_dimensions
-- One row per meter, with its dimensions.
select key, dimensions from meters;

-- name: price_books
-- One row per price book that is loaded: its currencies, its price versions and keys, those in force at :at, and the
-- organizations that have it.
select
    p.book, array_agg(distinct p.currency order by p.currency) as currencies, count(distinct p.key) as keys,
    count(*) as versions,
    count(*) filter (
        where p.effective_from <= :at and (p.effective_until is null or p.effective_until > :at)
    ) as in_force,
    (select count(*) from organizations as o where o.price_book = p.book) as organizations
from prices as p
group by p.book
order by p.book;

-- name: used_price_versions
-- One row per price version of :ids that an item of a final invoice was charged by.
select v.id
from unnest(cast(:ids as uuid [])) as v (id)
where exists (
    select from invoice_items as t
    join invoices as i on i.id = t.invoice_id
    where t.price_id = v.id and i.status <> 'open'
);

-- name: mixed_intervals
-- One row per fee of the book whose versions have different intervals: its key, and the intervals.
select key, array_agg(distinct coalesce(settings ->> 'interval', 'month')) as intervals
from prices
where book = :book and meter is null
group by key
having count(distinct coalesce(settings ->> 'interval', 'month')) > 1
order by key
limit 1;

-- name: price_version
-- At most one row: this price version, with the columns of `prices.sql`.
select
    id, book, key, meter, product, description, unit, currency, model, unit_amount, per, tiers, free_allowance, match,
    effective_from, effective_until, settings
from prices
where id = :id;

-- name: version_of_price_books
-- One row: a text that changes whenever a price, a negotiated price or a membership is added, changed or deleted. A row
-- has the number of the transaction that wrote it, and an update writes it anew.
select concat_ws(
    ' ',
    (select concat_ws('.', count(*), sum(xmin::text::bigint), max(xmin::text::bigint)) from prices),
    (select concat_ws('.', count(*), sum(xmin::text::bigint), max(xmin::text::bigint)) from negotiated_prices),
    (select concat_ws('.', count(*), sum(xmin::text::bigint), max(xmin::text::bigint)) from price_group_members)
) as version;
