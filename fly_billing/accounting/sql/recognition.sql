-- name: revenue_sources
-- One row per change by which an invoice with something to supply after its month became final or void, of the invoices
-- of :month or of all. posted: its accounting month. only_missing: leave out those whose deferrals are stored.
with changed as (
    select
        c.id as invoice_change_id, i.id as invoice_id, i.organization_id, i.currency, i.month,
        c.to_status = 'void' as is_void, c.changed_at
    from invoices as i
    join invoice_changes as c on c.invoice_id = i.id and c.to_status in ('finalized', 'void')
    where (cast(:month as date) is null or i.month = :month)
        and exists (
            select
            from invoice_items as t
            left join one_off_items as o on o.id = t.one_off_item_id
            where t.invoice_id = i.id and (
                greatest(t.period_end, t.interval_end)
                    > cast(i.month + interval '1 month' as timestamp) at time zone 'UTC'
                or exists (
                    select from credit_grants as g
                    where g.organization_id = o.organization_id and g.description = o.description
                        and g.currency = o.currency
                )
            )
        )
)

select
    c.invoice_change_id, c.invoice_id, c.organization_id, c.currency, c.month, c.is_void,
    greatest(
        coalesce(
            (
                select accounting_month(t.month, t.id)
                from ledger_transactions as t
                where t.invoice_change_id = c.invoice_change_id
            ),
            (select min(d.month) from revenue_deferrals as d where d.invoice_change_id = c.invoice_change_id),
            case when c.is_void then month_of(c.changed_at) else c.month end
        ),
        case when :only_missing then (
            select cast(max(p.month) + interval '1 month' as date) from accounting_periods as p
        ) end
    ) as posted,
    (
        select cast(coalesce(sum(x.tax_cents), 0) as bigint)
        from invoice_taxes as x
        where x.invoice_id = c.invoice_id and x.is_inclusive
    ) as contained_tax_cents
from changed as c
where not :only_missing
    or not exists (select from revenue_deferrals as d where d.invoice_change_id = c.invoice_change_id)
order by c.organization_id, c.invoice_change_id;

-- name: revenue_items
-- One row per item of these invoices. occurred_at and credits: of a one-off item, and the credits of its organization with
-- its description, which it may have been sold with as a reservation.
select
    t.invoice_id, t.id, t.kind, t.amount, t.amount_cents, t.detail, t.period_start, t.period_end, t.interval_start,
    t.interval_end, t.one_off_item_id, o.occurred_at,
    case when o.id is not null then array(
        select g.id
        from credit_grants as g
        where g.organization_id = o.organization_id and g.description = o.description and g.currency = o.currency
    ) else '{}' end as credits,
    coalesce(is_customers_money(coalesce(t.credit_grant_id, a.credit_grant_id)), false) as is_payment
from invoice_items as t
left join one_off_items as o on o.id = t.one_off_item_id
left join adjustments as a on a.id = t.adjustment_id
where t.invoice_id = any (:invoices)
order by t.invoice_id, t.position;

-- name: stored_deferrals
-- One row per stored month of the changes of the month's invoices.
select d.invoice_change_id, d.organization_id, d.currency, d.month, d.amount_cents
from invoices as i
join invoice_changes as c on c.invoice_id = i.id
join revenue_deferrals as d on d.invoice_change_id = c.id
where i.month = :month
order by d.organization_id, d.invoice_change_id, d.month;

-- name: recognized_revenue
-- One row per organization and currency that was billed revenue up to the end of :month, with its sums until then. billed:
-- what the ledger has as revenue and breakage. deferred: recognized in later months.
with journal as (
    select
        j.organization_id, j.currency,
        -sum(j.amount_cents) filter (where j.event not in ('revenue_deferred', 'revenue_recognized')) as billed,
        -sum(j.amount_cents) filter (where j.account = 'revenue') as recognized,
        -sum(j.amount_cents) filter (where j.account = 'breakage') as breakage
    from finance_journal as j
    where j.month <= :month and j.account in ('revenue', 'breakage')
    group by j.organization_id, j.currency
),

later as (
    select organization_id, currency, sum(amount_cents) as deferred
    from revenue_deferrals
    where month > :month
    group by organization_id, currency
)

select
    organization_id, currency, cast(coalesce(j.billed, 0) as bigint) as billed_cents,
    cast(coalesce(j.recognized, 0) as bigint) as recognized_cents,
    cast(coalesce(l.deferred, 0) as bigint) as deferred_cents,
    cast(coalesce(j.breakage, 0) as bigint) as breakage_cents
from journal as j
full join later as l using (organization_id, currency)
order by organization_id, currency;

-- name: recognized_by_month
-- One row per accounting month from :first to :last and currency with revenue, newest first, of all organizations
-- together. deferred: what later months will recognize, at the end of the month.
with months as (
    select
        j.month, j.currency,
        -coalesce(sum(j.amount_cents) filter (where j.event not in ('revenue_deferred', 'revenue_recognized')), 0)
            as billed,
        -coalesce(sum(j.amount_cents) filter (where j.account = 'revenue'), 0) as recognized,
        -coalesce(sum(j.amount_cents) filter (where j.account = 'breakage'), 0) as breakage,
        coalesce(sum(j.amount_cents) filter (
            where j.account = 'revenue' and j.event in ('revenue_deferred', 'revenue_recognized')
        ), 0) as deferred
    from finance_journal as j
    where j.month <= :last and j.account in ('revenue', 'breakage')
    group by j.month, j.currency
),

running as (
    select m.*, sum(m.deferred) over (partition by m.currency order by m.month) as still_deferred
    from months as m
)

select
    month, currency, cast(billed as bigint) as billed_cents, cast(recognized as bigint) as recognized_cents,
    cast(breakage as bigint) as breakage_cents, cast(still_deferred as bigint) as deferred_cents
from running
where month >= :first
order by month desc, currency;
