-- What each organization used at each price version, and its charge. The versions of a price share the month: the
-- allowance, tiers and packages continue where the version before ended. All versions grant the same allowance here.
create temp table usage_charges on commit drop as
with rollups as materialized (
    select r.organization_id, o.price_book, r.meter, r.region, r.preset, r.memory, r.segment_start, r.quantity
    from sql_month.usage_rollups as r
    join organizations as o on o.id = r.organization_id
    where r.month = :month
),

used as (
    select r.organization_id, k.price_id, sum(r.quantity) as quantity
    from rollups as r
    join priced_kinds as k
        on k.book = r.price_book and k.meter = r.meter and k.region = r.region and k.preset = r.preset
        and k.memory = r.memory and k.segment_start = r.segment_start
    group by r.organization_id, k.price_id
),

in_order as (
    select
        used.*, p.key, p.product, p.description, p.unit, p.currency, p.meter, p.model, p.unit_amount, p.per, p.tiers,
        p.free_allowance,
        sum(used.quantity) over (partition by used.organization_id, p.key order by p.effective_from) as used_after
    from used
    join prices as p on p.id = used.price_id
),

billable as (
    select
        *, greatest(used_after - quantity - free_allowance, 0) as before,
        greatest(used_after - free_allowance, 0) as after
    from in_order
)

select
    organization_id, price_id, key, product, description, unit, currency, meter, quantity,
    case model
        when 'per_unit' then round(round((after - before) * unit_amount, 30) / per, 20)
        when 'package' then (ceil(after / per) - ceil(before / per)) * unit_amount
        when 'graduated' then (
            select
                sum(
                    round(
                        round(greatest(least(after, up_to) - greatest(before, lower), 0) * unit_amount, 30) / per, 20
                    )
                )
            from (
                select
                    (tier.value ->> 'up_to')::numeric as up_to, (tier.value ->> 'unit_amount')::numeric as unit_amount,
                    lag((tier.value ->> 'up_to')::numeric, 1, 0) over (order by tier.place) as lower
                from jsonb_array_elements(tiers) with ordinality as tier (value, place)
            ) as tiers
        )
    end as amount
from billable
