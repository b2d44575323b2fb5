-- The schema is the first check: keys, foreign keys and check constraints make wrong states impossible, and triggers
-- refuse to change what was finalized. This file has the rules that several tables share.

-- A term that can't be read would keep a whole month from being billed: it can't be written.
create function is_scope(scope jsonb, kinds jsonb) returns boolean language sql immutable as $$
    select jsonb_typeof(scope) = 'object'
        and scope - array['kinds', 'products', 'price_keys', 'meter', 'match'] = '{}'
        and coalesce(bool_and(jsonb_typeof(scope -> list) = 'array') filter (where scope ? list), true)
        and coalesce(scope -> 'kinds' <@ kinds and scope -> 'kinds' <> '[]', true)
        and coalesce(jsonb_typeof(scope -> 'meter') in ('string', 'null'), true)
        and coalesce(jsonb_typeof(scope -> 'match') = 'object', true)
        and not jsonb_path_exists(scope, 'strict $.match.* ? (@.type() != "array" && @.type() != "string")', silent => true)
        and not jsonb_path_exists(scope, 'strict $.match.* ? (@.type() == "array" && @.size() == 0)', silent => true)
        and not jsonb_path_exists(scope, 'strict $.match.*[*] ? (@.type() != "string")', silent => true)
    from unnest(array['kinds', 'products', 'price_keys']) as list
$$;
comment on function is_scope is 'whether invoicing.rules.items.Scope can read it, and its kinds are among those that a term can be about';

-- numeric knows NaN (above all numbers) and Infinity.
create function is_amount(amount numeric) returns boolean language sql immutable as $$
    select amount >= 0 and amount < 'Infinity' and scale(trim_scale(amount)) <= 12
$$;
comment on function is_amount is 'a finite number of at least 0 with at most 12 decimals, as pricing.rules.fields.check_amount';

-- Texts by which something is found again: one line each, not empty, without blanks around it.
create function are_keys(words text[]) returns boolean language sql immutable as $$
    select coalesce(bool_and(word is not null and word ~ '^\S(.*\S)?$' and word !~ '[[:cntrl:]]'), true)
    from unnest(words) as word
$$;

create function month_of(moment timestamptz) returns date language sql immutable as $$
    select cast(date_trunc('month', moment, 'UTC') at time zone 'UTC' as date)
$$;

create function refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception 'billing records are never truncated' using errcode = 'integrity_constraint_violation';
end $$;

-- For records that are only added to.
create function refuse_record_change() returns trigger language plpgsql as $$
begin
    raise exception '% is kept as it was written: a row can not be changed or deleted', tg_table_name
        using errcode = 'integrity_constraint_violation', hint = 'add a new row that puts it right';
end $$;

-- For journals: a row is completed, never deleted, and what it said first stays. Its argument: the columns that may change.
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

create function refuse_other_currency() returns trigger language plpgsql as $$
begin
    if new.currency <> (select currency from organizations where id = new.organization_id) then
        raise exception '% % is in %, % is billed in another currency',
            tg_argv[0], new.id, new.currency, new.organization_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
