-- name: revenue_sources
-- One row per change of revenue of an invoice with something to supply after its month: it became final or void, or a
-- credit note at Stripe has a new state. Of the invoices of :month or of all, in the order in which they were posted: a
-- credit note that was read after its invoice was void comes last. posted: the accounting month. only_missing: leave out
-- invoices all of whose deferrals are stored.
with later as (
    select
        i.id, i.organization_id, i.currency, i.month,
        (
            select max(t.id)
            from invoice_changes as c
            join ledger_transactions as t on t.invoice_change_id = c.id
            where c.invoice_id = i.id and c.to_status = 'void'
        ) as voided_by
    from invoices as i
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
),

changed as (
    select
        c.id as invoice_change_id, cast(null as bigint) as stripe_money_id, i.id as invoice_id, i.organization_id,
        i.currency, i.month, c.to_status = 'void' as is_void, cast(null as text) as note_id,
        cast(0 as bigint) as noted_cents, cast(null as jsonb) as credited_lines,
        case c.to_status when 'void' then 2 else 0 end as step,
        (
            select accounting_month(t.month, t.id) from ledger_transactions as t where t.invoice_change_id = c.id
        ) as booked,
        (select min(d.month) from revenue_deferrals as d where d.invoice_change_id = c.id) as stored,
        case c.to_status when 'void' then month_of(coalesce(c.happened_at, c.changed_at)) else i.month end as its_month
    from later as i
    join invoice_changes as c on c.invoice_id = i.id and c.to_status in ('finalized', 'void')
    union all
    select
        null, m.id, i.id, i.organization_id, i.currency, i.month, false, m.object_id,
        case m.status when 'issued' then m.amount_cents - coalesce(m.tax_cents, 0) else 0 end, m.credited_lines,
        case when its.last_transaction > i.voided_by then 3 else 1 end,
        its.booked,
        (select min(d.month) from revenue_deferrals as d where d.stripe_money_id = m.id),
        month_of(case m.number when 1 then m.created_at else m.read_at end)
    from later as i
    join stripe_money as m on m.invoice_id = i.id and m.kind = 'credit_note'
    cross join lateral (
        select min(accounting_month(t.month, t.id)) as booked, max(t.id) as last_transaction
        from ledger_transactions as t
        where t.stripe_money_id = m.id
    ) as its
)

select
    c.invoice_change_id, c.stripe_money_id, c.invoice_id, c.organization_id, c.currency, c.month, c.is_void, c.note_id,
    c.noted_cents, c.credited_lines, c.stored is not null as is_stored,
    case
        when c.stored is null and :only_missing then greatest(coalesce(c.booked, c.its_month), (
            select cast(max(p.month) + interval '1 month' as date) from accounting_periods as p
        ))
        when c.invoice_change_id is null then coalesce(c.stored, c.booked, c.its_month)
        else coalesce(c.booked, c.stored, c.its_month)
    end as posted,
    (
        select cast(coalesce(sum(x.tax_cents), 0) as bigint)
        from invoice_taxes as x
        where x.invoice_id = c.invoice_id and x.is_inclusive
    ) as contained_tax_cents
from changed as c
where not :only_missing
    or exists (select from changed as o where o.invoice_id = c.invoice_id and o.stored is null)
order by c.organization_id, c.invoice_id, c.step, c.stripe_money_id, c.invoice_change_id;

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
-- One row per stored month of a change of the month's invoices, or of a credit note of them at Stripe.
select d.invoice_change_id, d.stripe_money_id, d.organization_id, d.currency, d.month, d.amount_cents
from invoices as i
join invoice_changes as c on c.invoice_id = i.id
join revenue_deferrals as d on d.invoice_change_id = c.id
where i.month = :month
union all
select d.invoice_change_id, d.stripe_money_id, d.organization_id, d.currency, d.month, d.amount_cents
from invoices as i
join stripe_money as m on m.invoice_id = i.id
join revenue_deferrals as d on d.stripe_money_id = m.id
where i.month = :month;

-- name: deferrals_without_revenue
-- One row per month in which revenue of an invoice of :month counts although it is void, or credit notes at Stripe took
-- all of its revenue back, in that month or before.
with credited as (
    select i.id, i.organization_id, i.currency, last_change.month as since
    from invoices as i
    cross join lateral (
        select -sum(e.amount_cents) as cents
        from invoice_changes as c
        join ledger_transactions as t on t.invoice_change_id = c.id and t.event = 'invoice_finalized'
        join ledger_entries as e
            on e.organization_id = t.organization_id and e.currency = t.currency and e.month = t.month
            and e.transaction_id = t.id and e.account = 'revenue'
        where c.invoice_id = i.id
    ) as revenue
    cross join lateral (
        select sum(m.amount_cents - coalesce(m.tax_cents, 0)) as cents
        from stripe_money as m
        where m.invoice_id = i.id and m.kind = 'credit_note' and m.status = 'issued'
            and not exists (select from stripe_money as n where n.object_id = m.object_id and n.number > m.number)
    ) as noted
    cross join lateral (
        select greatest(
            (
                select max(greatest(month_of(c.changed_at), accounting_month(t.month, t.id)))
                from invoice_changes as c
                join ledger_transactions as t on t.invoice_change_id = c.id
                where c.invoice_id = i.id and c.to_status = 'void'
            ),
            (
                select max(greatest(
                    month_of(m.read_at),
                    (
                        select max(accounting_month(t.month, t.id))
                        from ledger_transactions as t where t.stripe_money_id = m.id
                    ),
                    (select min(d.month) from revenue_deferrals as d where d.stripe_money_id = m.id)
                ))
                from stripe_money as m
                where m.invoice_id = i.id and m.kind = 'credit_note'
            )
        ) as month
    ) as last_change
    where i.month = :month and (i.status = 'void' or revenue.cents > 0 and noted.cents >= revenue.cents)
),

moved as (
    select i.id, i.organization_id, i.currency, i.since, d.month, d.amount_cents
    from credited as i
    join invoice_changes as c on c.invoice_id = i.id
    join revenue_deferrals as d on d.invoice_change_id = c.id
    union all
    select i.id, i.organization_id, i.currency, i.since, d.month, d.amount_cents
    from credited as i
    join stripe_money as m on m.invoice_id = i.id
    join revenue_deferrals as d on d.stripe_money_id = m.id
)

select organization_id, currency, month, cast(sum(amount_cents) as bigint) as amount_cents
from moved
where month > since
group by organization_id, currency, id, month
having sum(amount_cents) <> 0
order by organization_id, currency, month;

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
