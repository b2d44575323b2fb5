-- Corrections of final invoices: adjustments, credit notes, and corrections that wait for a person.

create table credit_notes (
    id uuid primary key,
    invoice_id uuid not null references invoices,
    number integer not null check (number > 0),
    amount_cents bigint not null check (amount_cents > 0),
    credit_grant_id uuid not null unique references credit_grants,
    made_at timestamptz not null,
    made_by text not null,
    why text,
    unique (invoice_id, number)
);
comment on table credit_notes is
    'a final invoice was too high: what is given back is credit, which the next invoices draw';
create trigger refuse_record_change before update or delete on credit_notes
    for each row execute function refuse_record_change();

create table adjustments (
    id uuid primary key,
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    invoice_id uuid not null references invoices,
    item_key text not null,
    product text not null,
    description text not null,
    amount numeric not null check (amount <> 0),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    causes text[] not null,
    detail jsonb not null default '{}',
    credit_note_id uuid references credit_notes,
    made_at timestamptz not null,
    made_by text not null,
    why text,
    credit_grant_id uuid references credit_grants,
    payer_id text not null references organizations
);
comment on table adjustments is
    'differences found in a month whose invoice is final; each is on the next open invoice, once. Never changed';
comment on column adjustments.item_key is 'which item of the invoice it corrects: all of one key add up to what is right';
comment on column adjustments.credit_note_id is 'given back by this credit note; null: on the next open invoice';
comment on column adjustments.credit_grant_id is
    'the credit that gets this amount back, as it had paid it; below zero: the credit pays this thing instead of another';
comment on column adjustments.payer_id is 'whose invoice it corrects, and on whose next one it is; organization_id: whose usage';
create index on adjustments (organization_id, month);
create index on adjustments (invoice_id);
create index on adjustments (payer_id, month);
create trigger refuse_record_change before update or delete on adjustments
    for each row execute function refuse_record_change();

create table corrected_snapshots (
    invoice_id uuid not null references invoices,
    snapshot_id uuid not null references usage_snapshots,
    primary key (invoice_id, snapshot_id)
);
comment on table corrected_snapshots is
    'the usage that a final invoice together with its adjustments bills, where that is no longer what it billed itself';
create index on corrected_snapshots (snapshot_id);

-- A correction that would give back too much waits until a person approves it.
create table correction_approvals (
    id bigint generated always as identity primary key,
    month date not null check (extract(day from month) = 1),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    organization_id text references organizations,
    total numeric not null check (total > 0 and total < 'Infinity'),
    up_to_decision bigint not null,
    approved_by text not null check (approved_by <> ''),
    why text not null check (why <> ''),
    approved_at timestamptz not null
);
comment on table correction_approvals is
    'corrections that waited and that a person let pass: those that were held when it was written, and no larger ones';
comment on column correction_approvals.organization_id is 'only this payer''s correction; null: all of the month and currency';
comment on column correction_approvals.total is 'what they give back in all, in the currency''s major unit';
comment on column correction_approvals.up_to_decision is
    'the newest correction_decisions.id then: what was held, changed or booked later is not approved by it';
create index on correction_approvals (month, currency);
create trigger refuse_record_change before update or delete on correction_approvals
    for each row execute function refuse_record_change();

create table correction_decisions (
    id bigint generated always as identity primary key,
    invoice_id uuid not null references invoices,
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    decision text not null check (decision in ('held', 'released', 'booked')),
    gives_back numeric not null check (gives_back >= 0 and gives_back < 'Infinity'),
    charges numeric not null check (charges >= 0 and charges < 'Infinity'),
    causes text[] not null,
    reason text not null,
    approval_id bigint references correction_approvals,
    decided_at timestamptz not null,
    decided_by text not null check (decided_by <> '')
);
comment on table correction_decisions is
    'what became of each correction that waited for a person: held (again, where it changed), released as nothing is to be'
    ' corrected any more or it became small, or booked; the newest row of an invoice counts. Never changed';
comment on column correction_decisions.gives_back is 'what the correction takes back from its invoice, in the major unit';
comment on column correction_decisions.charges is 'what the same correction charges beside that';
create index on correction_decisions (invoice_id, id desc);
create index on correction_decisions (month, currency);
create trigger refuse_record_change before update or delete on correction_decisions
    for each row execute function refuse_record_change();

create function name_payer() returns trigger language plpgsql as $$
begin
    select organization_id into new.payer_id from invoices where id = new.invoice_id;
    return new;
end $$;

create trigger name_payer before insert on adjustments for each row execute function name_payer();

-- A credit that paid for something that is no longer owed gets the amount back: it never becomes money. It gets it at once,
-- whenever the invoice with the adjustments is made, so that any invoice can draw it again.
create function give_back_credit() returns trigger language plpgsql as $$
begin
    insert into credit_entries (grant_id, kind, amount, invoice_id)
    select credit_grant_id, 'given_back', sum(amount), invoice_id
    from added where credit_grant_id is not null
    group by credit_grant_id, invoice_id
    having sum(amount) <> 0;
    return null;
end $$;

create trigger give_back_credit after insert on adjustments
    referencing new table as added for each statement execute function give_back_credit();

create view held_corrections as
select newest.*
from (select distinct on (invoice_id) * from correction_decisions order by invoice_id, id desc) as newest
join invoices as i on i.id = newest.invoice_id and i.status <> 'void'
where newest.decision = 'held';
comment on view held_corrections is 'corrections that wait for a person now, one row per invoice';
