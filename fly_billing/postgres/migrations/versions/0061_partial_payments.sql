-- A part of an invoice that is paid at Stripe is posted when it is read: cash and receivable, or what was written off. The
-- source is the state of the invoice's amounts. A credit note at Stripe takes back its tax, and revenue without it.

-- Sources -------------------------------------------------------------------------------------------------------------

alter table stripe_money
add column tax_cents bigint check (tax_cents >= 0 and tax_cents < 1000000000000000),
add constraint only_a_credit_note_has_tax check (tax_cents <= case kind when 'credit_note' then amount_cents else 0 end);
comment on column stripe_money.tax_cents is
'The tax in a credit note. 0 if its invoice was void before it was read; null if that was read before taxes were.';

alter table invoice_changes
add column noted_tax_cents bigint
constraint noted_tax_cents_is_finite check (noted_tax_cents >= 0 and noted_tax_cents < 1000000000000000);
comment on column invoice_changes.noted_tax_cents is
'The tax that credit notes at Stripe had taken back of a void invoice before. Null: 0.';
alter table invoice_changes
add column part_paid_cents bigint
constraint part_paid_cents_is_finite check (part_paid_cents >= 0 and part_paid_cents < 1000000000000000);
comment on column invoice_changes.part_paid_cents is
'Of a paid invoice, the parts that were paid before and are not in asked_cents. Null: asked_cents contains them.';

alter table credit_requests
add column taxes jsonb;
comment on column credit_requests.taxes is
'The tax amounts of the credit note, as in the request to Stripe. Null: not planned yet, or planned before taxes were.';
drop trigger refuse_other_change on credit_requests;
create trigger refuse_other_change before delete or update on credit_requests
for each row execute function refuse_other_change(
    '{approved_by,approved_at,state,generation,unpaid_cents,taxes,stripe_credit_note_id,failure,updated_at,withdrawn_by,'
    'withdrawn_because,withdrawn_at}'
);
alter table credit_requests enable always trigger refuse_other_change;

alter table stripe_events drop constraint stripe_events_source_check;
alter table stripe_events add constraint stripe_events_source_check check (source in ('webhook', 'polling', 'sweep'));
comment on table stripe_events is
'Events of Stripe, by webhook or polling; and statuses that the nightly sweep found, whose events never came (sweep). Bodies are not stored, because they contain personal data.';

-- The amounts of a payment, a write-off or a voiding ------------------------------------------------------------------

create function part_paid_of_invoice(invoice uuid) returns bigint language sql stable as $$
    select coalesce(
        (
            select a.paid_cents
            from stripe_invoices as s
            join stripe_invoice_amounts as a
                on a.stripe_invoice_id = s.stripe_invoice_id and a.invoice_id = s.invoice_id
            where s.invoice_id = invoice and a.status in ('open', 'uncollectible')
            order by a.number desc limit 1
        ),
        0
    )
$$;
comment on function part_paid_of_invoice(uuid) is
'What was paid of an invoice at Stripe before it was paid in full, as far as it was read.';

create function noted_tax_of_invoice(invoice uuid) returns bigint language sql stable as $$
    select cast(coalesce(sum(m.tax_cents), 0) as bigint)
    from stripe_money as m
    where m.invoice_id = invoice and m.kind = 'credit_note' and m.status = 'issued'
        and not exists (select from stripe_money as n where n.object_id = m.object_id and n.number > m.number)
$$;
comment on function noted_tax_of_invoice(uuid) is 'The tax in the credit notes at Stripe of an invoice, as far as they were read.';

create or replace function asked_of_invoice(invoice invoices, from_status text) returns bigint language sql stable as $$
    select coalesce(
        case when from_status = 'uncollectible' and invoice.status = 'void' then (
            select c.asked_cents from invoice_changes as c
            where c.invoice_id = invoice.id and c.to_status = 'uncollectible' order by c.id desc limit 1
        ) end,
        (
            select case invoice.status
                when 'paid' then greatest(a.paid_cents - part_paid_of_invoice(invoice.id), 0)
                else a.remaining_cents
            end
            from stripe_invoices as s
            join stripe_invoice_amounts as a
                on a.stripe_invoice_id = s.stripe_invoice_id and a.status = invoice.status
            where s.invoice_id = invoice.id
            -- What is paid after an invoice was written off lowers the amount that is written off.
            order by case invoice.status when 'paid' then -a.number else a.number end limit 1
        ),
        (
            select greatest(s.stripe_due_cents - noted_of_invoice(invoice.id) - part_paid_of_invoice(invoice.id), 0)
            from stripe_invoices as s where s.invoice_id = invoice.id
        ),
        greatest(invoice.total_cents, 0)
    )
$$;
comment on function asked_of_invoice(invoices, text) is
'What Stripe asked for an invoice when its status became the new one, without the parts that were paid before.';

create or replace function follow_invoice_change() returns trigger language plpgsql as $$
begin
    insert into invoice_changes (
        invoice_id, from_status, to_status, changed_by, why, asked_cents, noted_cents, noted_tax_cents, part_paid_cents
    )
    values (
        new.id, old.status, new.status,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user),
        nullif(current_setting('fly_billing.why', true), ''),
        case when new.status in ('paid', 'uncollectible', 'void') then asked_of_invoice(new, old.status) end,
        case when new.status = 'void' then noted_of_invoice(new.id) end,
        case when new.status = 'void' then noted_tax_of_invoice(new.id) end,
        case when new.status = 'paid' then part_paid_of_invoice(new.id) end
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

-- The ledger ----------------------------------------------------------------------------------------------------------

drop function post_missing_to_ledger();
drop function post_to_ledger(ledger_rebuilt[]);
drop function ledger_source(bigint, uuid, uuid, bigint, bigint);
drop view ledger_rebuilt, ledger_posted;

alter table ledger_transactions
add column stripe_amounts_id bigint references stripe_invoice_amounts (id),
drop constraint one_source,
add constraint one_source check (
    num_nonnulls(
        invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id, stripe_amounts_id
    ) = 1
);
comment on column ledger_transactions.stripe_amounts_id is 'The state of an invoice''s amounts at Stripe that caused it.';
create unique index stripe_amounts_are_posted_once on ledger_transactions (stripe_amounts_id)
where stripe_amounts_id is not null;

create or replace function ledger_rules() returns table (event text, account text, sign integer, amount text)
language sql immutable as $$
    values
        ('invoice_finalized', 'receivable', 1, 'total'),
        ('invoice_finalized', 'customer_credit', 1, 'credit'),
        ('invoice_finalized', 'revenue', -1, 'revenue'),
        ('invoice_finalized', 'tax_payable', -1, 'tax'),
        ('invoice_paid', 'cash', 1, 'asked'),
        ('invoice_paid', 'receivable', -1, 'asked'),
        ('invoice_part_paid', 'cash', 1, 'part'),
        ('invoice_part_paid', 'receivable', -1, 'part'),
        ('invoice_voided', 'receivable', -1, 'total'),
        ('invoice_voided', 'customer_credit', -1, 'credit'),
        ('invoice_voided', 'revenue', 1, 'revenue'),
        ('invoice_voided', 'tax_payable', 1, 'tax'),
        ('invoice_voided', 'receivable', 1, 'noted'),
        ('invoice_voided', 'revenue', -1, 'noted'),
        ('invoice_voided', 'revenue', 1, 'noted_tax'),
        ('invoice_voided', 'tax_payable', -1, 'noted_tax'),
        ('invoice_written_off', 'written_off', 1, 'asked'),
        ('invoice_written_off', 'receivable', -1, 'asked'),
        ('written_off_invoice_paid', 'cash', 1, 'asked'),
        ('written_off_invoice_paid', 'written_off', -1, 'asked'),
        ('written_off_invoice_part_paid', 'cash', 1, 'part'),
        ('written_off_invoice_part_paid', 'written_off', -1, 'part'),
        ('written_off_invoice_voided', 'receivable', -1, 'total'),
        ('written_off_invoice_voided', 'customer_credit', -1, 'credit'),
        ('written_off_invoice_voided', 'revenue', 1, 'revenue'),
        ('written_off_invoice_voided', 'tax_payable', 1, 'tax'),
        ('written_off_invoice_voided', 'receivable', 1, 'noted'),
        ('written_off_invoice_voided', 'revenue', -1, 'noted'),
        ('written_off_invoice_voided', 'revenue', 1, 'noted_tax'),
        ('written_off_invoice_voided', 'tax_payable', -1, 'noted_tax'),
        ('written_off_invoice_voided', 'written_off', -1, 'asked'),
        ('written_off_invoice_voided', 'receivable', 1, 'asked'),
        ('credit_note_issued', 'revenue', 1, 'note'),
        ('credit_note_issued', 'customer_credit', -1, 'note'),
        ('credit_note_issued', 'revenue', 1, 'returned'),
        ('credit_note_issued', 'customer_credit', -1, 'returned'),
        ('prepaid_credit_granted', 'deferred_revenue', 1, 'granted'),
        ('prepaid_credit_granted', 'customer_credit', -1, 'granted'),
        ('prepaid_credit_expired', 'customer_credit', 1, 'left'),
        ('prepaid_credit_expired', 'breakage', -1, 'left'),
        ('stripe_balance_applied', 'receivable', 1, 'applied'),
        ('stripe_balance_applied', 'stripe_balance', -1, 'applied'),
        ('stripe_credit_given', 'revenue', 1, 'given'),
        ('stripe_credit_given', 'stripe_balance', -1, 'given'),
        ('stripe_credit_taken', 'stripe_balance', 1, 'taken'),
        ('stripe_credit_taken', 'revenue', -1, 'taken'),
        ('stripe_overpayment', 'cash', 1, 'overpaid'),
        ('stripe_overpayment', 'stripe_balance', -1, 'overpaid'),
        ('stripe_credit_note_issued', 'revenue', 1, 'unpaid'),
        ('stripe_credit_note_issued', 'receivable', -1, 'unpaid'),
        ('stripe_credit_note_issued', 'revenue', 1, 'repaid'),
        ('stripe_credit_note_issued', 'refunds', -1, 'repaid'),
        ('stripe_credit_note_issued', 'revenue', 1, 'outside'),
        ('stripe_credit_note_issued', 'cash', -1, 'outside'),
        ('stripe_credit_note_issued', 'tax_payable', 1, 'tax'),
        ('stripe_credit_note_issued', 'revenue', -1, 'tax'),
        ('stripe_credit_note_voided', 'revenue', -1, 'unpaid'),
        ('stripe_credit_note_voided', 'receivable', 1, 'unpaid'),
        ('stripe_credit_note_voided', 'revenue', -1, 'repaid'),
        ('stripe_credit_note_voided', 'refunds', 1, 'repaid'),
        ('stripe_credit_note_voided', 'revenue', -1, 'outside'),
        ('stripe_credit_note_voided', 'cash', 1, 'outside'),
        ('stripe_credit_note_voided', 'tax_payable', -1, 'tax'),
        ('stripe_credit_note_voided', 'revenue', 1, 'tax'),
        ('stripe_credit_note_credited', 'revenue', 1, 'credited'),
        ('stripe_credit_note_credited', 'stripe_balance', -1, 'credited'),
        ('payment_refunded', 'refunds', 1, 'refunded'),
        ('payment_refunded', 'cash', -1, 'refunded'),
        ('refund_failed', 'cash', 1, 'refunded'),
        ('refund_failed', 'refunds', -1, 'refunded'),
        ('dispute_opened', 'disputed', 1, 'disputed'),
        ('dispute_opened', 'cash', -1, 'disputed'),
        ('dispute_won', 'cash', 1, 'disputed'),
        ('dispute_won', 'disputed', -1, 'disputed'),
        ('dispute_lost', 'written_off', 1, 'disputed'),
        ('dispute_lost', 'disputed', -1, 'disputed')
$$;

-- All events of an object's kind, with the amounts that they have had once the object is in this state. A new state posts
-- the difference from the one before, so a repeated state posts nothing, and one that is skipped is caught up with.
create or replace function ledger_amounts(state stripe_money) returns table (event text, amount text, cents bigint)
language sql immutable as $$
    select e.event, e.amount, case when e.has_happened then e.cents else 0 end
    from (
        values
            (
                'customer_balance_transaction', 'stripe_balance_applied', 'applied', -state.amount_cents,
                state.status in ('applied_to_invoice', 'unapplied_from_invoice', 'invoice_too_small', 'invoice_too_large')
            ),
            (
                'customer_balance_transaction', 'stripe_credit_note_credited', 'credited', -state.amount_cents,
                state.status = 'credit_note'
            ),
            (
                'customer_balance_transaction', 'stripe_overpayment', 'overpaid', -state.amount_cents,
                state.status = 'invoice_overpaid'
            ),
            (
                'customer_balance_transaction', 'stripe_credit_given', 'given', -state.amount_cents,
                state.amount_cents < 0 and state.status not in (
                    'applied_to_invoice', 'unapplied_from_invoice', 'invoice_too_small', 'invoice_too_large', 'credit_note',
                    'invoice_overpaid'
                )
            ),
            (
                'customer_balance_transaction', 'stripe_credit_taken', 'taken', state.amount_cents,
                state.amount_cents > 0 and state.status not in (
                    'applied_to_invoice', 'unapplied_from_invoice', 'invoice_too_small', 'invoice_too_large', 'credit_note',
                    'invoice_overpaid'
                )
            ),
            (
                'credit_note', 'stripe_credit_note_issued', 'unpaid', state.unpaid_cents, state.invoice_id is not null
            ),
            (
                'credit_note', 'stripe_credit_note_issued', 'repaid', state.refunded_cents, state.invoice_id is not null
            ),
            (
                'credit_note', 'stripe_credit_note_issued', 'outside', state.out_of_band_cents,
                state.invoice_id is not null
            ),
            (
                'credit_note', 'stripe_credit_note_issued', 'tax', coalesce(state.tax_cents, 0),
                state.invoice_id is not null
            ),
            (
                'credit_note', 'stripe_credit_note_voided', 'unpaid', state.unpaid_cents,
                state.invoice_id is not null and state.status = 'void'
            ),
            (
                'credit_note', 'stripe_credit_note_voided', 'repaid', state.refunded_cents,
                state.invoice_id is not null and state.status = 'void'
            ),
            (
                'credit_note', 'stripe_credit_note_voided', 'outside', state.out_of_band_cents,
                state.invoice_id is not null and state.status = 'void'
            ),
            (
                'credit_note', 'stripe_credit_note_voided', 'tax', coalesce(state.tax_cents, 0),
                state.invoice_id is not null and state.status = 'void'
            ),
            (
                'refund', 'payment_refunded', 'refunded', state.amount_cents,
                state.invoice_id is not null and state.status in ('pending', 'succeeded', 'failed', 'canceled')
            ),
            (
                'refund', 'refund_failed', 'refunded', state.amount_cents,
                state.invoice_id is not null and state.status in ('failed', 'canceled')
            ),
            (
                'dispute', 'dispute_opened', 'disputed', state.amount_cents,
                state.invoice_id is not null and state.status in ('needs_response', 'under_review', 'won', 'lost')
            ),
            (
                'dispute', 'dispute_won', 'disputed', state.amount_cents,
                state.invoice_id is not null and state.status = 'won'
            ),
            (
                'dispute', 'dispute_lost', 'disputed', state.amount_cents,
                state.invoice_id is not null and state.status = 'lost'
            )
    ) as e (kind, event, amount, cents, has_happened)
    where e.kind = state.kind
$$;
-- Each lateral part is looked up by the invoice's keys. Written as a join, it is compared with all invoices there are
-- where Postgres believes that there are none.
create view ledger_rebuilt as
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
            else month_of(c.changed_at)
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
    null, null, null, null, null, a.id, i.month, i.organization_id, i.currency, month_of(a.read_at), r.event, r.account,
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
comment on view ledger_rebuilt is
'The entries that the ledger must have, calculated from their sources. Posting reads them, and a check compares them.';
comment on column ledger_rebuilt.invoice_change_id is 'The source: a change of an invoice''s status.';
comment on column ledger_rebuilt.credit_note_id is 'The source: a credit note.';
comment on column ledger_rebuilt.credit_grant_id is 'The source: prepaid credit.';
comment on column ledger_rebuilt.stripe_money_id is 'The source: a state of an object at Stripe.';
comment on column ledger_rebuilt.credit_expiry_id is 'The source: an expiry of prepaid credit.';
comment on column ledger_rebuilt.stripe_amounts_id is 'The source: a state of an invoice''s amounts at Stripe.';
comment on column ledger_rebuilt.source_month is
'The billed month of the invoice, or the month that grants or ends the credit, or in which the object at Stripe was created.';
comment on column ledger_rebuilt.organization_id is 'The payer.';
comment on column ledger_rebuilt.currency is 'ISO 4217.';
comment on column ledger_rebuilt.month is 'The accounting month.';
comment on column ledger_rebuilt.event is 'A key of ledger.rules.events.EVENTS.';
comment on column ledger_rebuilt.account is 'A key of ledger.rules.accounts.ACCOUNTS.';
comment on column ledger_rebuilt.amount_cents is 'Debits are positive, credits negative, in the currency''s minor unit.';

create view ledger_posted as
with sources as (
    select
        c.id as invoice_change_id, cast(null as uuid) as credit_note_id, cast(null as uuid) as credit_grant_id,
        cast(null as bigint) as stripe_money_id, cast(null as bigint) as credit_expiry_id,
        cast(null as bigint) as stripe_amounts_id, i.month as source_month, t.organization_id, t.currency, t.month, t.event, t.id
    from invoices as i
    join invoice_changes as c on c.invoice_id = i.id
    join ledger_transactions as t on t.invoice_change_id = c.id
    union all
    select null, n.id, null, null, null, null, i.month, t.organization_id, t.currency, t.month, t.event, t.id
    from invoices as i
    join credit_notes as n on n.invoice_id = i.id
    join ledger_transactions as t on t.credit_note_id = n.id
    union all
    select
        null, null, g.id, null, null, null, month_of(g.granted_at), t.organization_id, t.currency, t.month, t.event, t.id
    from credit_grants as g
    join ledger_transactions as t on t.credit_grant_id = g.id
    union all
    select
        null, null, null, m.id, null, null, month_of(m.created_at), t.organization_id, t.currency, t.month, t.event, t.id
    from stripe_money as m
    join ledger_transactions as t on t.stripe_money_id = m.id
    union all
    select
        null, null, null, null, x.id, null, month_of(x.recorded_at), t.organization_id, t.currency, t.month, t.event, t.id
    from credit_expiries as x
    join ledger_transactions as t on t.credit_expiry_id = x.id
    union all
    select null, null, null, null, null, a.id, i.month, t.organization_id, t.currency, t.month, t.event, t.id
    from invoices as i
    join stripe_invoice_amounts as a on a.invoice_id = i.id
    join ledger_transactions as t on t.stripe_amounts_id = a.id
)

select
    s.invoice_change_id, s.credit_note_id, s.credit_grant_id, s.stripe_money_id, s.credit_expiry_id, s.stripe_amounts_id,
    s.source_month, s.organization_id, s.currency, s.month, s.event, e.account, e.amount_cents
from sources as s
join ledger_entries as e
    on e.organization_id = s.organization_id and e.currency = s.currency and e.month = s.month and e.transaction_id = s.id;
comment on view ledger_posted is 'The entries that the ledger has, with the columns of ledger_rebuilt.';
comment on column ledger_posted.invoice_change_id is 'The source: a change of an invoice''s status.';
comment on column ledger_posted.credit_note_id is 'The source: a credit note.';
comment on column ledger_posted.credit_grant_id is 'The source: prepaid credit.';
comment on column ledger_posted.stripe_money_id is 'The source: a state of an object at Stripe.';
comment on column ledger_posted.credit_expiry_id is 'The source: an expiry of prepaid credit.';
comment on column ledger_posted.stripe_amounts_id is 'The source: a state of an invoice''s amounts at Stripe.';
comment on column ledger_posted.source_month is
'The billed month of the invoice, or the month that grants or ends the credit, or in which the object at Stripe was created.';
comment on column ledger_posted.organization_id is 'The payer.';
comment on column ledger_posted.currency is 'ISO 4217.';
comment on column ledger_posted.month is 'The accounting month.';
comment on column ledger_posted.event is 'A key of ledger.rules.events.EVENTS.';
comment on column ledger_posted.account is 'A key of ledger.rules.accounts.ACCOUNTS.';
comment on column ledger_posted.amount_cents is 'Debits are positive, credits negative, in the currency''s minor unit.';

create function ledger_source(
    invoice_change_id bigint, credit_note_id uuid, credit_grant_id uuid, stripe_money_id bigint, credit_expiry_id bigint,
    stripe_amounts_id bigint
) returns text language sql immutable as $$
    select coalesce(
        'change ' || invoice_change_id, 'note ' || credit_note_id, 'credit ' || credit_grant_id, 'money ' || stripe_money_id,
        'expiry ' || credit_expiry_id, 'amounts ' || stripe_amounts_id
    )
$$;
comment on function ledger_source(bigint, uuid, uuid, bigint, bigint, bigint) is 'Names the source of an entry as one text.';

-- Inserts the transactions and entries of these rows of ledger_rebuilt; returns the number of transactions.
create function post_to_ledger(rebuilt ledger_rebuilt[]) returns bigint language sql as $$
    with given as materialized (
        select
            r.*, ledger_source(
                r.invoice_change_id, r.credit_note_id, r.credit_grant_id, r.stripe_money_id, r.credit_expiry_id,
                r.stripe_amounts_id
            ) as source
        from unnest(rebuilt) as r
    ),

    posted as (
        insert into ledger_transactions (
            organization_id, currency, month, event, invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id,
            credit_expiry_id, stripe_amounts_id
        )
        select distinct
            organization_id, currency, month, event, invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id,
            credit_expiry_id, stripe_amounts_id
        from given
        order by
            organization_id, invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id,
            stripe_amounts_id, event
        returning
            id, event,
            ledger_source(
                invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id, stripe_amounts_id
            ) as source
    ),

    entered as (
        insert into ledger_entries (organization_id, currency, month, transaction_id, account, amount_cents)
        select g.organization_id, g.currency, g.month, p.id, g.account, g.amount_cents
        from given as g
        join posted as p using (source, event)
    )

    select count(*) from posted
$$;
comment on function post_to_ledger(ledger_rebuilt[]) is 'Posts these rows, which must be all entries of their sources.';

-- Most states have no part that is paid: they cost no more than this look.
create function post_stripe_amounts() returns trigger language plpgsql as $$
declare
    states constant bigint[] := array(
        select a.id
        from added as a
        where a.invoice_id is not null and a.status in ('open', 'uncollectible')
            and (a.paid_cents > 0 or exists (
                select from stripe_invoice_amounts as p
                where p.stripe_invoice_id = a.stripe_invoice_id and p.number < a.number and p.paid_cents > 0
            ))
    );
begin
    if states <> '{}' then
        perform post_to_ledger(array(select r from ledger_rebuilt as r where r.stripe_amounts_id = any (states)));
    end if;
    return null;
end $$;
create trigger post_stripe_amounts after insert on stripe_invoice_amounts
referencing new table as added for each statement execute function post_stripe_amounts();

-- A month at a time, so that memory does not grow with the history.
create function post_missing_to_ledger() returns bigint language plpgsql as $$
declare
    its_month date;
    posted bigint := 0;
begin
    for its_month in
        select month from invoices where status <> 'open'
        union
        select month_of(granted_at) from credit_grants where pays = 'gross'
        union
        select month_of(created_at) from stripe_money
        union
        select month_of(recorded_at) from credit_expiries
        order by 1
    loop
        posted := posted + post_to_ledger(array(
            select r from ledger_rebuilt as r
            where r.source_month = its_month
                and not exists (select from ledger_transactions as t where t.invoice_change_id = r.invoice_change_id)
                and not exists (select from ledger_transactions as t where t.credit_note_id = r.credit_note_id)
                and not exists (select from ledger_transactions as t where t.credit_grant_id = r.credit_grant_id)
                and not exists (select from ledger_transactions as t where t.credit_expiry_id = r.credit_expiry_id)
                and not exists (select from ledger_transactions as t where t.stripe_amounts_id = r.stripe_amounts_id)
                and not exists (
                    select from ledger_transactions as t where t.stripe_money_id = r.stripe_money_id and t.event = r.event
                )
        ));
    end loop;
    return posted;
end $$;
comment on function post_missing_to_ledger() is
'Posts every event that is not posted; returns their number. For databases older than the ledger, and for repairs.';
-- Parts that were paid before, of invoices that are not paid in full.
select post_to_ledger(array(select r from ledger_rebuilt as r where r.stripe_amounts_id is not null));

-- Receivables --------------------------------------------------------------------------------------------------------

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
        i.organization_id, i.currency, i.id as invoice_id, i.number, i.month, i.due_on, a.is_in_stripe, i.total_cents,
        cast(a.due_cents as bigint) as due_cents,
        greatest(0, cast(finance_as_of() at time zone 'UTC' as date) - i.due_on) as days_overdue
    from asked as a
    join invoices as i on i.id = a.id
    where i.status = 'finalized' and a.due_cents <> 0
)

select overdue.*, receivable_age(days_overdue) as age
from overdue;
