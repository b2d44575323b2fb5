-- Views for finance, with the same amounts as invoices and statements. docs/finance.md explains them.
-- Columns named *_cents are in the currency's minor unit (ISO 4217); other amounts are exact, in its major unit.

-- A program that reads the views can choose the moment, so that a report does not depend on when it is written.
create function finance_as_of() returns timestamptz language sql stable as $$
    select coalesce(cast(nullif(current_setting('fly_billing.as_of', true), '') as timestamptz), now())
$$;
comment on function finance_as_of() is
'The moment that the views of finance show: the setting fly_billing.as_of of the transaction, or else now.';

create function receivable_age(days_overdue integer) returns text language sql immutable as $$
    select case
        when days_overdue <= 0 then 'current'
        when days_overdue <= 30 then '1-30'
        when days_overdue <= 60 then '31-60'
        when days_overdue <= 90 then '61-90'
        else 'over 90'
    end
$$;
comment on function receivable_age(integer) is 'Returns the age group of an amount that is overdue by this many days.';

-- A credit that pays after tax is the customer's own money, so it reduces no revenue.
create view finance_invoice_items as
select
    i.month, i.currency, i.organization_id as payer_id, i.id as invoice_id, t.id as item_id, t.organization_id, t.kind,
    t.product, t.meter, t.price_key, t.amount_cents,
    case when t.kind = 'tax' then 'tax' when g.pays = 'gross' then 'prepaid' else 'revenue' end as part
from invoices as i
join invoice_items as t on t.invoice_id = i.id
left join adjustments as a on a.id = t.adjustment_id
left join credit_grants as g on g.id = coalesce(t.credit_grant_id, a.credit_grant_id)
where i.status not in ('open', 'void');

create view finance_invoices as
select
    i.month, i.currency, i.organization_id, i.id as invoice_id, i.number, i.status, i.finalized_at, i.due_on, i.paid_at,
    coalesce(items.revenue, 0) - coalesce(taxes.contained, 0) as revenue_cents,
    coalesce(taxes.tax, 0) as tax_cents,
    coalesce(items.prepaid, 0) as prepaid_cents,
    i.total_cents
from invoices as i
left join lateral (
    select
        cast(sum(t.amount_cents) filter (where t.part = 'revenue') as bigint) as revenue,
        cast(sum(t.amount_cents) filter (where t.part = 'prepaid') as bigint) as prepaid
    from finance_invoice_items as t
    where t.invoice_id = i.id
) as items on true
left join lateral (
    select
        cast(sum(x.tax_cents) as bigint) as tax,
        cast(sum(x.tax_cents) filter (where x.is_inclusive) as bigint) as contained
    from invoice_taxes as x
    where x.invoice_id = i.id
) as taxes on true
where i.status not in ('open', 'void');

create view finance_months as
select
    f.month, f.currency, count(*) as invoices,
    cast(sum(f.revenue_cents) as bigint) as revenue_cents,
    cast(sum(f.tax_cents) as bigint) as tax_cents,
    cast(sum(f.prepaid_cents) as bigint) as prepaid_cents,
    cast(sum(f.total_cents) as bigint) as total_cents,
    cast(coalesce(sum(f.total_cents) filter (where f.status = 'paid'), 0) as bigint) as paid_cents,
    cast(coalesce(sum(f.total_cents) filter (where f.status = 'uncollectible'), 0) as bigint) as written_off_cents
from finance_invoices as f
group by f.month, f.currency;

-- The cents of a usage item are split over its regions in proportion to usage. Each region gets the whole cents of its
-- share, and the largest remainders get the cents that are left, so that the regions add up to the item.
create view finance_revenue as
with used as (
    select t.month, t.item_id, r.dimensions ->> 'region' as region, sum(r.quantity) as quantity
    from finance_invoice_items as t
    join invoice_item_rollups as l on l.invoice_id = t.invoice_id and l.item_id = t.item_id
    join usage_rollups as r on r.id = l.rollup_id
    where t.part = 'revenue'
    group by t.month, t.item_id, r.dimensions ->> 'region'
),

weights as (
    select
        used.*,
        sum(quantity) over (partition by month, item_id) as total,
        min(quantity) over (partition by month, item_id) as least
    from used
),

shares as (
    select
        t.*, w.region, w.total,
        case when w.total is null then abs(t.amount_cents) else div(abs(t.amount_cents) * w.quantity, w.total) end as whole,
        mod(abs(t.amount_cents) * w.quantity, w.total) as remainder
    from finance_invoice_items as t
    left join weights as w
        on w.month = t.month and w.item_id = t.item_id and w.total > 0 and w.least >= 0 and w.quantity > 0
    where t.part = 'revenue'
),

ranked as (
    select
        shares.*,
        abs(amount_cents) - sum(whole) over (partition by month, item_id) as left_over,
        row_number() over (partition by month, item_id order by remainder desc nulls last, region nulls last) as rank
    from shares
),

parts as (
    select
        month, currency, organization_id, payer_id, kind, product, meter, price_key, region,
        sign(amount_cents) * (whole + case when rank <= left_over then 1 else 0 end) as amount_cents
    from ranked
    union all
    select
        i.month, i.currency, i.organization_id, i.organization_id, 'contained_tax', 'Taxes contained in prices', null,
        null, null, -x.tax_cents
    from invoices as i
    join invoice_taxes as x on x.invoice_id = i.id
    where x.is_inclusive and i.status not in ('open', 'void')
)

select
    month, currency, organization_id, payer_id, kind, product, meter, price_key, region,
    cast(sum(amount_cents) as bigint) as revenue_cents
from parts
group by month, currency, organization_id, payer_id, kind, product, meter, price_key, region;

create view finance_taxes as
select
    i.month, i.currency, i.organization_id, x.name, x.percent, x.is_inclusive, x.category, x.legal_text,
    cast(sum(x.taxable_cents) as bigint) as taxable_cents,
    cast(sum(x.tax_cents) as bigint) as tax_cents
from invoices as i
join invoice_taxes as x on x.invoice_id = i.id
where i.status not in ('open', 'void')
group by
    i.month, i.currency, i.organization_id, x.name, x.percent, x.is_inclusive, x.category, x.legal_text;

-- Stripe applies a customer's balance to the next invoices. `balance` is the one after the newest invoice there. An
-- invoice that is not there yet will ask for its total plus the balance, and never for less than 0: the rest is carried
-- on. With the running totals p1, p2, ... of these invoices, the lowest of (balance, -p1, ..., -pn) falls by the amount
-- that invoice n asks for. A test compares the result with `statements.rules.balance`.
create view finance_receivables as
with in_stripe as (
    select
        i.id, i.organization_id, i.currency, i.month, s.stripe_due_cents as due_cents, s.stripe_balance_cents as balance,
        s.finalized_at
    from invoices as i
    join stripe_invoices as s on s.invoice_id = i.id
    where i.total_cents <> 0 and s.stripe_due_cents is not null and s.finalized_at is not null
),

balances as (
    select distinct on (organization_id, currency) organization_id, currency, balance
    from in_stripe
    order by organization_id, currency, finalized_at desc, month
),

waiting as (
    select
        i.id, i.organization_id, i.currency, i.month,
        sum(i.total_cents) over (partition by i.organization_id, i.currency order by i.month) as running
    from invoices as i
    where i.status = 'finalized' and i.total_cents <> 0 and not exists (select from in_stripe as s where s.id = i.id)
),

lowest as (
    select
        w.id,
        least(coalesce(b.balance, 0), min(-w.running) over (
            partition by w.organization_id, w.currency order by w.month rows between unbounded preceding and 1 preceding
        )) as before_it,
        least(coalesce(b.balance, 0), min(-w.running) over (
            partition by w.organization_id, w.currency order by w.month
        )) as with_it
    from waiting as w
    left join balances as b on b.organization_id = w.organization_id and b.currency = w.currency
),

asked as (
    select id, due_cents, true as is_in_stripe from in_stripe
    union all
    select id, before_it - with_it, false from lowest
),

overdue as (
    select
        i.organization_id, i.currency, i.id as invoice_id, i.number, i.month, i.due_on, a.is_in_stripe, i.total_cents,
        cast(a.due_cents as bigint) as due_cents,
        greatest(0, cast(finance_as_of() at time zone 'UTC' as date) - i.due_on) as days_overdue
    from asked as a
    join invoices as i on i.id = a.id
    where i.status = 'finalized' and a.due_cents <> 0
)

select overdue.*, receivable_age(days_overdue) as age
from overdue;

create view finance_credits as
with moved as (
    select grant_id, sum(amount) as balance, -sum(amount) filter (where kind <> 'granted') as used
    from credit_entries
    group by grant_id
),

pending as (
    select t.credit_grant_id as grant_id, -sum(t.amount) as pending
    from invoice_items as t
    join invoices as i on i.id = t.invoice_id
    where i.status = 'open' and t.credit_grant_id is not null
    group by t.credit_grant_id
),

balances as (
    select
        g.*, coalesce(m.used, 0) as used, coalesce(p.pending, 0) as pending, m.balance - coalesce(p.pending, 0) as rest,
        coalesce(g.expires_at <= finance_as_of(), false) as is_over
    from credit_grants as g
    join moved as m on m.grant_id = g.id
    left join pending as p on p.grant_id = g.id
)

select
    organization_id, currency, id as credit_id, description, pays, granted_at, expires_at,
    case
        when granted_at > finance_as_of() then 'upcoming'
        when rest <= 0 then 'used up'
        when is_over then 'expired'
        else 'active'
    end as state,
    amount as granted, used, pending,
    case when is_over then rest else 0 end as expired,
    case when is_over then 0 else rest end as remaining
from balances;

create view finance_credit_movements as
select
    month_of(c.granted_at) as month, c.currency, c.organization_id, c.credit_id, c.description, c.pays,
    'granted' as movement, c.granted as amount
from finance_credits as c
where c.state <> 'upcoming'
union all
select
    i.month, g.currency, g.organization_id, g.id, g.description, g.pays, 'used', -sum(e.amount)
from credit_entries as e
join credit_grants as g on g.id = e.grant_id
join invoices as i on i.id = e.invoice_id
group by i.month, g.id
having sum(e.amount) <> 0
union all
select
    month_of(c.expires_at - interval '1 microsecond'), c.currency, c.organization_id, c.credit_id, c.description,
    c.pays, 'expired', c.expired
from finance_credits as c
where c.expired <> 0;

create view finance_history as
with changed_invoices as (
    select
        c.changed_at as happened_at, c.changed_by as person,
        case c.to_status
            when 'finalized' then 'finalized'
            when 'void' then 'voided'
            when 'uncollectible' then 'wrote off'
            else c.to_status
        end as action,
        i.organization_id, i.month as first_month, i.month as last_month, i.id as invoice_id, i.currency,
        i.total_cents as amount_cents, cast(null as numeric) as amount,
        'invoice ' || i.number || case when i.revision > 0 then ' (revision ' || i.revision || ')' else '' end as subject,
        c.why as reason
    from invoice_changes as c
    join invoices as i on i.id = c.invoice_id
    where c.to_status <> 'open'
),

booked_adjustments as (
    select
        a.made_at, a.made_by, 'rebilled', a.payer_id, i.month, i.month, i.id, i.currency, cast(null as bigint),
        sum(a.amount),
        'invoice ' || i.number || ': ' || count(*) || case when count(*) = 1 then ' adjustment' else ' adjustments' end
        || case when a.credit_note_id is null then ' on the next invoice' else ' as a credit note' end,
        a.why
    from adjustments as a
    join invoices as i on i.id = a.invoice_id
    group by a.made_at, a.made_by, a.payer_id, i.id, a.credit_note_id, a.why
),

booked_credit_notes as (
    select
        n.made_at, n.made_by, 'credited', i.organization_id, i.month, i.month, i.id, i.currency, n.amount_cents,
        cast(null as numeric), 'credit note ' || n.number || ' of invoice ' || i.number, n.why
    from credit_notes as n
    join invoices as i on i.id = n.invoice_id
),

approved_totals as (
    select
        p.approved_at, p.approved_by, 'approved', cast(null as text), p.month, p.month, cast(null as uuid), p.currency,
        p.total_cents, cast(null as numeric), 'sync of the month''s total', cast(null as text)
    from sync_approvals as p
),

approved_corrections as (
    select
        p.approved_at, p.approved_by, 'approved', p.organization_id, p.month, p.month, cast(null as uuid), p.currency,
        cast(null as bigint), -p.total, 'corrections of final invoices', p.why
    from correction_approvals as p
),

decided_corrections as (
    select
        d.decided_at, d.decided_by, d.decision, d.organization_id, d.month, d.month, d.invoice_id, d.currency,
        cast(null as bigint), d.charges - d.gives_back, 'correction of invoice ' || i.number, d.reason
    from correction_decisions as d
    join invoices as i on i.id = d.invoice_id
),

changed_terms as (
    select
        c.changed_at, c.changed_by, 'changed', c.organization_id, c.first_month, c.last_month, cast(null as uuid),
        cast(null as text), cast(null as bigint), cast(null as numeric),
        c.what || case when c.book is null then '' else ' (price book ' || c.book || ')' end, cast(null as text)
    from term_changes as c
),

kept_terms as (
    select
        d.decided_at, d.decided_by, 'kept', i.organization_id, i.month, i.month, i.id, i.currency, i.total_cents,
        cast(null as numeric), 'invoice ' || i.number || ' although terms changed', d.why
    from term_decisions as d
    join invoices as i on i.id = d.invoice_id
),

waived_rows as (
    select
        w.waived_at, w.waived_by, r.organization_id,
        month_of(coalesce(r.happened_at, w.landing_day at time zone 'UTC')) as month,
        count(*) || case when count(*) = 1 then ' rejected row of ' else ' rejected rows of ' end
        || w.landing_day || ': ' || w.reason as subject,
        w.because
    from rejected_usage_waivers as w
    left join rejected_usage as r
        on r.landing_day = w.landing_day and r.path = w.path and r.line = w.line and r.reason = w.reason
    group by w.waived_at, w.waived_by, r.organization_id, 4, w.landing_day, w.reason, w.because
)

select * from changed_invoices
union all
select * from booked_adjustments
union all
select * from booked_credit_notes
union all
select * from approved_totals
union all
select * from approved_corrections
union all
select * from decided_corrections
union all
select * from changed_terms
union all
select * from kept_terms
union all
select
    waived_at, waived_by, 'waived', organization_id, month, month, cast(null as uuid), cast(null as text),
    cast(null as bigint), cast(null as numeric), subject, because
from waived_rows;

-- Comments
comment on view finance_invoice_items is
'One row per item of each final invoice that is not void, with the part of the total that it belongs to.';
comment on column finance_invoice_items.month is 'The first day of the month that the invoice bills.';
comment on column finance_invoice_items.currency is 'ISO 4217.';
comment on column finance_invoice_items.payer_id is 'The organization that pays the invoice.';
comment on column finance_invoice_items.invoice_id is 'invoices.id.';
comment on column finance_invoice_items.item_id is 'invoice_items.id.';
comment on column finance_invoice_items.organization_id is 'The organization that used or bought it.';
comment on column finance_invoice_items.kind is 'invoice_items.kind.';
comment on column finance_invoice_items.product is 'The product on the invoice.';
comment on column finance_invoice_items.meter is 'The meter of usage; null: not usage.';
comment on column finance_invoice_items.price_key is 'The key of the price; null: no price.';
comment on column finance_invoice_items.amount_cents is
'The item''s share of the total, in the currency''s minor unit.';
comment on column finance_invoice_items.part is
'revenue: before tax; tax: a tax added to the prices; prepaid: paid from credit after tax, or given back to it.';
comment on view finance_invoices is
'One row per final invoice that is not void: how its total splits into revenue, tax and prepaid credit.';
comment on column finance_invoices.month is 'The first day of the month that the invoice bills.';
comment on column finance_invoices.currency is 'ISO 4217.';
comment on column finance_invoices.organization_id is 'The organization that pays the invoice.';
comment on column finance_invoices.invoice_id is 'invoices.id.';
comment on column finance_invoices.number is 'The invoice''s number, consecutive per organization.';
comment on column finance_invoices.status is 'finalized (not paid), paid or uncollectible (written off).';
comment on column finance_invoices.finalized_at is 'When it became final.';
comment on column finance_invoices.due_on is 'The day by which it must be paid.';
comment on column finance_invoices.paid_at is 'When it was paid; null: not paid.';
comment on column finance_invoices.revenue_cents is
'Items before tax, after discounts and credits that pay before tax.';
comment on column finance_invoices.tax_cents is 'All taxes, added to the prices and contained in them.';
comment on column finance_invoices.prepaid_cents is
'Negative: paid from credit after tax (prepaid money, deposits). Positive: given back to it.';
comment on column finance_invoices.total_cents is 'The invoice''s total: revenue_cents + tax_cents + prepaid_cents.';
comment on view finance_months is 'One row per month and currency with final invoices that are not void.';
comment on column finance_months.month is 'The first day of the month that the invoice bills.';
comment on column finance_months.currency is 'ISO 4217.';
comment on column finance_months.invoices is 'The number of invoices.';
comment on column finance_months.revenue_cents is
'The sum of finance_invoices.revenue_cents, and of finance_revenue.revenue_cents.';
comment on column finance_months.tax_cents is 'The sum of finance_invoices.tax_cents, and of finance_taxes.tax_cents.';
comment on column finance_months.prepaid_cents is 'The sum of finance_invoices.prepaid_cents.';
comment on column finance_months.total_cents is 'The sum of the totals: revenue_cents + tax_cents + prepaid_cents.';
comment on column finance_months.paid_cents is 'The totals of paid invoices.';
comment on column finance_months.written_off_cents is 'The totals of uncollectible invoices.';
comment on view finance_revenue is
'Revenue of final invoices that are not void, one row per month, currency, organization, product, price and '
'region. The rows of a month add up to its revenue, to the cent.';
comment on column finance_revenue.month is 'The first day of the month that the invoice bills.';
comment on column finance_revenue.currency is 'ISO 4217.';
comment on column finance_revenue.organization_id is 'The organization that used or bought it.';
comment on column finance_revenue.payer_id is 'The organization that pays the invoice.';
comment on column finance_revenue.kind is
'invoice_items.kind, or contained_tax: the taxes that the prices of the other rows contain, deducted.';
comment on column finance_revenue.product is 'The product on the invoice.';
comment on column finance_revenue.meter is 'The meter of usage; null: not usage.';
comment on column finance_revenue.price_key is 'The key of the price; null: no price.';
comment on column finance_revenue.region is 'The dimension region of the usage; null: no region, or no usage.';
comment on column finance_revenue.revenue_cents is
'The amount before tax, in the currency''s minor unit. Negative: discounts, credits, refunds.';
comment on view finance_taxes is
'Taxes of final invoices that are not void, one row per month, currency, organization and tax rate.';
comment on column finance_taxes.month is 'The first day of the month that the invoice bills.';
comment on column finance_taxes.currency is 'ISO 4217.';
comment on column finance_taxes.organization_id is 'The organization that pays the invoice.';
comment on column finance_taxes.name is 'The tax''s name on the invoice.';
comment on column finance_taxes.percent is 'The rate.';
comment on column finance_taxes.is_inclusive is 'True if the prices contain the tax, false if it is added.';
comment on column finance_taxes.category is 'standard, or the reason for a special rate.';
comment on column finance_taxes.legal_text is 'The text that the law demands on the invoice.';
comment on column finance_taxes.taxable_cents is 'The amount that was taxed, without the tax.';
comment on column finance_taxes.tax_cents is 'The tax, in the currency''s minor unit.';
comment on view finance_receivables is
'One row per final invoice that is not paid and asks for money: the amount, and how long it is overdue. Written-'
'off invoices are left out. The amounts of an organization add up to what its statement says it owes.';
comment on column finance_receivables.organization_id is 'The organization that pays the invoice.';
comment on column finance_receivables.currency is 'ISO 4217.';
comment on column finance_receivables.invoice_id is 'invoices.id.';
comment on column finance_receivables.number is 'The invoice''s number, consecutive per organization.';
comment on column finance_receivables.month is 'The first day of the month that the invoice bills.';
comment on column finance_receivables.due_on is 'The day by which it must be paid.';
comment on column finance_receivables.is_in_stripe is
'True if Stripe finalized it; false: due_cents is what Stripe will ask for.';
comment on column finance_receivables.total_cents is 'The invoice''s total.';
comment on column finance_receivables.due_cents is
'What Stripe asks for: the total with the customer''s balance there (credit, or amounts carried over).';
comment on column finance_receivables.days_overdue is 'Days since due_on, at finance_as_of(); 0: not overdue.';
comment on column finance_receivables.age is 'By days_overdue: current, 1-30, 31-60, 61-90, over 90.';
comment on view finance_credits is
'One row per credit: granted = used + pending + expired + remaining. Exact amounts in the currency''s major unit.';
comment on column finance_credits.organization_id is 'The organization that has the credit.';
comment on column finance_credits.currency is 'ISO 4217.';
comment on column finance_credits.credit_id is 'credit_grants.id.';
comment on column finance_credits.description is 'The credit''s name on invoices.';
comment on column finance_credits.pays is 'net: before tax; gross: after tax.';
comment on column finance_credits.granted_at is 'The time from which it can be used.';
comment on column finance_credits.expires_at is 'Null: it does not expire.';
comment on column finance_credits.state is 'upcoming, active, used up or expired, at finance_as_of().';
comment on column finance_credits.granted is 'The amount granted.';
comment on column finance_credits.used is 'What final invoices drew, less what was given back or returned.';
comment on column finance_credits.pending is 'What open invoices would draw.';
comment on column finance_credits.expired is 'What was left when it expired.';
comment on column finance_credits.remaining is
'What is left; negative if an invoice that had given credit back became void.';
comment on view finance_credit_movements is
'One row per credit and month in which it was granted, used or expired. Exact amounts in the currency''s major '
'unit.';
comment on column finance_credit_movements.month is
'granted: the month of granted_at; used: the month of the invoice; expired: the last month in which it could be '
'used.';
comment on column finance_credit_movements.currency is 'ISO 4217.';
comment on column finance_credit_movements.organization_id is 'The organization that has the credit.';
comment on column finance_credit_movements.credit_id is 'credit_grants.id.';
comment on column finance_credit_movements.description is 'The credit''s name on invoices.';
comment on column finance_credit_movements.pays is 'net: before tax; gross: after tax.';
comment on column finance_credit_movements.movement is 'granted, used or expired.';
comment on column finance_credit_movements.amount is
'Positive; used: less what was given back or returned, so it can be negative.';
comment on view finance_history is
'Who changed, approved, voided, waived, kept or rebilled what, and why: one row per act.';
comment on column finance_history.happened_at is 'When.';
comment on column finance_history.person is 'The person or program that did it, as recorded.';
comment on column finance_history.action is
'finalized, paid, voided, wrote off, rebilled, credited, approved, held, released, booked, changed, kept or '
'waived.';
comment on column finance_history.organization_id is
'The organization that pays the invoice, or whose term or usage it is; null: a whole month or price book.';
comment on column finance_history.first_month is 'The first month that it is about.';
comment on column finance_history.last_month is 'The last month that it is about; null: no end.';
comment on column finance_history.invoice_id is 'invoices.id; null: no single invoice.';
comment on column finance_history.currency is 'ISO 4217; null: no amount.';
comment on column finance_history.amount_cents is 'The amount in the currency''s minor unit; null: none, or in amount.';
comment on column finance_history.amount is
'The exact amount in the currency''s major unit; null: none, or in amount_cents.';
comment on column finance_history.subject is 'What it was done to.';
comment on column finance_history.reason is 'The reason that was given; null: none.';
