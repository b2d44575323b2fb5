-- An event of Stripe that a bad row of our invoice can't take waits for the row to be corrected, and people are told why.

do $$
declare
    old_rule name;
begin
    select conname into strict old_rule from pg_constraint
    where conrelid = 'stripe_events'::regclass and contype = 'c'
        and pg_get_constraintdef(oid) like '%applied%conflict%code IS NULL%';
    execute format('alter table stripe_events drop constraint %I', old_rule);
end $$;
alter table stripe_events
    add constraint code_says_what_to_do check (outcome in ('applied', 'conflict', 'waiting') or code is null);
comment on column stripe_events.outcome is
    'waiting: for our own sync, which has not finished the invoice yet; with a code: for a row that must be corrected';
