-- name: level_time
-- Macros that multiply levels by microseconds exactly. They keep two integers, the sum of the whole levels and the sum
-- of their 15 decimals, because both together have more digits than a DuckDB decimal. `level_time(whole, decimals,
-- unit)` divides them by `unit` microseconds and rounds half up at the 15th decimal.
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
-- Numbers the organization, meter and dimensions of all events and levels of the month, except of meters that are added
-- up without numbers (`add_up_usage.sql`): one row each. Grouping and
-- sorting by a number takes a fraction of the time and memory of grouping by texts. `aggregation_group`: the smallest
-- number of a total in its group. Totals are in one group if a non-additive meter counts them together because they
-- share a price (`aggregation_groups`); every other total is a group of its own.
create or replace temp table totals as
with used as (
    select distinct organization_id, meter, dimensions, aggregation, time_unit
    from accepted_usage
    where meter not in (select key from added_up_meters)
    union
    select organization_id, meter, dimensions, 'time_weighted', time_unit from level_readings where not is_event
)

select
    numbered.*, billed_organizations.segmentation,
    min(total) over (
        partition by numbered.organization_id, numbered.meter, coalesce(aggregation_groups.aggregation_group, -total)
    ) as aggregation_group
from (
    select row_number() over () as total, * from used
) as numbered
join billed_organizations on billed_organizations.id = numbered.organization_id
left join aggregation_groups
    on aggregation_groups.organization_id = numbered.organization_id and aggregation_groups.meter = numbered.meter
    and aggregation_groups.dimensions = numbered.dimensions;
