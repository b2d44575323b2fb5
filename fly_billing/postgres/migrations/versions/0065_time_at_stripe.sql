-- What happens to an invoice at Stripe counts in the month in which it happened there, and not in the one in which we read
-- it; a payment always did. The age of a receivable counts from the due date that the customer sees.

alter table invoice_changes
add column happened_at timestamptz
constraint happened_at_is_a_time check (happened_at >= '1970-01-01Z' and happened_at < '2200-01-01Z');
comment on column invoice_changes.happened_at is
'When Stripe voided or wrote off the invoice. Null: another change, or one that was recorded before this column was.';
alter table stripe_invoice_amounts
add column happened_at timestamptz
constraint happened_at_is_a_time check (happened_at >= '1970-01-01Z' and happened_at < '2200-01-01Z');
comment on column stripe_invoice_amounts.happened_at is
'When the part of a payment was made that an event made us read. Null: not known; it counts when it was read.';

create or replace function follow_invoice_change() returns trigger language plpgsql as $$
begin
    insert into invoice_changes (
        invoice_id, from_status, to_status, changed_by, why, asked_cents, noted_cents, noted_tax_cents, part_paid_cents,
        happened_at
    )
    values (
        new.id, old.status, new.status,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user),
        nullif(current_setting('fly_billing.why', true), ''),
        case when new.status in ('paid', 'uncollectible', 'void') then asked_of_invoice(new, old.status) end,
        case when new.status = 'void' then noted_of_invoice(new.id) end,
        case when new.status = 'void' then noted_tax_of_invoice(new.id) end,
        case when new.status = 'paid' then part_paid_of_invoice(new.id) end,
        case
            when new.status in ('uncollectible', 'void')
                then cast(nullif(current_setting('fly_billing.happened_at', true), '') as timestamptz)
        end
    );
    if old.status = 'open' then
        insert into credit_entries (grant_id, kind, amount, invoice_id)
        select credit_grant_id, case when amount < 0 then 'drawn' else 'given_back' end, sum(amount), new.id
        from invoice_items where invoice_id = new.id and credit_grant_id is not null
        group by 1, 2;
    end if;
    if new.status = 'void' then
        update invoice_items set is_void = true where invoice_id = new.id;
        insert into credit_entries (grant_id, kind, amount, invoice_id)
        select grant_id, 'returned', -sum(amount), new.id
        from credit_entries where invoice_id = new.id and kind in ('drawn', 'given_back')
        group by grant_id
        having sum(amount) <> 0;
    end if;
    return null;
end $$;

-- Each lateral part is looked up by the invoice's keys. Written as a join, it is compared with all invoices there are
-- where Postgres believes that there are none.
create or replace view ledger_rebuilt as
select
    c.id as invoice_change_id, cast(null as uuid) as credit_note_id, cast(null as uuid) as credit_grant_id,
    cast(null as bigint) as stripe_money_id, cast(null as bigint) as credit_expiry_id,
    cast(null as bigint) as stripe_amounts_id, i.month as source_month, i.organization_id, i.currency, moved.month,
    moved.event, entry.account, entry.amount_cents
from invoice_changes as c
join invoices as i on i.id = c.invoice_id
cross join lateral (
    select
        case c.to_status
            when 'finalized' then 'invoice_finalized'
            when 'paid' then
                case c.from_status when 'uncollectible' then 'written_off_invoice_paid' else 'invoice_paid' end
            when 'void' then
                case c.from_status when 'uncollectible' then 'written_off_invoice_voided' else 'invoice_voided' end
            when 'uncollectible' then 'invoice_written_off'
        end as event,
        case c.to_status
            when 'finalized' then i.month
            when 'paid' then month_of(i.paid_at)
            else month_of(coalesce(c.happened_at, c.changed_at))
        end as month
) as moved
cross join lateral (
    select
        coalesce(sum(t.amount_cents) filter (where t.kind = 'tax'), 0) as added_tax,
        coalesce(-sum(t.amount_cents) filter (where case
            when t.credit_grant_id is not null then is_customers_money(t.credit_grant_id)
            when t.adjustment_id is not null then is_customers_money(
                (select a.credit_grant_id from adjustments as a where a.id = t.adjustment_id)
            )
        end), 0) as credit
    from invoice_items as t
    where t.invoice_id = i.id and t.kind in ('tax', 'credit', 'adjustment') and c.to_status in ('finalized', 'void')
) as items
cross join lateral (
    select coalesce(sum(x.tax_cents), 0) as contained_tax
    from invoice_taxes as x
    where x.invoice_id = i.id and x.is_inclusive and c.to_status in ('finalized', 'void')
) as taxes
cross join lateral (
    select
        r.account,
        cast(sum(r.sign * case r.amount
            when 'total' then i.total_cents
            when 'credit' then items.credit
            when 'tax' then items.added_tax + taxes.contained_tax
            when 'revenue' then i.total_cents + items.credit - items.added_tax - taxes.contained_tax
            when 'asked' then coalesce(c.asked_cents, 0)
            when 'noted' then coalesce(c.noted_cents, 0)
            when 'noted_tax' then coalesce(c.noted_tax_cents, 0)
        end) as bigint) as amount_cents
    from ledger_rules() as r
    where r.event = moved.event
    group by r.account
) as entry
where entry.amount_cents <> 0
union all
select
    null, n.id, null, null, null, null, i.month, i.organization_id, i.currency, month_of(n.made_at),
    'credit_note_issued', entry.account, entry.amount_cents
from credit_notes as n
join invoices as i on i.id = n.invoice_id
cross join lateral (
    select coalesce(to_minor_unit(sum(a.amount), i.currency), 0) as returned
    from adjustments as a
    where a.invoice_id = n.invoice_id and a.credit_note_id = n.id and is_customers_money(a.credit_grant_id)
) as credits
cross join lateral (
    select
        r.account,
        cast(sum(r.sign * case r.amount when 'note' then n.amount_cents when 'returned' then credits.returned end) as bigint)
            as amount_cents
    from ledger_rules() as r
    where r.event = 'credit_note_issued'
    group by r.account
) as entry
where entry.amount_cents <> 0
union all
select
    null, null, g.id, null, null, null, month_of(g.granted_at), g.organization_id, g.currency, month_of(g.granted_at),
    r.event, r.account, r.sign * to_minor_unit(g.amount, g.currency)
from credit_grants as g
join ledger_rules() as r on r.event = 'prepaid_credit_granted'
where g.pays = 'gross' and to_minor_unit(g.amount, g.currency) <> 0
union all
select
    null, null, null, m.id, null, null, month_of(m.created_at), m.organization_id, m.currency,
    month_of(case m.number when 1 then m.created_at else m.read_at end), entry.event, entry.account, entry.amount_cents
from stripe_money as m
left join lateral (
    select p from stripe_money as p where p.object_id = m.object_id and p.number = m.number - 1
) as before on true
cross join lateral (
    select r.event, r.account, cast(sum(r.sign * (a.cents - coalesce(b.cents, 0))) as bigint) as amount_cents
    from ledger_amounts(m) as a
    left join ledger_amounts(before.p) as b on b.event = a.event and b.amount = a.amount
    join ledger_rules() as r on r.event = a.event and r.amount = a.amount
    group by r.event, r.account
) as entry
where entry.amount_cents <> 0
union all
select
    null, null, null, null, x.id, null, month_of(x.recorded_at), g.organization_id, g.currency, month_of(x.recorded_at),
    r.event, r.account, r.sign * (to_minor_unit(lost.by_then, g.currency) - to_minor_unit(lost.by_then - x.amount, g.currency))
from credit_expiries as x
join credit_grants as g on g.id = x.credit_grant_id
cross join lateral (
    select sum(b.amount) as by_then from credit_expiries as b where b.credit_grant_id = g.id and b.id <= x.id
) as lost
join ledger_rules() as r on r.event = 'prepaid_credit_expired'
where to_minor_unit(lost.by_then, g.currency) <> to_minor_unit(lost.by_then - x.amount, g.currency)
union all
select
    null, null, null, null, null, a.id, i.month, i.organization_id, i.currency, month_of(coalesce(a.happened_at, a.read_at)), r.event, r.account,
    r.sign * (a.paid_cents - coalesce(before.paid_cents, 0))
from stripe_invoice_amounts as a
join invoices as i on i.id = a.invoice_id
left join lateral (
    select p.paid_cents, p.status
    from stripe_invoice_amounts as p
    where p.stripe_invoice_id = a.stripe_invoice_id and p.number < a.number and p.invoice_id = a.invoice_id
        and p.status in ('open', 'uncollectible')
    order by p.number desc limit 1
) as before on true
join ledger_rules() as r
    on r.event = case
        when a.status = 'uncollectible' and before.status = 'uncollectible' then 'written_off_invoice_part_paid'
        else 'invoice_part_paid'
    end
where a.status in ('open', 'uncollectible') and a.paid_cents <> coalesce(before.paid_cents, 0)
    and not exists (
        select from invoice_changes as c
        where c.invoice_id = a.invoice_id and c.to_status = 'paid' and c.part_paid_cents is null
    );

-- The balance is the ledger's: what is owed, less what unpaid invoices ask for. Credit notes and parts that
-- are paid lower what they ask for.
create or replace view finance_receivables as
with in_stripe as (
    select
        i.id, i.organization_id, i.currency, i.status,
        s.stripe_due_cents - noted.cents
        - case i.status when 'finalized' then part_paid_of_invoice(i.id) else 0 end as due_cents
    from invoices as i
    join stripe_invoices as s on s.invoice_id = i.id
    cross join lateral (
        select coalesce(sum(m.unpaid_cents), 0) as cents
        from stripe_money as m
        where m.invoice_id = i.id and m.stripe_invoice_id = s.stripe_invoice_id
            and m.kind = 'credit_note' and m.status = 'issued'
            and not exists (select from stripe_money as n where n.object_id = m.object_id and n.number > m.number)
    ) as noted
    where i.total_cents <> 0 and s.stripe_due_cents is not null and s.finalized_at is not null
),

waiting as (
    select
        i.id, i.organization_id, i.currency, i.month, i.total_cents,
        sum(i.total_cents) over (partition by i.organization_id, i.currency order by i.month) as running
    from invoices as i
    where i.status = 'finalized' and i.total_cents <> 0 and not exists (select from in_stripe as s where s.id = i.id)
),

balances as (
    select organization_id, currency, sum(cents) as balance
    from (
        select organization_id, currency, amount_cents as cents
        from ledger_entries where account in ('receivable', 'stripe_balance')
        union all
        select organization_id, currency, -due_cents from in_stripe where status = 'finalized'
        union all
        select organization_id, currency, -total_cents from waiting
    ) as parts
    group by organization_id, currency
),

lowest as (
    select
        w.id,
        least(b.balance, min(-w.running) over (
            partition by w.organization_id, w.currency order by w.month rows between unbounded preceding and 1 preceding
        )) as before_it,
        least(b.balance, min(-w.running) over (partition by w.organization_id, w.currency order by w.month)) as with_it
    from waiting as w
    join balances as b on b.organization_id = w.organization_id and b.currency = w.currency
),

asked as (
    select id, due_cents, true as is_in_stripe from in_stripe
    union all
    select id, before_it - with_it, false from lowest
),

overdue as (
    select
        i.organization_id, i.currency, i.id as invoice_id, i.number, i.month, d.due_on, a.is_in_stripe, i.total_cents,
        cast(a.due_cents as bigint) as due_cents,
        greatest(0, cast(finance_as_of() at time zone 'UTC' as date) - d.due_on) as days_overdue
    from asked as a
    join invoices as i on i.id = a.id
    left join stripe_invoices as s on s.invoice_id = i.id
    cross join lateral (select coalesce(s.stripe_due_on, i.due_on) as due_on) as d
    where i.status = 'finalized' and a.due_cents <> 0
)

select overdue.*, receivable_age(days_overdue) as age
from overdue;
comment on column finance_receivables.due_on is 'The due date that the customer sees: Stripe''s, or else ours.';
