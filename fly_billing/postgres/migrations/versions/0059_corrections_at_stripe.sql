-- A correction can become a credit note at Stripe, and a request that nobody wants any more is withdrawn.

alter table credit_requests
drop constraint credit_requests_state_check,
add constraint credit_requests_state_check
check (state in ('waiting', 'pending', 'unknown', 'failed', 'issued', 'withdrawn')),
add column withdrawn_by text check (btrim(withdrawn_by) <> ''),
add column withdrawn_because text check (btrim(withdrawn_because) <> ''),
add column withdrawn_at timestamptz
constraint withdrawn_at_is_a_time check (withdrawn_at >= '1970-01-01Z' and withdrawn_at < '2200-01-01Z'),
add constraint withdrawn_has_a_name_and_a_reason check (
    (state = 'withdrawn') = (withdrawn_at is not null)
    and num_nonnulls(withdrawn_by, withdrawn_because, withdrawn_at) in (0, 3)
);
comment on column credit_requests.state is
'waiting for an approval, pending (to be sent), unknown (perhaps sent), failed (refused), issued, or withdrawn (never sent).';
comment on column credit_requests.withdrawn_by is 'Who decided that it is not to be made.';
comment on column credit_requests.withdrawn_because is 'Why it is not to be made.';
drop trigger refuse_other_change on credit_requests;
create trigger refuse_other_change before delete or update on credit_requests
for each row execute function refuse_other_change(
    '{approved_by,approved_at,state,generation,unpaid_cents,stripe_credit_note_id,failure,updated_at,withdrawn_by,'
    'withdrawn_because,withdrawn_at}'
);
drop trigger refuse_change_of_issued on credit_requests;
create trigger refuse_change_of_settled before update on credit_requests
for each row when (old.state in ('issued', 'withdrawn')) execute function refuse_record_change();
alter table credit_requests enable always trigger refuse_other_change;
alter table credit_requests enable always trigger refuse_change_of_settled;

alter table adjustments
add column credit_request_id uuid references credit_requests,
add constraint is_returned_in_one_way check (num_nonnulls(credit_note_id, credit_request_id) < 2);
create index on adjustments (credit_request_id) where credit_request_id is not null;
comment on column adjustments.credit_request_id is
'The credit note at Stripe that returns it, taxes included. If that is withdrawn, a credit note here returns it.';
comment on column adjustments.credit_note_id is
'The credit note that returns it. Null, as credit_request_id: it is on the next open invoice.';

create or replace function keep_what_held() returns trigger language plpgsql as $$
declare
    final constant date := last_final_month(old.id);
    asked constant date := nullif(current_setting('fly_billing.from_month', true), '');
    first_month constant date := coalesce(asked, (final + interval '1 month')::date);
    recorded constant date := (select max(before_month) from organization_history where organization_id = old.id);
begin
    if first_month is null then
        return null; -- nothing was billed: it has always been so
    end if;
    if asked <= final then
        raise exception '% has a final invoice of %: its currency and price book can change from the next month on',
            old.id, to_char(final, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation', hint = 'set fly_billing.from_month to a later month';
    end if;
    if first_month < recorded then
        raise exception '% changes from % on already: another change can not begin before', old.id, to_char(recorded, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation', hint = 'set fly_billing.from_month to that month or a later one';
    end if;
    if new.currency <> old.currency and exists (
        select from adjustments as a
        where a.payer_id = old.id and a.credit_note_id is null and a.credit_request_id is null
            and not exists (
                select from invoice_items as t join invoices as i on i.id = t.invoice_id
                where t.adjustment_id = a.id and i.status <> 'open'
            )
            and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    ) then
        raise exception '% has adjustments in % that no final invoice has yet: its currency can not change before', old.id, old.currency
            using errcode = 'integrity_constraint_violation', hint = 'change it once they are billed';
    end if;
    -- A second change before the next month is billed: what was billed had the values from before the first.
    insert into organization_history (organization_id, before_month, currency, price_book)
    values (old.id, first_month, old.currency, old.price_book)
    on conflict do nothing;
    return null;
end $$;

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
        || case
            when a.credit_note_id is not null then ' as a credit note'
            when a.credit_request_id is not null then ' as a credit note at Stripe'
            else ' on the next invoice'
        end,
        a.why
    from adjustments as a
    join invoices as i on i.id = a.invoice_id
    group by a.made_at, a.made_by, a.payer_id, i.id, a.credit_note_id, a.credit_request_id, a.why
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

withdrawn_credits as (
    select
        r.withdrawn_at, r.withdrawn_by, 'withdrawn', i.organization_id, i.month, i.month, i.id, i.currency,
        r.amount_cents, cast(null as numeric), 'credit note at Stripe of invoice ' || i.number, r.withdrawn_because
    from credit_requests as r
    join invoices as i on i.id = r.invoice_id
    where r.withdrawn_at is not null
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
select * from withdrawn_credits
union all
select * from changed_customers
union all
select
    waived_at, waived_by, 'waived', organization_id, month, month, cast(null as uuid), cast(null as text),
    cast(null as bigint), cast(null as numeric), subject, because
from waived_rows;
