-- One invoice per organization and month that is not void; and what was written down stays written down.

-- One invoice ---------------------------------------------------------------------------------------------------------

-- A database that holds two of them is not migrated: which one the customer owes is for a person to decide.
do $$
declare
    twice text;
begin
    select string_agg(format('%s %s (numbers %s)', organization_id, to_char(month, 'YYYY-MM'), numbers), '; ')
    into twice
    from (
        select organization_id, month, string_agg(coalesce(number::text, 'open'), ', ' order by revision) as numbers
        from invoices where status <> 'void'
        group by organization_id, month having count(*) > 1
        order by month, organization_id limit 20
    ) as found;
    if twice is not null then
        raise exception 'more than one invoice for one organization and month: %', twice
            using errcode = 'integrity_constraint_violation',
                  hint = 'void the one that is not owed, here and in Stripe (or delete the open one), and migrate again';
    end if;
end $$;

create unique index one_invoice_per_organization_and_month on invoices (organization_id, month) where status <> 'void';
comment on index one_invoice_per_organization_and_month is
    'billed or imported, whatever its revision: another one is possible only after this one is void';

-- An organization whose payer is billed for it must not be billed itself as well.
create function refuse_final_invoice_of_linked() returns trigger language plpgsql as $$
declare
    payer text;
begin
    select l.payer_id into payer
    from organization_links as l
    where l.organization_id = new.organization_id and daterange(l.first_month, l.last_month, '[]') @> new.month;
    if found then
        raise exception 'in % % is on the invoice of its payer %: it can not have a final invoice itself',
            to_char(new.month, 'YYYY-MM'), new.organization_id, payer
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_final_invoice_of_linked before update on invoices
    for each row when (old.status = 'open' and new.status <> 'open') execute function refuse_final_invoice_of_linked();

-- Append-only: rows are added, never changed and never deleted ---------------------------------------------------------

create trigger refuse_record_change before update or delete on sync_approvals
    for each row execute function refuse_record_change();
create trigger refuse_record_change before update or delete on stripe_reconciliations
    for each row execute function refuse_record_change();
create trigger refuse_record_change before update or delete on spend_alerts
    for each row execute function refuse_record_change();

-- Journals: a row is completed, but never deleted, and what it said first stays ----------------------------------------

-- Its argument: the columns that may change.
create function refuse_other_change() returns trigger language plpgsql as $$
declare
    changed text;
begin
    if tg_op = 'DELETE' then
        raise exception '% is kept as it was written: a row can not be deleted', tg_table_name
            using errcode = 'integrity_constraint_violation';
    end if;
    select string_agg(o.key, ', ' order by o.key) into changed
    from jsonb_each(to_jsonb(old)) as o
    where o.key <> all (tg_argv[0]::text[]) and o.value is distinct from to_jsonb(new) -> o.key;
    if changed is not null then
        raise exception '% is kept as it was written: % can not be changed', tg_table_name, changed
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

-- An answer is written down once.
create trigger refuse_other_change before update or delete on stripe_attempts
    for each row execute function refuse_other_change(
        '{answered_at,outcome,http_status,stripe_request_id,error_code,error_message}'
    );
create trigger refuse_record_change before update on stripe_attempts
    for each row when (old.outcome is not null) execute function refuse_record_change();
create trigger refuse_other_change before update or delete on stripe_repairs
    for each row execute function refuse_other_change(
        '{answered_at,outcome,http_status,stripe_request_id,error_code,error_message}'
    );
create trigger refuse_record_change before update on stripe_repairs
    for each row when (old.outcome is not null) execute function refuse_record_change();

-- Where an invoice stands in Stripe moves on until it is finalized there. What somebody took back in Stripe is sent again
-- under the next generation, when a person says so.
create trigger refuse_other_change before update or delete on stripe_invoices
    for each row execute function refuse_other_change(
        '{state,step,generation,stripe_invoice_id,stripe_total_cents,hosted_invoice_url,failure_code,'
        'failure_customer_text,failure_operator_text,retryable,run_id,updated_at,finalized_at,alerted_code}'
    );
create trigger refuse_change_of_finalized before update on stripe_invoices
    for each row when (old.state = 'finalized' and new.generation = old.generation)
    execute function refuse_other_change('{run_id,updated_at,alerted_code}');
create trigger refuse_older_generation before update on stripe_invoices
    for each row when (new.generation < old.generation) execute function refuse_record_change();

-- What an event came to is settled once; that people were told is added.
create trigger refuse_other_change before update or delete on stripe_events
    for each row execute function refuse_other_change(
        '{outcome,reason,code,customer_text,operator_text,alerted_at,recovery_told_at}'
    );
create trigger refuse_change_of_settled before update on stripe_events
    for each row when (old.outcome <> 'waiting') execute function refuse_other_change('{alerted_at,recovery_told_at}');

create trigger refuse_other_change before update or delete on alerts
    for each row execute function refuse_other_change('{next_try_at,refusals,last_refusal,taken_at}');
create trigger refuse_change_of_taken before update on alerts
    for each row when (old.taken_at is not null) execute function refuse_record_change();

-- The ledger of landings: a day's files, rejected rows and months are replaced by landing the day again, and only so ----

create trigger refuse_record_change before delete on landing_days
    for each row execute function refuse_record_change();
create trigger refuse_move before update on landing_days
    for each row when (new.landing_day <> old.landing_day) execute function refuse_record_change();
create trigger refuse_record_change before delete on landed_months
    for each row execute function refuse_record_change();

-- The transaction that lands a day writes its row of landing_days first.
create function refuse_change_without_landing() returns trigger language plpgsql as $$
declare
    touched date;
begin
    select c.landing_day into touched
    from (select distinct landing_day from changed_rows) as c
    left join landing_days as d on d.landing_day = c.landing_day
    where d.xmin is distinct from pg_current_xact_id()::xid
    limit 1;
    if found then
        raise exception '% of % can not be changed or deleted: landing the day again replaces them', tg_table_name, touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_delete_without_landing after delete on usage_files
    referencing old table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_update_without_landing after update on usage_files
    referencing old table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_update_into_without_landing after update on usage_files
    referencing new table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_delete_without_landing after delete on rejected_usage
    referencing old table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_other_change before update on rejected_usage
    for each row execute function refuse_other_change('{is_free}');
-- The rows and files of a month from before these were kept are added without landing its days again.
create function refuse_count_without_landing() returns trigger language plpgsql as $$
begin
    if not exists (
        select from landing_days where landing_day = old.landing_day and xmin = pg_current_xact_id()::xid
    ) then
        raise exception '% of % can not be changed or deleted: landing the day again replaces them',
            tg_table_name, old.landing_day
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_update_without_landing before update on landed_months
    for each row when (new.accepted <> old.accepted or old.rows is not null)
    execute function refuse_count_without_landing();
create trigger refuse_move before update on landed_months
    for each row when ((new.landing_day, new.month) <> (old.landing_day, old.month))
    execute function refuse_record_change();

-- Which usage table holds what was landed: its identity stays, only its newest version moves on.
create trigger refuse_other_change before update or delete on usage_tables
    for each row execute function refuse_other_change('{acknowledged,lost_after}');

-- Carried levels: a month's are made as a whole and forgotten as a whole. One that is missing would be usage unbilled.
create trigger refuse_record_change before update on carried_levels
    for each row execute function refuse_record_change();

create function refuse_part_of_carried_month() returns trigger language plpgsql as $$
declare
    touched date;
begin
    select m.month into touched
    from (select distinct month from changed_rows) as c
    join carried_months as m on m.month = c.month
    where tg_op = 'DELETE' or m.xmin <> pg_current_xact_id()::xid
    limit 1;
    if found then
        raise exception 'the levels carried into % are kept as a whole: a part can not be added or deleted',
            to_char(touched, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation',
                  hint = 'delete the month from carried_months: its levels are calculated again from the usage table';
    end if;
    return null;
end $$;

create trigger refuse_delete_of_part after delete on carried_levels
    referencing old table as changed_rows for each statement execute function refuse_part_of_carried_month();
create trigger refuse_insert_of_part after insert on carried_levels
    referencing new table as changed_rows for each statement execute function refuse_part_of_carried_month();
create trigger refuse_move before update on carried_months
    for each row when (new.month <> old.month) execute function refuse_record_change();

-- Usage that was billed ------------------------------------------------------------------------------------------------

-- A snapshot is named after its content: only since when and from which version it is known, and whether it still holds,
-- may change.
create trigger refuse_other_change before update on usage_snapshots
    for each row
    when (
        (new.id, new.organization_id, new.month, new.fingerprint, new.events)
            is distinct from (old.id, old.organization_id, old.month, old.fingerprint, old.events)
    )
    execute function refuse_record_change();

-- As it was, and also for usage that a final invoice bills together with its adjustments.
create or replace function refuse_billed_rollup_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched
    from (
        select s.invoice_id from invoice_snapshots as s
        where s.snapshot_id = any (array(select distinct snapshot_id from changed_rows))
        union all
        select s.invoice_id from corrected_snapshots as s
        where s.snapshot_id = any (array(select distinct snapshot_id from changed_rows))
    ) as billed
    join invoices as i on i.id = billed.invoice_id
    where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create function refuse_billed_snapshot_deletion() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched
    from (
        select s.invoice_id from invoice_snapshots as s where s.snapshot_id = any (array(select id from changed_rows))
        union all
        select s.invoice_id from corrected_snapshots as s where s.snapshot_id = any (array(select id from changed_rows))
    ) as billed
    join invoices as i on i.id = billed.invoice_id
    where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be deleted', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_billed_snapshot_deletion after delete on usage_snapshots
    referencing old table as changed_rows for each statement execute function refuse_billed_snapshot_deletion();

-- Parts of final invoices ----------------------------------------------------------------------------------------------

create trigger refuse_update_into_finalized after update on invoice_taxes
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_into_finalized after update on invoice_snapshots
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();

-- Corrections add to what a final invoice counts towards its commitments, and change it; nothing takes it away.
create trigger refuse_delete_from_finalized after delete on invoice_commitments
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_move before update on invoice_commitments
    for each row when ((new.invoice_id, new.commitment_id) <> (old.invoice_id, old.commitment_id))
    execute function refuse_record_change();

-- What it used is kept by foreign keys as well; this holds where those are off (a replica, a restore).
create function refuse_used_price_deletion() returns trigger language plpgsql as $$
begin
    if exists (
        select from invoice_items as t join invoices as i on i.id = t.invoice_id
        where t.price_id = old.id and i.status <> 'open'
    ) then
        raise exception 'price % of % was used by a finalized invoice: it can not be deleted', old.key, old.effective_from
            using errcode = 'integrity_constraint_violation', hint = 'set its effective_until';
    end if;
    return old;
end $$;

create trigger refuse_used_price_deletion before delete on prices
    for each row execute function refuse_used_price_deletion();

-- TRUNCATE, also by CASCADE from a table that is referred to. Left out: stripe_pace, which is unlogged and starts anew.
do $$
declare
    one text;
begin
    for one in
        select c.relname from pg_class as c
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
            and c.relname not in ('stripe_pace', 'alembic_version')
            and not exists (select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = 'refuse_truncate')
        order by c.relname
    loop
        execute format(
            'create trigger refuse_truncate before truncate on %I for each statement execute function refuse_truncate()', one
        );
    end loop;
end $$;

-- A refusal holds whoever asks: also with session_replication_role = replica, which switches ordinary triggers off.
do $$
declare
    one record;
begin
    for one in
        select t.tgrelid::regclass as on_table, t.tgname from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal and t.tgname like 'refuse\_%'
    loop
        execute format('alter table %s enable always trigger %I', one.on_table, one.tgname);
    end loop;
end $$;
