-- One row per one-off item for this month's invoice: the items of the month, and earlier ones that their own month
-- can't bill, because it is final, or before the organization was created, or has no invoice and is too old for the
-- schedule. Not here: items of other invoices, so that each is billed once. Items of a void invoice stay on it, except
-- for its own reissue. Items with invalid times are included, so that billing refuses them instead of skipping them.
select
    o.organization_id, o.id, o.description, o.amount, o.currency, o.quantity, o.unit, o.unit_amount, o.product,
    o.occurred_at, o.period_start, o.period_end
from one_off_items as o
join organizations on organizations.id = o.organization_id
left join organization_links as l
    on l.organization_id = o.organization_id
    and daterange(l.first_month, l.last_month, '[]')
        @> cast(date_trunc('month', o.occurred_at, 'UTC') at time zone 'UTC' as date)
where o.organization_id = any (:organizations)
    and (o.occurred_at < :month_end or o.occurred_at = 'infinity')
    and not exists (
        select from invoice_items as t
        join invoices as holder on holder.id = t.invoice_id
        where t.one_off_item_id = o.id and not (holder.month = :month and holder.status in ('open', 'void'))
    )
    and (
        o.occurred_at >= :month_start
        or o.occurred_at < date_trunc('month', organizations.created_at, 'UTC')
        or (
            o.occurred_at < cast(:month_start as timestamptz) - interval '3 months'
            and not exists (
                select from invoices as own
                where own.organization_id = coalesce(l.payer_id, o.organization_id)
                    and own.month = cast(date_trunc('month', o.occurred_at, 'UTC') at time zone 'UTC' as date)
            )
        )
        or exists (
            select from invoices as own
            where own.organization_id = coalesce(l.payer_id, o.organization_id)
                and own.month = cast(date_trunc('month', o.occurred_at, 'UTC') at time zone 'UTC' as date)
                and own.status <> 'open'
        )
    )
order by o.organization_id, o.occurred_at, o.id
