-- name: owed_and_asked
-- One row per organization and currency with entries in the ledger or amounts at Stripe. receivable, balance: in the
-- ledger. waiting: of final invoices that are not in Stripe yet. asked: what remains of our open invoices in Stripe.
-- balance_there: the customer balance in Stripe; null if no change of it was ever read. billed_in: the currency of the
-- organization's next invoices, which can't use a balance in another one. used_elsewhere: the part of the
-- balance that invoices used which are not ours. unread: what our invoices changed the balance by, without the changes
-- that were read. lost: the balance that
-- was deleted with the customer and not given again; below zero is credit.
with ledger as (
    select
        organization_id, currency,
        coalesce(sum(amount_cents) filter (where account = 'receivable'), 0) as receivable,
        coalesce(sum(amount_cents) filter (where account = 'stripe_balance'), 0) as balance,
        sum(amount_cents) as trial
    from ledger_entries
    group by organization_id, currency
),

waiting as (
    select i.organization_id, i.currency, sum(i.total_cents) as cents
    from invoices as i
    left join stripe_invoices as s on s.invoice_id = i.id
    where i.status = 'finalized' and i.total_cents <> 0 and coalesce(s.state, 'pending') <> 'finalized'
    group by i.organization_id, i.currency
),

newest as (
    select distinct on (stripe_invoice_id) stripe_invoice_id, organization_id, currency, status, remaining_cents
    from stripe_invoice_amounts
    order by stripe_invoice_id, number desc
),

asked as (
    select n.organization_id, n.currency, sum(n.remaining_cents) as cents
    from newest as n
    join stripe_invoices as s on s.stripe_invoice_id = n.stripe_invoice_id
    where n.status = 'open'
    group by n.organization_id, n.currency
),

balances as (
    select distinct on (organization_id, currency) organization_id, currency, balance_cents
    from stripe_money
    where kind = 'customer_balance_transaction'
    order by organization_id, currency, id desc
),

used_elsewhere as (
    select m.organization_id, m.currency, sum(m.amount_cents) as cents
    from stripe_money as m
    where m.kind = 'customer_balance_transaction' and m.stripe_invoice_id is not null
        and m.status in ('applied_to_invoice', 'unapplied_from_invoice', 'invoice_too_small', 'invoice_too_large')
        and not exists (select from stripe_invoices as s where s.stripe_invoice_id = m.stripe_invoice_id)
        and not exists (
            select from stripe_invoice_amounts as a
            where a.stripe_invoice_id = m.stripe_invoice_id and a.invoice_id is not null
        )
    group by m.organization_id, m.currency
),

unread as (
    select i.organization_id, i.currency, sum(i.total_cents - s.stripe_due_cents - used.cents) as cents
    from invoices as i
    join stripe_invoices as s on s.invoice_id = i.id
    cross join lateral (
        select coalesce(sum(m.amount_cents), 0) as cents
        from stripe_money as m
        where m.invoice_id = i.id and m.stripe_invoice_id = s.stripe_invoice_id
            and m.kind = 'customer_balance_transaction'
            and m.status in ('applied_to_invoice', 'invoice_too_small', 'invoice_too_large')
    ) as used
    where i.origin = 'billed' and i.status <> 'void' and s.stripe_due_cents is not null
    group by i.organization_id, i.currency
),

keys as (
    select organization_id, currency from ledger
    union
    select organization_id, currency from asked
    union
    select organization_id, currency from balances
)

select
    k.organization_id, k.currency, cast(coalesce(l.receivable, 0) as bigint) as receivable,
    cast(coalesce(l.balance, 0) as bigint) as balance, cast(coalesce(l.trial, 0) as bigint) as trial,
    cast(coalesce(w.cents, 0) as bigint) as waiting, cast(coalesce(a.cents, 0) as bigint) as asked,
    b.balance_cents as balance_there,
    (select o.currency from organizations as o where o.id = k.organization_id) as billed_in,
    cast(coalesce(u.cents, 0) as bigint) as used_elsewhere,
    cast(coalesce(n.cents, 0) as bigint) as unread, coalesce(x.cents, 0) as lost
from keys as k
left join ledger as l using (organization_id, currency)
left join waiting as w using (organization_id, currency)
left join asked as a using (organization_id, currency)
left join balances as b using (organization_id, currency)
left join used_elsewhere as u using (organization_id, currency)
left join unread as n using (organization_id, currency)
left join lost_balances as x using (organization_id, currency)
order by k.organization_id, k.currency;

-- name: invoices_that_differ_at_stripe
-- One row per invoice whose status or remaining amount differs between Stripe, as last read, and here; and per open
-- invoice in Stripe that is not ours (month and status are null). here, there: the amounts asked for.
with newest as (
    select distinct on (stripe_invoice_id)
        stripe_invoice_id, organization_id, currency, status, remaining_cents, invoice_id
    from stripe_invoice_amounts
    order by stripe_invoice_id, number desc
),

both_sides as (
    select
        n.organization_id, n.currency, n.stripe_invoice_id, i.month, i.status, n.status as status_there,
        case when n.status = 'open' then n.remaining_cents else 0 end as there,
        case when i.status = 'finalized' then s.stripe_due_cents - noted.cents - part_paid_of_invoice(i.id) else 0 end
            as here
    from newest as n
    join stripe_invoices as s on s.stripe_invoice_id = n.stripe_invoice_id
    join invoices as i on i.id = s.invoice_id
    cross join lateral (
        select coalesce(sum(m.unpaid_cents), 0) as cents
        from stripe_money as m
        where m.invoice_id = i.id and m.stripe_invoice_id = s.stripe_invoice_id
            and m.kind = 'credit_note' and m.status = 'issued'
            and not exists (select from stripe_money as o where o.object_id = m.object_id and o.number > m.number)
    ) as noted
    where s.stripe_due_cents is not null and i.origin = 'billed'
)

select
    organization_id, currency, stripe_invoice_id, month, status, status_there, cast(here as bigint) as here,
    cast(there as bigint) as there
from both_sides
where
    here <> there
    or status_there <> case status when 'finalized' then 'open' else status end
    and not (status = 'finalized' and status_there = 'paid' and here = 0)
union all
select n.organization_id, n.currency, n.stripe_invoice_id, null, null, n.status, 0, n.remaining_cents
from newest as n
where n.status = 'open' and n.remaining_cents > 0 and n.invoice_id is null
    and not exists (select from stripe_invoices as s where s.stripe_invoice_id = n.stripe_invoice_id)
order by organization_id, currency, month, stripe_invoice_id;
