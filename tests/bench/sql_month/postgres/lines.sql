-- All items of the month's invoices before terms: usage, fees (prorated by the second) and one-off items.
create temp table lines on commit drop as
select
    organization_id, currency, 'usage' as kind, product, description, quantity, unit, amount, price_id,
    key as price_key, meter, null::uuid as subscription_id, null::uuid as one_off_item_id, null::uuid as discount_id,
    null::uuid as commitment_id
from usage_charges
union all
select
    s.organization_id, p.currency, 'subscription', p.product, p.description, s.quantity, p.unit,
    round(
        round(
            s.quantity * p.unit_amount * extract(epoch from least(s.ended_at, :month_end)
            - greatest(s.started_at, :month_start)), 30
        ) / extract(epoch from :month_end - :month_start), 20
    ),
    p.id, p.key, null, s.id, null, null, null
from subscriptions as s
join organizations as o on o.id = s.organization_id
join lateral (
    select *
    from prices as p
    where
        p.book = o.price_book and p.key = s.price_key and p.meter is null
        and p.effective_from <= greatest(s.started_at, :month_start)
    order by p.effective_from desc
    limit 1
) as p on true
where s.started_at < :month_end and coalesce(s.ended_at > :month_start, true)
union all
select
    organization_id, currency, 'one_off', product, description, quantity, unit, amount, null, null, null, null, id,
    null, null
from one_off_items
where occurred_at >= :month_start and occurred_at < :month_end
