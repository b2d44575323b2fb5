-- A tax rate is for some items and some customers. It is one organization's, or a price book's: then it is for all
-- organizations with that book that have no rate of their own.
create function are_keys(words text[]) returns boolean language sql immutable as $$
    select coalesce(bool_and(word is not null and word ~ '^\S(.*\S)?$' and word !~ '[[:cntrl:]]'), true)
    from unnest(words) as word
$$;

alter table tax_rates
    alter column organization_id drop not null,
    add column book text check (book !~ '[[:cntrl:]]' and book ~ '^\S(.*\S)?$' and length(book) <= 500),
    add column key text check (key !~ '[[:cntrl:]]' and key ~ '^\S(.*\S)?$' and length(key) <= 500),
    add column tax text check (tax !~ '[[:cntrl:]]' and tax ~ '^\S(.*\S)?$' and length(tax) <= 500),
    add column category text not null default 'standard'
        check (category in ('standard', 'reduced', 'zero', 'exempt', 'reverse_charge', 'outside')),
    add column legal_text text check (legal_text ~ '\S' and length(legal_text) <= 300),
    add column scope jsonb not null default '{}' check (jsonb_typeof(scope) = 'object'),
    add column locations text[] not null default '{}' check (are_keys(locations)),
    add column customers text[] not null default '{}' check (are_keys(customers)),
    add constraint an_organization_s_or_a_book_s check (
        num_nonnulls(organization_id, book) = 1 and (book is null) = (key is null)
    ),
    add constraint nothing_is_charged check (
        category in ('standard', 'reduced') or percent = 0 and not is_inclusive
    ),
    add constraint the_law_is_named check (category not in ('exempt', 'reverse_charge') or legal_text is not null),
    add constraint legal_text_has_a_line check (legal_text is null or not is_inclusive),
    add constraint its_tax_is_named check (
        tax is not null or scope = '{}' and locations = '{}' and customers = '{}'
    ),
    add constraint one_version_of_a_book unique (book, key, first_month);
comment on column tax_rates.tax is
    'which tax it is a rate of: of several rates of one tax, the narrowest is an item''s. Null: a tax of its own';
comment on column tax_rates.scope is 'which items it is on: kinds, products, price_keys, meter, match. Empty: all';
comment on column tax_rates.locations is 'where its customers are, ISO 3166: DE, CA-QC. Empty: anywhere';
comment on column tax_rates.customers is 'what its customers are, as tax_customers has it: business. Empty: anything';

create table tax_customers (
    organization_id text not null references organizations,
    first_month date not null check (
        extract(day from first_month) = 1 and first_month >= '1970-01-01' and first_month < '2200-01-01'
    ),
    location text check (location ~ '^[A-Z]{2}(-[A-Z0-9]+)*$'),
    kind text check (kind !~ '[[:cntrl:]]' and kind ~ '^\S(.*\S)?$' and length(kind) <= 500),
    primary key (organization_id, first_month)
);
comment on table tax_customers is
    'where an organization is and what it is to the tax office, from this month until its next row. A final invoice keeps'
    ' the rates that followed from it, so a late row changes no closed month';

-- What is shown of a rate is kept with the invoice, as its name and percent are.
alter table invoice_taxes
    add column category text not null default 'standard',
    add column legal_text text;

create table invoice_tax_rates (
    invoice_id uuid not null references invoices on delete cascade,
    tax_rate_id uuid not null references tax_rates,
    primary key (invoice_id, tax_rate_id)
);
comment on table invoice_tax_rates is
    'the rates that were in force for an invoice, whether they came to anything or not: what a correction of it is taxed by';
create index on invoice_tax_rates (tax_rate_id);

insert into invoice_tax_rates (invoice_id, tax_rate_id)
select i.id, r.id
from invoices as i
join tax_rates as r on r.organization_id = i.organization_id and daterange(r.first_month, r.last_month, '[]') @> i.month
where i.origin = 'billed'
union
select t.invoice_id, t.tax_rate_id from invoice_taxes as t;

create trigger refuse_insert_into_finalized after insert on invoice_tax_rates
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_delete_from_finalized after delete on invoice_tax_rates
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_of_finalized after update on invoice_tax_rates
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_into_finalized after update on invoice_tax_rates
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();

-- A rate that was in force for a final invoice is ended and followed by another, never edited: which items it was on
-- and which customers it was for decide amounts too.
create function refuse_used_tax_rate_change() returns trigger language plpgsql as $$
declare
    changed text;
    used invoices;
begin
    if tg_op = 'UPDATE' then
        select string_agg(o.key, ', ' order by o.key) into changed
        from jsonb_each(to_jsonb(old)) as o
        where o.key <> 'last_month' and o.value <> to_jsonb(new) -> o.key;
        if changed is null and (new.last_month is not distinct from old.last_month or new.last_month is null) then
            return new;
        end if;
    end if;
    select i.* into used from invoice_tax_rates as x
    join invoices as i on i.id = x.invoice_id
    where x.tax_rate_id = old.id and i.status <> 'open'
        and (tg_op = 'DELETE' or changed is not null or i.status <> 'void')
    order by i.month desc, i.number desc limit 1;
    if found and (tg_op = 'DELETE' or changed is not null) then
        raise exception 'tax % was used by the final invoice number % of % for %: %',
            old.name, used.number, used.organization_id, to_char(used.month, 'YYYY-MM'),
            coalesce(changed || ' can not be changed', 'it can not be deleted')
            using errcode = 'integrity_constraint_violation',
                  hint = 'set its last_month, and add another one from the next month on';
    elsif found and new.last_month < used.month then
        raise exception 'tax % is on the final invoice number % of % for %: it can not end before that month',
            old.name, used.number, used.organization_id, to_char(used.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation',
                  hint = 'end it in that month or later; what was billed too much or too little is a one-off item';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

drop trigger refuse_used_term_change on tax_rates;
drop trigger refuse_end_before_billed on tax_rates;
create trigger refuse_used_term_change before update or delete on tax_rates
    for each row execute function refuse_used_tax_rate_change();

create trigger refuse_truncate before truncate on tax_customers for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on invoice_tax_rates for each statement execute function refuse_truncate();

-- A refusal holds whoever asks, as of the tables before.
do $$
declare
    one record;
begin
    for one in
        select t.tgrelid::regclass as on_table, t.tgname from pg_trigger as t
        where not t.tgisinternal and t.tgname like 'refuse\_%' and t.tgenabled <> 'A'
            and t.tgrelid in ('tax_customers'::regclass, 'invoice_tax_rates'::regclass, 'tax_rates'::regclass)
    loop
        execute format('alter table %s enable always trigger %I', one.on_table, one.tgname);
    end loop;
end $$;
