-- name: level_time
-- Macros for levels times microseconds, in two whole numbers: the sum of whole levels, and that of their 15 decimals
-- taken as a whole number. Together they have more digits than a decimal of DuckDB; each alone fits.
-- `level_time(whole, decimals, unit)` is their quotient by `unit` microseconds, rounded half-up at the 15th decimal.
create or replace temp macro whole_of(level) as floor(level)::hugeint;
create or replace temp macro decimals_of(level) as ((level - floor(level)) * 1000000000000000)::hugeint;
create or replace temp macro quotient(whole, decimals, unit) as
    (whole // unit)::decimal(38, 15)
    + ((2 * (whole % unit * 1000000000000000::hugeint + decimals) + unit) // (2 * unit))::decimal(16, 0)
    * 0.000000000000001::decimal(16, 15);
create or replace temp macro level_time(whole, decimals, unit) as quotient(
    whole + decimals // 1000000000000000::hugeint, decimals % 1000000000000000::hugeint, unit::hugeint
);

-- name: number_totals
-- One row per organization, meter and dimensions with events or levels in the month, numbered: to group and order by
-- a number takes a fraction of the time and memory of doing so by texts.
-- `together` numbers what counts as one where quantities can't be added up: the total itself, but for dimensions that one
-- price covers (`counted_together`).
create or replace temp table totals as
with used as (
    select distinct organization_id, meter, dimensions, aggregation, time_unit from accepted_usage
    union
    select organization_id, meter, dimensions, 'time_weighted', time_unit from told_levels where not is_event
)

select
    numbered.*, billed_organizations.segmentation,
    min(total) over (
        partition by numbered.organization_id, numbered.meter, coalesce(counted_together.together, -total)
    ) as together
from (
    select row_number() over () as total, * from used
) as numbered
join billed_organizations on billed_organizations.id = numbered.organization_id
left join counted_together
    on counted_together.organization_id = numbered.organization_id and counted_together.meter = numbered.meter
    and counted_together.dimensions = numbered.dimensions;
