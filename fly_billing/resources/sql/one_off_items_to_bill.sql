-- One row per one-off item that belongs on this month's invoice: those of the month itself, and earlier ones whose own
-- month will not bill them any more: it is finalized, or it lies before the organization was created, or it has no
-- invoice and lies so far back that no schedule will make one. Left out: what another invoice has already; so an item
-- is billed once.
select o.organization_id, o.id, o.description, o.amount, o.currency
from one_off_items as o
join organizations on organizations.id = o.organization_id
left join invoice_items on invoice_items.one_off_item_id = o.id
left join invoices as holder on holder.id = invoice_items.invoice_id
where o.organization_id = any (:organizations)
    and o.occurred_at < :month_end
    and (holder.id is null or (holder.month = :month and holder.status = 'open'))
    and (
        o.occurred_at >= :month_start
        or o.occurred_at < date_trunc('month', organizations.created_at, 'UTC')
        or (
            o.occurred_at < cast(:month_start as timestamptz) - interval '3 months'
            and not exists (
                select from invoices as own
                where own.organization_id = o.organization_id
                    and own.month = cast(date_trunc('month', o.occurred_at, 'UTC') at time zone 'UTC' as date)
            )
        )
        or exists (
            select from invoices as own
            where own.organization_id = o.organization_id
                and own.month = cast(date_trunc('month', o.occurred_at, 'UTC') at time zone 'UTC' as date)
                and own.status <> 'open'
        )
    )
order by o.organization_id, o.occurred_at, o.id
