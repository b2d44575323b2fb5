-- Who added, changed or ended an organization or one of its terms, and why; and when an organization closed its account.

alter table organizations add column closed_at timestamptz
constraint closed_at_is_a_time check (closed_at >= '1970-01-01 00:00Z' and closed_at < '2200-01-01 00:00Z');
alter table organizations add constraint closes_after_its_creation check (closed_at >= created_at);
comment on column organizations.closed_at is
'When it closed its account: no new term begins from then on. Usage that still arrives is billed. Null: it is a customer.';

create table customer_changes (
    id bigint generated always as identity primary key,
    organization_id text references organizations (id),
    on_table text not null check (on_table <> ''),
    action text not null check (action in ('added', 'changed', 'withdrawn')),
    what text not null check (what ~ '\S' and length(what) <= 10000),
    first_month date not null
    check (extract(day from first_month) = 1 and first_month >= '1970-01-01' and first_month < '2200-01-01'),
    changed_at timestamptz not null default now()
    constraint changed_at_is_a_time check (changed_at >= '1970-01-01 00:00Z' and changed_at < '2200-01-01 00:00Z'),
    changed_by text not null check (changed_by <> ''),
    why text
);
create index customer_changes_of_organization on customer_changes (organization_id, first_month);
comment on table customer_changes is
'Every change of organizations and terms by commands and workspaces. term_changes has those that affect final invoices.';
comment on column customer_changes.organization_id is 'Null: a coupon, which is nobody''s.';
comment on column customer_changes.what is 'The record, and the fields that changed with their values before and after.';
comment on column customer_changes.first_month is 'The first month that the record is about.';

create trigger refuse_record_change before update or delete on customer_changes
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on customer_changes
for each statement execute function refuse_truncate();
alter table customer_changes enable always trigger refuse_record_change;
alter table customer_changes enable always trigger refuse_truncate;

create or replace view finance_history as
with changed_invoices as (
    select
        c.changed_at as happened_at, c.changed_by as person,
        case c.to_status
            when 'finalized' then 'finalized'
            when 'void' then 'voided'
            when 'uncollectible' then 'wrote off'
            else c.to_status
        end as action,
        coalesce(i.organization_id, c.removed_organization_id) as organization_id,
        coalesce(i.month, c.removed_month) as first_month, coalesce(i.month, c.removed_month) as last_month,
        c.invoice_id, coalesce(i.currency, c.removed_currency) as currency,
        coalesce(i.total_cents, c.removed_total_cents) as amount_cents, cast(null as numeric) as amount,
        case
            when i.id is null then 'open invoice'
            else 'invoice ' || i.number || case when i.revision > 0 then ' (revision ' || i.revision || ')' else '' end
        end as subject,
        c.why as reason
    from invoice_changes as c
    left join invoices as i on i.id = c.invoice_id
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

at_stripe as (
    select
        case m.number when 1 then m.created_at else m.read_at end, coalesce(r.made_by, 'Stripe'),
        case m.kind
            when 'credit_note' then 'credited'
            when 'refund' then 'refunded'
            when 'dispute' then 'disputed'
            else 'adjusted'
        end,
        m.organization_id, coalesce(i.month, month_of(m.created_at)), coalesce(i.month, month_of(m.created_at)),
        m.invoice_id, m.currency, m.amount_cents, cast(null as numeric),
        case m.kind
            when 'credit_note' then 'credit note at Stripe'
            when 'refund' then 'refund of a payment'
            when 'dispute' then 'dispute of a payment'
            else 'customer balance at Stripe'
        end || case when i.id is null then '' else ' of invoice ' || i.number end
        || case m.kind when 'customer_balance_transaction' then '' else ': ' || m.status end,
        coalesce(r.why, m.reason)
    from stripe_money as m
    left join invoices as i on i.id = m.invoice_id
    left join credit_requests as r on r.stripe_credit_note_id = m.object_id
    where m.kind <> 'customer_balance_transaction' or m.status = 'adjustment'
),

approved_credits as (
    select
        r.approved_at, r.approved_by, 'approved', i.organization_id, i.month, i.month, i.id, i.currency, r.amount_cents,
        cast(null as numeric), 'credit note at Stripe of invoice ' || i.number, r.why
    from credit_requests as r
    join invoices as i on i.id = r.invoice_id
    where r.approved_at is not null
),

changed_customers as (
    select
        c.changed_at, c.changed_by, c.action, c.organization_id, c.first_month, c.first_month, cast(null as uuid),
        cast(null as text), cast(null as bigint), cast(null as numeric), c.what, c.why
    from customer_changes as c
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
select * from at_stripe
union all
select * from approved_credits
union all
select * from changed_customers
union all
select
    waived_at, waived_by, 'waived', organization_id, month, month, cast(null as uuid), cast(null as text),
    cast(null as bigint), cast(null as numeric), subject, because
from waived_rows;

comment on column finance_history.action is
'finalized, paid, voided, wrote off, removed, rebilled, credited, refunded, disputed, adjusted, approved, held, released, booked, added, changed, withdrawn, kept or waived.';
comment on column finance_history.amount_cents is
'A billed, credited, refunded or disputed amount, in the currency''s minor unit; below zero: credit given at Stripe.';
