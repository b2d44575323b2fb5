-- Corrections of final invoices that would give back too much: what waits, and what a person approved.

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

create view held_corrections as
select newest.*
from (select distinct on (invoice_id) * from correction_decisions order by invoice_id, id desc) as newest
join invoices as i on i.id = newest.invoice_id and i.status <> 'void'
where newest.decision = 'held';
comment on view held_corrections is 'corrections that wait for a person now, one row per invoice';

create trigger refuse_record_change before update or delete on correction_approvals
    for each row execute function refuse_record_change();
create trigger refuse_record_change before update or delete on correction_decisions
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on correction_approvals
    for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on correction_decisions
    for each statement execute function refuse_truncate();
