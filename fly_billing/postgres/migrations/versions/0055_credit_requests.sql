-- Credit notes that someone asks Stripe to make: goodwill, a refund, a part of an invoice that is not to be paid. Each is
-- recorded before it is sent. What it did is in stripe_money, as for those that someone makes in Stripe's dashboard.

create table credit_requests (
    id uuid primary key,
    invoice_id uuid not null references invoices (id),
    amount_cents bigint not null check (amount_cents > 0 and amount_cents < 1000000000000000),
    pays_back text not null check (pays_back in ('refund', 'balance', 'out_of_band')),
    why text not null check (btrim(why) <> ''),
    made_by text not null check (btrim(made_by) <> ''),
    made_at timestamptz not null
    constraint made_at_is_a_time check (made_at >= '1970-01-01Z' and made_at < '2200-01-01Z'),
    approved_by text,
    approved_at timestamptz
    constraint approved_at_is_a_time check (approved_at >= '1970-01-01Z' and approved_at < '2200-01-01Z'),
    state text not null check (state in ('waiting', 'pending', 'unknown', 'failed', 'issued')),
    generation integer not null default 0 check (generation >= 0),
    unpaid_cents bigint check (unpaid_cents >= 0 and unpaid_cents < 1000000000000000),
    stripe_credit_note_id text unique,
    failure text,
    updated_at timestamptz not null
    constraint updated_at_is_a_time check (updated_at >= '1970-01-01Z' and updated_at < '2200-01-01Z'),
    constraint unpaid_is_a_part_of_the_amount check (unpaid_cents <= amount_cents),
    constraint same_credit_for_the_same_reason_once unique (invoice_id, amount_cents, pays_back, why),
    constraint approved_by_somebody_else check (approved_by <> made_by),
    constraint approval_has_a_name check ((approved_by is null) = (approved_at is null)),
    constraint issued_is_at_stripe check ((state = 'issued') = (stripe_credit_note_id is not null))
);
create index on credit_requests (state) where state in ('waiting', 'pending', 'unknown');

comment on table credit_requests is
'One row per credit note that someone asked Stripe to make for an invoice. What Stripe made of it is in stripe_money.';
comment on column credit_requests.id is 'Follows from invoice, amount, pays_back and why: asking twice is one request.';
comment on column credit_requests.amount_cents is 'In the invoice''s currency, taxes included.';
comment on column credit_requests.pays_back is
'Where the part goes that the customer paid: refund (to the card), balance (credit at Stripe), or out_of_band.';
comment on column credit_requests.why is 'The reason; Stripe shows it to the customer as the memo.';
comment on column credit_requests.made_by is 'Who asked for it.';
comment on column credit_requests.approved_by is 'Who approved it, above the limit. Never who asked for it.';
comment on column credit_requests.state is
'waiting for an approval, pending (to be sent), unknown (perhaps sent), failed (Stripe or a rule refused it), or issued.';
comment on column credit_requests.generation is 'The generation of its idempotency keys.';
comment on column credit_requests.unpaid_cents is
'The part that lowers what the invoice asks for, as in the request to Stripe. Null: not planned yet.';
comment on column credit_requests.stripe_credit_note_id is 'Stripe''s credit note.';
comment on column credit_requests.failure is 'Why it is not at Stripe.';

create trigger refuse_other_change before delete or update on credit_requests
for each row execute function refuse_other_change(
    '{approved_by,approved_at,state,generation,unpaid_cents,stripe_credit_note_id,failure,updated_at}'
);
create trigger refuse_change_of_issued before update on credit_requests
for each row when (old.state = 'issued') execute function refuse_record_change();
create trigger refuse_truncate before truncate on credit_requests
for each statement execute function refuse_truncate();
alter table credit_requests enable always trigger refuse_other_change;
alter table credit_requests enable always trigger refuse_change_of_issued;
alter table credit_requests enable always trigger refuse_truncate;
