-- A credit that paid for something that is not owed any more gets the amount back: it never becomes money.

alter table adjustments add column credit_grant_id uuid references credit_grants;
comment on column adjustments.credit_grant_id is
    'the credit that gets this amount back, as it had paid it; below zero: the credit pays this thing instead of another';

alter table credit_entries
    drop constraint credit_entries_kind_check,
    drop constraint credit_entries_check1,
    drop constraint credit_entries_grant_id_kind_invoice_id_key,
    add constraint credit_entries_kind_check check (kind in ('granted', 'drawn', 'returned', 'given_back')),
    add constraint signed_as_its_kind check (
        case kind when 'drawn' then amount < 0 when 'returned' then amount <> 0 else amount > 0 end
    );
-- One invoice can be corrected more than once.
create unique index one_entry_each on credit_entries (grant_id, kind, invoice_id) nulls not distinct
    where kind <> 'given_back';
comment on table credit_entries is
    'every movement of a credit; its sum is what is left. Drawn when an invoice is finalized; given back when a fee or a
    month that it had paid turns out lower; returned, both, when the invoice is void';

create or replace function follow_invoice_change() returns trigger language plpgsql as $$
begin
    insert into invoice_changes (invoice_id, from_status, to_status, changed_by, why)
    values (
        new.id, old.status, new.status,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user),
        nullif(current_setting('fly_billing.why', true), '')
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

-- What a void invoice had given back is taken from the credit again, also where later invoices drew it meanwhile: then
-- nothing is left until the month is billed again. Only a new draw can be refused.
drop trigger refuse_overdrawn_credit on credit_entries;
create trigger refuse_overdrawn_credit after insert on credit_entries
    for each row when (new.kind = 'drawn') execute function refuse_overdrawn_credit();
alter table credit_entries enable always trigger refuse_overdrawn_credit;

-- At once, whenever the invoice that has the adjustments is made: it and all others can draw the credit again.
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
