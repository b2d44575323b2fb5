-- As they were, but the rows that a statement touched are looked up by their keys. Joined, they are compared with every
-- final invoice there is wherever Postgres believes that there is none.
create or replace function refuse_finalized_item_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    if tg_op = 'UPDATE' and pg_trigger_depth() > 1 then
        return null; -- follow_invoice_change marks the items of a void invoice: nothing else updates items in a trigger
    end if;
    select i.id into touched from invoices as i
    where i.id = any (array(select distinct invoice_id from changed_rows)) and i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: its items can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create or replace function refuse_billed_rollup_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched
    from invoice_snapshots as s
    join invoices as i on i.id = s.invoice_id
    where s.snapshot_id = any (array(select distinct snapshot_id from changed_rows)) and i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;
