-- The whole schema, written by pg_dump: do not edit it. Change it by a migration and run `make schema`.
-- To read it by subject, with the reasons: postgres/migrations/versions/0039_baseline; as a picture: docs/schema.md.

SET check_function_bodies = false;

CREATE FUNCTION public.accounting_month(month date, transaction_id bigint) RETURNS date
    LANGUAGE sql STABLE
    AS $$
    select greatest(
        accounting_month.month,
        (
            select cast(max(p.month) + interval '1 month' as date)
            from accounting_periods as p
            where p.last_transaction_id < accounting_month.transaction_id
        )
    )
$$;

COMMENT ON FUNCTION public.accounting_month(month date, transaction_id bigint) IS 'The month in which a ledger transaction counts: its own, or the first open one if that was closed before it was posted.';

CREATE FUNCTION public.acknowledge_cap_call(of_organization_id text, in_channel text, of_number integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
    update alerts as a set taken_at = now()
    from (select max(c.number) as number from spend_cap_calls as c where c.organization_id = of_organization_id) as newest
    where a.key = 'spend cap ' || of_organization_id || ' ' || newest.number
        and newest.number = coalesce(of_number, newest.number)
        and a.channel = in_channel and a.taken_at is null and a.given_up_at is null;
    return found;
end $$;

COMMENT ON FUNCTION public.acknowledge_cap_call(of_organization_id text, in_channel text, of_number integer) IS 'Acknowledges the organization''s newest call, if it waits and has this number (null: any).';

CREATE FUNCTION public.acknowledge_cap_call_with_token(token_id uuid, of_organization_id text, in_channel text, of_number integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform act_with_token(token_id, 'alerts:acknowledge', of_organization_id);
    return acknowledge_cap_call(of_organization_id, in_channel, of_number) or exists (
        select from alerts as a
        where a.key = 'spend cap ' || of_organization_id || ' ' || of_number and a.channel = in_channel
            and a.taken_at is not null
    );
end $$;

CREATE FUNCTION public.act_with_token(token_id uuid, needed_scope text, of_organization_id text) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    now_is constant timestamptz := clock_timestamp();
    token_name text;
begin
    select t.name into token_name from api_tokens as t
    where t.id = token_id and t.expires_at > now_is and (t.revoked_at is null or t.revoked_at > now_is)
        and (t.role = 'issuer' or (t.organization_id = of_organization_id and needed_scope = any(t.scopes)));
    if not found then
        raise exception 'token % may not do that', token_id using errcode = 'insufficient_privilege';
    end if;
    perform set_config('fly_billing.who', 'token ' || token_id || ' (' || token_name || ')', true);
end $$;

COMMENT ON FUNCTION public.act_with_token(token_id uuid, needed_scope text, of_organization_id text) IS 'Refuses a token that does not work or may not do this for the organization. What follows is recorded in its name.';

CREATE FUNCTION public.add_spend_threshold(of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint, of_percent integer) RETURNS TABLE(threshold_id uuid, is_new boolean)
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock(hashtextextended('spend thresholds of ' || of_organization_id, 0));
    insert into spend_thresholds as t (organization_id, kind, subject, currency, amount_cents, percent)
    values (of_organization_id, of_kind, of_subject, in_currency, of_amount_cents, of_percent)
    on conflict (organization_id, kind, subject, currency, amount_cents, percent) do update
        set removed_at = null
        where t.removed_at is not null
    returning t.id into threshold_id;
    is_new := found;
    if not is_new then
        select t.id into threshold_id from spend_thresholds as t
        where t.organization_id = of_organization_id and t.kind = of_kind and t.currency = in_currency
            and t.subject is not distinct from of_subject and t.amount_cents is not distinct from of_amount_cents
            and t.percent is not distinct from of_percent;
    elsif of_kind <> 'cap' and 100 < (
        select count(*) from spend_thresholds as t
        where t.organization_id = of_organization_id and t.kind <> 'cap' and t.removed_at is null
    ) then
        raise exception 'an organization has at most 100 spend alerts: remove some first'
            using errcode = 'check_violation', constraint = 'at_most_100_spend_alerts';
    end if;
    return next;
end $$;

COMMENT ON FUNCTION public.add_spend_threshold(of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint, of_percent integer) IS 'Sets a threshold, once: is_new is false if the organization has it already.';

CREATE FUNCTION public.add_spend_threshold_with_token(token_id uuid, of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint, of_percent integer) RETURNS TABLE(threshold_id uuid, is_new boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform act_with_token(token_id, 'alerts:write', of_organization_id);
    return query select a.threshold_id, a.is_new from add_spend_threshold(
        of_organization_id, of_kind, of_subject, in_currency, of_amount_cents, of_percent
    ) as a;
end $$;

CREATE FUNCTION public.add_staged_items() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    is_by_set boolean := current_setting('session_replication_role') = 'origin'
        and has_parameter_privilege('session_replication_role', 'set');
begin
    if exists (
        select from unnest(array['staged_items', 'staged_item_rollups']) as s (name)
        left join pg_class as c on c.oid = to_regclass('pg_temp.' || s.name)
        where (c.relkind = 'r' and c.relowner = current_user::regrole) is not true
    ) then
        -- Reading them could run somebody's code with the owner's rights.
        raise exception 'staged_items and staged_item_rollups are not the tables of stage_invoice_items()'
            using errcode = 'insufficient_privilege';
    end if;
    loop
        begin
            if is_by_set then
                perform set_config('session_replication_role', 'replica', true);
            end if;
            insert into invoice_items (
                id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount,
                amount_cents, price_id, negotiated_price_id, price_key, meter, subscription_id, period_start,
                period_end, interval_start, interval_end, one_off_item_id, adjustment_id, discount_id, commitment_id,
                credit_grant_id, tax_rate_id, detail
            )
            select
                id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount,
                amount_cents, price_id, negotiated_price_id, price_key, meter, subscription_id, period_start,
                period_end, interval_start, interval_end, one_off_item_id, adjustment_id, discount_id, commitment_id,
                credit_grant_id, tax_rate_id, detail
            from pg_temp.staged_items;
            insert into invoice_item_rollups (invoice_id, rollup_id, item_id)
            select invoice_id, rollup_id, item_id from pg_temp.staged_item_rollups;
            if is_by_set then
                perform set_config('session_replication_role', 'origin', true);
                if has_broken_references('invoice_items', 'pg_temp.staged_items')
                    or has_broken_references('invoice_item_rollups', 'pg_temp.staged_item_rollups')
                then
                    raise foreign_key_violation;
                end if;
            end if;
            exit;
        exception
            when integrity_constraint_violation then
                if not is_by_set then
                    raise;
                end if;
                -- The rows and the setting are rolled back. Row by row, Postgres names the first wrong row itself.
                is_by_set := false;
        end;
    end loop;
    truncate pg_temp.staged_items, pg_temp.staged_item_rollups;
end $$;

COMMENT ON FUNCTION public.add_staged_items() IS 'Adds the rows of staged_items and staged_item_rollups. Their foreign keys are checked by set if the tables'' owner may set
session_replication_role, otherwise row by row. Triggers that are enabled always fire in both cases.';

CREATE FUNCTION public.analyze_table(table_name regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if not exists (
        select from pg_class
        where oid = table_name and relkind = 'r' and relpersistence = 'p' and relowner = current_user::regrole
    ) then
        raise exception '% is not one of our tables', table_name using errcode = 'insufficient_privilege';
    end if;
    execute format('analyze (skip_locked) %s', table_name);
end $$;

COMMENT ON FUNCTION public.analyze_table(table_name regclass) IS 'Analyzes a table of the billing database, unless another transaction analyzes or vacuums it now.';

CREATE FUNCTION public.are_keys(words text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    select coalesce(bool_and(word is not null and word ~ '^\S(.*\S)?$' and word !~ '[[:cntrl:]]'), true)
    from unnest(words) as word
$_$;

CREATE TABLE public.invoices (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    month date NOT NULL,
    revision integer DEFAULT 0 NOT NULL,
    origin text DEFAULT 'billed'::text NOT NULL,
    status text NOT NULL,
    currency character(3) NOT NULL,
    amount numeric NOT NULL,
    total_cents bigint NOT NULL,
    usage_snapshot_id uuid,
    computed_at timestamp with time zone NOT NULL,
    finalized_at timestamp with time zone,
    due_on date,
    paid_at timestamp with time zone,
    number integer,
    inputs_fingerprint text,
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT computed_at_is_a_time CHECK (((computed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (computed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT due_on_is_a_day CHECK (((due_on >= '1970-01-01'::date) AND (due_on < '2200-01-01'::date))),
    CONSTRAINT finalized_at_is_a_time CHECK (((finalized_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (finalized_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT invoices_check CHECK (((status = 'open'::text) = (finalized_at IS NULL))),
    CONSTRAINT invoices_check1 CHECK (((status = 'open'::text) OR (due_on IS NOT NULL))),
    CONSTRAINT invoices_check2 CHECK (((status = 'paid'::text) = (paid_at IS NOT NULL))),
    CONSTRAINT invoices_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT invoices_inputs_fingerprint_check CHECK ((inputs_fingerprint ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT invoices_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT invoices_number_check CHECK ((number > 0)),
    CONSTRAINT invoices_origin_check CHECK ((origin = ANY (ARRAY['billed'::text, 'imported'::text]))),
    CONSTRAINT invoices_revision_check CHECK ((revision >= 0)),
    CONSTRAINT invoices_status_check CHECK ((status = ANY (ARRAY['open'::text, 'finalized'::text, 'paid'::text, 'void'::text, 'uncollectible'::text]))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT numbered_when_final CHECK (((status = 'open'::text) = (number IS NULL))),
    CONSTRAINT paid_at_is_a_time CHECK (((paid_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (paid_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT total_cents_is_finite CHECK ((abs(total_cents) < '1000000000000000'::bigint))
);

COMMENT ON TABLE public.invoices IS 'One row per invoice of a payer and month, open ones included. A revision replaces a void invoice.';

COMMENT ON COLUMN public.invoices.id IS 'Identifies the invoice; a recalculated open invoice keeps it.';

COMMENT ON COLUMN public.invoices.organization_id IS 'The payer.';

COMMENT ON COLUMN public.invoices.month IS 'The first day of the billed month.';

COMMENT ON COLUMN public.invoices.revision IS '0 for the first invoice of the month; each reissue after a void one is 1 higher.';

COMMENT ON COLUMN public.invoices.origin IS 'imported: issued and settled before fly_billing; never synced to Stripe.';

COMMENT ON COLUMN public.invoices.status IS 'open: recalculated in every run; finalized, paid, void and uncollectible: final, it never changes again.';

COMMENT ON COLUMN public.invoices.currency IS 'The currency of all amounts, ISO 4217.';

COMMENT ON COLUMN public.invoices.amount IS 'The exact sum of the items; total_cents is this amount, rounded half-up once.';

COMMENT ON COLUMN public.invoices.total_cents IS 'The total in the currency''s minor unit.';

COMMENT ON COLUMN public.invoices.usage_snapshot_id IS 'The payer''s usage that it bills; null without usage.';

COMMENT ON COLUMN public.invoices.computed_at IS 'When it was calculated last.';

COMMENT ON COLUMN public.invoices.finalized_at IS 'When it became final; null while it is open.';

COMMENT ON COLUMN public.invoices.due_on IS 'The due date; null while it is open.';

COMMENT ON COLUMN public.invoices.paid_at IS 'When Stripe received the payment; null unless it is paid.';

COMMENT ON COLUMN public.invoices.number IS 'Consecutive per organization, assigned when it is finalized; void invoices keep theirs.';

COMMENT ON COLUMN public.invoices.inputs_fingerprint IS 'Hash of everything that the invoice was calculated from: usage snapshots, purchases, terms, prices and the version of the rules. Billing an open month again leaves an invoice with equal inputs as it is. Null: always calculated again.';

CREATE FUNCTION public.asked_of_invoice(invoice public.invoices, from_status text) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
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

COMMENT ON FUNCTION public.asked_of_invoice(invoice public.invoices, from_status text) IS 'What Stripe asked for an invoice when its status became the new one, without the parts that were paid before.';

CREATE FUNCTION public.billed_currency(of_organization text, in_month date) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select coalesce(
        (
            select h.currency
            from organization_history as h
            where h.organization_id = of_organization and h.before_month > in_month
            order by h.before_month
            limit 1
        ),
        (select o.currency from organizations as o where o.id = of_organization)
    )
$$;

COMMENT ON FUNCTION public.billed_currency(of_organization text, in_month date) IS 'The currency of an organization''s invoice for the month that has this day.';

CREATE FUNCTION public.fill_one_off_amount() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if new.amount is null then
        new.amount := new.quantity * new.unit_amount;
    end if;
    return new;
end
$$;

CREATE FUNCTION public.final_invoices_that_used(term_table text, term jsonb) RETURNS SETOF public.invoices
    LANGUAGE sql STABLE
    AS $$
    with terms as (
        select d.id, d.organization_id
        from discounts as d
        where term_table = 'coupons' and d.coupon_code = term ->> 'code'
        union all
        select cast(term ->> 'id' as uuid), term ->> 'organization_id' where term_table <> 'coupons'
    )
    select i.*
    from invoices as i
    where i.status <> 'open'
        and i.organization_id in (
            select organization_id from terms
            union
            select payer_id from organization_links where organization_id in (select organization_id from terms)
        )
        and (
            exists (
                select from invoice_items as t
                where t.invoice_id = i.id
                    -- Of these an item has one at most: constraint one_source_each.
                    and coalesce(t.subscription_id, t.discount_id, t.commitment_id, t.credit_grant_id)
                        in (select id from terms)
            )
            -- These two have no item where the minimum was reached, or the tax is contained in the prices.
            or exists (
                select from invoice_commitments as c
                where c.invoice_id = i.id and c.commitment_id in (select id from terms)
            )
            or exists (
                select from invoice_taxes as x where x.invoice_id = i.id and x.tax_rate_id in (select id from terms)
            )
        )
$$;

COMMENT ON FUNCTION public.final_invoices_that_used(term_table text, term jsonb) IS 'Returns the final invoices, void ones included, whose amounts a row of one of the tables of terms affected.';

CREATE FUNCTION public.finance_as_of() RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
    select coalesce(cast(nullif(current_setting('fly_billing.as_of', true), '') as timestamptz), now())
$$;

COMMENT ON FUNCTION public.finance_as_of() IS 'The moment that the views of finance show: the setting fly_billing.as_of of the transaction, or else now.';

CREATE FUNCTION public.follow_invoice_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into invoice_changes (
        invoice_id, from_status, to_status, changed_by, why, asked_cents, noted_cents, noted_tax_cents, part_paid_cents,
        happened_at
    )
    values (
        new.id, old.status, new.status,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user),
        nullif(current_setting('fly_billing.why', true), ''),
        case when new.status in ('paid', 'uncollectible', 'void') then asked_of_invoice(new, old.status) end,
        case when new.status = 'void' then noted_of_invoice(new.id) end,
        case when new.status = 'void' then noted_tax_of_invoice(new.id) end,
        case when new.status = 'paid' then part_paid_of_invoice(new.id) end,
        case
            when new.status in ('uncollectible', 'void')
                then cast(nullif(current_setting('fly_billing.happened_at', true), '') as timestamptz)
        end
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

CREATE FUNCTION public.give_back_credit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into credit_entries (grant_id, kind, amount, invoice_id)
    select credit_grant_id, 'given_back', sum(amount), invoice_id
    from added where credit_grant_id is not null
    group by credit_grant_id, invoice_id
    having sum(amount) <> 0;
    return null;
end $$;

CREATE FUNCTION public.grant_credit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into credit_entries (grant_id, kind, amount) values (new.id, 'granted', new.amount);
    return null;
end $$;

CREATE FUNCTION public.has_broken_references(of_table regclass, added regclass) RETURNS boolean
    LANGUAGE plpgsql
    AS $_$
declare
    is_broken boolean;
    statement text;
begin
    -- A part for each foreign key, read from the catalog, so that none is forgotten. It locks the rows that it finds as
    -- the check of a single row does: nobody deletes them before we commit, and a deletion under way is waited for.
    select 'select ' || coalesce(
        string_agg(
            format(
                'exists (select from (select distinct %1$s from %2$s where (%1$s) is not null) as a'
                ' where not exists (select from %3$s as b where (%4$s) = (%5$s) for key share))',
                k.columns, added, k.on_table, k.found_columns, k.added_columns
            ),
            ' or '
        ),
        'false'
    )
    into statement
    from (
        select
            c.confrelid::regclass as on_table,
            string_agg(quote_ident(a.attname), ', ' order by n.place) as columns,
            string_agg('a.' || quote_ident(a.attname), ', ' order by n.place) as added_columns,
            string_agg('b.' || quote_ident(b.attname), ', ' order by n.place) as found_columns
        from pg_constraint as c
        cross join unnest(c.conkey, c.confkey) with ordinality as n (number, found_number, place)
        join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = n.number
        join pg_attribute as b on b.attrelid = c.confrelid and b.attnum = n.found_number
        where c.conrelid = of_table and c.contype = 'f'
        group by c.oid, c.confrelid
    ) as k;
    execute statement into is_broken;
    return is_broken;
end $_$;

COMMENT ON FUNCTION public.has_broken_references(of_table regclass, added regclass) IS 'True if a row of `added` refers to a row that does not exist, by one of the foreign keys of `of_table`.';

CREATE FUNCTION public.is_amount(amount numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    select amount >= 0 and amount < 'Infinity' and scale(trim_scale(amount)) <= 12
$$;

COMMENT ON FUNCTION public.is_amount(amount numeric) IS 'True for a finite number of at least 0 with at most 12 decimals, as in pricing.rules.fields.check_amount.';

CREATE FUNCTION public.is_customers_money(credit uuid) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select exists (
        select from credit_grants as g
        where g.id = credit
            and (g.pays = 'gross' or exists (select from credit_notes as n where n.credit_grant_id = g.id))
    )
$$;

COMMENT ON FUNCTION public.is_customers_money(credit uuid) IS 'Whether the platform owes the credit: prepaid credit and credit notes. A promotion only lowers revenue when it is used.';

CREATE FUNCTION public.is_scope(scope jsonb, kinds jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
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
$_$;

COMMENT ON FUNCTION public.is_scope(scope jsonb, kinds jsonb) IS 'True if invoicing.rules.items.Scope can read it and its kinds are among those that a term can apply to.';

CREATE FUNCTION public.issue_organization_token(new_id uuid, new_sha256 text, new_organization_id text, new_scopes text[], new_name text, new_expires_at timestamp with time zone, issuer_id uuid) RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    issuer api_tokens;
    now_is constant timestamptz := clock_timestamp();
begin
    select * into issuer from api_tokens as t
    where t.id = issuer_id and t.role = 'issuer' and t.expires_at > now_is
        and (t.revoked_at is null or t.revoked_at > now_is);
    if not found then
        raise exception 'token % may not issue tokens', issuer_id using errcode = 'insufficient_privilege';
    end if;
    insert into api_tokens (
        id, sha256, organization_id, scopes, name, issued_by, issued_with, issued_at, expires_at
    )
    values (
        new_id, new_sha256, new_organization_id, new_scopes, new_name, issuer.name, issuer.id, now_is, new_expires_at
    );
    return now_is;
end $$;

CREATE FUNCTION public.keep_invoice_details() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if not exists (select from new_invoices where status = 'finalized') then
        return null;
    end if;
    insert into invoice_details (
        invoice_id, name, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection,
        net_days, purchase_order, memo, footer, seller
    )
    select
        n.id, coalesce(d.legal_name, g.name), d.legal_name, d.email, d.line1, d.line2, d.postal_code, d.city, d.state,
        d.country, coalesce(d.tax_ids, '{}'), coalesce(d.collection, 'charge_automatically'), d.net_days,
        d.purchase_order, d.memo, d.footer, current_setting('fly_billing.seller', true)
    from new_invoices as n
    join old_invoices as o on o.id = n.id and o.status = 'open'
    join organizations as g on g.id = n.organization_id
    left join billing_details as d on d.organization_id = n.organization_id
    where n.status = 'finalized';
    return null;
end $$;

CREATE FUNCTION public.keep_what_held() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    final constant date := last_final_month(old.id);
    asked constant date := nullif(current_setting('fly_billing.from_month', true), '');
    first_month constant date := coalesce(asked, (final + interval '1 month')::date);
    recorded constant date := (select max(before_month) from organization_history where organization_id = old.id);
begin
    if first_month is null then
        return null; -- nothing was billed: it has always been so
    end if;
    if asked <= final then
        raise exception '% has a final invoice of %: its currency and price book can change from the next month on',
            old.id, to_char(final, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation', hint = 'set fly_billing.from_month to a later month';
    end if;
    if first_month < recorded then
        raise exception '% changes from % on already: another change can not begin before', old.id, to_char(recorded, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation', hint = 'set fly_billing.from_month to that month or a later one';
    end if;
    if new.currency <> old.currency and exists (
        select from adjustments as a
        where a.payer_id = old.id and a.credit_note_id is null and a.credit_request_id is null
            and not exists (
                select from invoice_items as t join invoices as i on i.id = t.invoice_id
                where t.adjustment_id = a.id and i.status <> 'open'
            )
            and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    ) then
        raise exception '% has adjustments in % that no final invoice has yet: its currency can not change before', old.id, old.currency
            using errcode = 'integrity_constraint_violation', hint = 'change it once they are billed';
    end if;
    -- A second change before the next month is billed: what was billed had the values from before the first.
    insert into organization_history (organization_id, before_month, currency, price_book)
    values (old.id, first_month, old.currency, old.price_book)
    on conflict do nothing;
    return null;
end $$;

CREATE FUNCTION public.last_final_month(organization text) RETURNS date
    LANGUAGE sql STABLE
    AS $$
    select max(month) from (
        select max(i.month) as month from invoices as i where i.organization_id = organization and i.status <> 'open'
        union all
        select max(i.month)
        from organization_links as l
        join invoices as i
            on i.organization_id = l.payer_id and i.status <> 'open'
            and daterange(l.first_month, l.last_month, '[]') @> i.month
        where l.organization_id = organization
    ) as final
$$;

COMMENT ON FUNCTION public.last_final_month(organization text) IS 'Returns the last month in which the organization, or its payer then, has a final invoice; void ones included.';

CREATE TABLE public.stripe_money (
    id bigint NOT NULL,
    object_id text NOT NULL,
    number integer NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    organization_id text NOT NULL,
    invoice_id uuid,
    stripe_invoice_id text,
    payment_intent text,
    currency text NOT NULL,
    amount_cents bigint NOT NULL,
    unpaid_cents bigint,
    refunded_cents bigint,
    credited_cents bigint,
    out_of_band_cents bigint,
    balance_cents bigint,
    reason text,
    created_at timestamp with time zone NOT NULL,
    read_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    tax_cents bigint,
    credited_lines jsonb,
    CONSTRAINT balance_has_its_sum CHECK (((kind = 'customer_balance_transaction'::text) = (balance_cents IS NOT NULL))),
    CONSTRAINT credit_note_has_its_parts CHECK (
CASE
    WHEN (kind = 'credit_note'::text) THEN (amount_cents = (((unpaid_cents + refunded_cents) + credited_cents) + out_of_band_cents))
    ELSE (num_nonnulls(unpaid_cents, refunded_cents, credited_cents, out_of_band_cents) = 0)
END),
    CONSTRAINT only_a_balance_falls CHECK (((amount_cents >= 0) OR (kind = 'customer_balance_transaction'::text))),
    CONSTRAINT only_a_credit_note_has_lines CHECK (((credited_lines IS NULL) OR (kind = 'credit_note'::text))),
    CONSTRAINT only_a_credit_note_has_tax CHECK ((tax_cents <=
CASE kind
    WHEN 'credit_note'::text THEN amount_cents
    ELSE (0)::bigint
END)),
    CONSTRAINT stripe_money_amount_cents_check CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_money_balance_cents_check CHECK ((abs(balance_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_money_created_at_check CHECK (((created_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (created_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_money_credited_cents_check CHECK (((credited_cents >= 0) AND (credited_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_money_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT stripe_money_kind_check CHECK ((kind = ANY (ARRAY['credit_note'::text, 'refund'::text, 'dispute'::text, 'customer_balance_transaction'::text]))),
    CONSTRAINT stripe_money_number_check CHECK ((number > 0)),
    CONSTRAINT stripe_money_object_id_check CHECK ((object_id <> ''::text)),
    CONSTRAINT stripe_money_out_of_band_cents_check CHECK (((out_of_band_cents >= 0) AND (out_of_band_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_money_read_at_check CHECK (((read_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (read_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_money_refunded_cents_check CHECK (((refunded_cents >= 0) AND (refunded_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_money_source_check CHECK ((source = ANY (ARRAY['sync'::text, 'webhook'::text, 'polling'::text, 'sweep'::text]))),
    CONSTRAINT stripe_money_status_check CHECK ((status <> ''::text)),
    CONSTRAINT stripe_money_tax_cents_check CHECK (((tax_cents >= 0) AND (tax_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_money_unpaid_cents_check CHECK (((unpaid_cents >= 0) AND (unpaid_cents < '1000000000000000'::bigint)))
);

COMMENT ON TABLE public.stripe_money IS 'One row per state of a credit note, refund, dispute or balance change at Stripe, as read. The last number is the newest.';

COMMENT ON COLUMN public.stripe_money.id IS 'Grows with each state that is recorded.';

COMMENT ON COLUMN public.stripe_money.object_id IS 'Stripe''s id of the object.';

COMMENT ON COLUMN public.stripe_money.number IS 'Counts the states of the object from 1.';

COMMENT ON COLUMN public.stripe_money.kind IS 'credit_note, refund, dispute, or customer_balance_transaction: a change of the balance.';

COMMENT ON COLUMN public.stripe_money.status IS 'Stripe''s status; of a balance change its type, such as adjustment.';

COMMENT ON COLUMN public.stripe_money.organization_id IS 'The organization of the Stripe customer.';

COMMENT ON COLUMN public.stripe_money.invoice_id IS 'Our invoice. Null if there is none, or if Stripe''s invoice is not the one we billed.';

COMMENT ON COLUMN public.stripe_money.stripe_invoice_id IS 'The Stripe invoice that it is about. Null if there is none.';

COMMENT ON COLUMN public.stripe_money.payment_intent IS 'The payment of a refund or dispute.';

COMMENT ON COLUMN public.stripe_money.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.stripe_money.amount_cents IS 'In minor units. A balance change is below zero if it gives the customer credit.';

COMMENT ON COLUMN public.stripe_money.unpaid_cents IS 'The part of a credit note that lowered what an open invoice asks for.';

COMMENT ON COLUMN public.stripe_money.refunded_cents IS 'The part of a credit note that refunds pay back.';

COMMENT ON COLUMN public.stripe_money.credited_cents IS 'The part of a credit note that is credited to the customer balance.';

COMMENT ON COLUMN public.stripe_money.out_of_band_cents IS 'The part of a credit note that is paid back outside Stripe.';

COMMENT ON COLUMN public.stripe_money.balance_cents IS 'The customer balance after a balance change: below zero is credit.';

COMMENT ON COLUMN public.stripe_money.reason IS 'Stripe''s reason, or the description of a balance change.';

COMMENT ON COLUMN public.stripe_money.created_at IS 'When the object was created at Stripe.';

COMMENT ON COLUMN public.stripe_money.read_at IS 'When we read it in this state.';

COMMENT ON COLUMN public.stripe_money.source IS 'What made us read it: our own request, a webhook, a poll of the events, or the nightly comparison with Stripe.';

COMMENT ON COLUMN public.stripe_money.tax_cents IS 'The tax in a credit note. 0 if its invoice was void before it was read; null if that was read before taxes were.';

COMMENT ON COLUMN public.stripe_money.credited_lines IS 'The lines of the invoice that a credit note names: first_day and end_day (half-open) of what each supplied, and its cents before tax. Null: none.';

CREATE FUNCTION public.ledger_amounts(state public.stripe_money) RETURNS TABLE(event text, amount text, cents bigint)
    LANGUAGE sql IMMUTABLE
    AS $$
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

COMMENT ON FUNCTION public.ledger_amounts(state public.stripe_money) IS 'The amounts of the events that have happened to an object at Stripe once it is in this state; 0 for the others.';

CREATE FUNCTION public.ledger_rules() RETURNS TABLE(event text, account text, sign integer, amount text)
    LANGUAGE sql IMMUTABLE
    AS $$
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

COMMENT ON FUNCTION public.ledger_rules() IS 'The entries that each event makes. sign: 1 for a debit, -1 for a credit. A test compares them with ledger.rules.events.';

CREATE FUNCTION public.ledger_source(invoice_change_id bigint, credit_note_id uuid, credit_grant_id uuid, stripe_money_id bigint, credit_expiry_id bigint, stripe_amounts_id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select coalesce(
        'change ' || invoice_change_id, 'note ' || credit_note_id, 'credit ' || credit_grant_id, 'money ' || stripe_money_id,
        'expiry ' || credit_expiry_id, 'amounts ' || stripe_amounts_id
    )
$$;

COMMENT ON FUNCTION public.ledger_source(invoice_change_id bigint, credit_note_id uuid, credit_grant_id uuid, stripe_money_id bigint, credit_expiry_id bigint, stripe_amounts_id bigint) IS 'Names the source of an entry as one text.';

CREATE UNLOGGED TABLE public.stripe_pace (
    bucket text NOT NULL,
    next_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    taken timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    slowed_to double precision,
    slowed_at timestamp with time zone,
    CONSTRAINT stripe_pace_check CHECK (((slowed_to IS NULL) = (slowed_at IS NULL))),
    CONSTRAINT stripe_pace_slowed_to_check CHECK ((slowed_to > (0)::double precision))
)
WITH (fillfactor='50');

COMMENT ON TABLE public.stripe_pace IS 'The state of the rate limiter, shared by all processes: the account and each endpoint.';

COMMENT ON COLUMN public.stripe_pace.bucket IS '''account'', or an endpoint.';

COMMENT ON COLUMN public.stripe_pace.next_at IS 'Of an endpoint: the earliest time of its next request.';

COMMENT ON COLUMN public.stripe_pace.taken IS 'Of the account: the times reserved for waiting requests, in order. A reservation of a killed process expires too.';

COMMENT ON COLUMN public.stripe_pace.slowed_to IS 'The requests per second right after the last 429; the rate grows with the time since slowed_at.';

CREATE FUNCTION public.lock_stripe_pace(wanted text) RETURNS public.stripe_pace
    LANGUAGE plpgsql
    AS $$
declare
    bucket stripe_pace;
begin
    loop
        select p.* into bucket from stripe_pace p where p.bucket = wanted for update;
        if found then
            return bucket;
        end if;
        insert into stripe_pace (bucket) values (wanted) on conflict do nothing;
    end loop;
end $$;

CREATE FUNCTION public.month_of(moment timestamp with time zone) RETURNS date
    LANGUAGE sql IMMUTABLE
    AS $$
    select cast(date_trunc('month', moment, 'UTC') at time zone 'UTC' as date)
$$;

CREATE FUNCTION public.months_beyond(price text, is_from_start boolean DEFAULT NULL::boolean) RETURNS interval
    LANGUAGE sql STABLE
    AS $$
    select make_interval(months => coalesce(max(
        case settings ->> 'interval' when 'quarter' then 3 when 'half-year' then 6 when 'year' then 12 else 1 end
    ), 1) - 1 + coalesce(is_from_start, exists (
        select from subscriptions as s where s.price_key = price and s.anchor = 'start'
    ))::integer)
    from prices where key = price
$$;

COMMENT ON FUNCTION public.months_beyond(price text, is_from_start boolean) IS 'Returns the number of months that an interval of this fee can extend past its month: more if it does not follow the calendar (is_from_start; null: if one of its subscriptions does not).';

CREATE FUNCTION public.months_of_term(on_table text, term jsonb, OUT first_month date, OUT last_month date, OUT settled_in date) RETURNS record
    LANGUAGE sql STABLE
    AS $$
    select first, last, cast(last + beyond as date)
    from (
        select
            case on_table
                when 'subscriptions' then month_of((term ->> 'started_at')::timestamptz)
                when 'prices' then month_of((term ->> 'effective_from')::timestamptz)
                else (term ->> 'first_month')::date
            end as first,
            case on_table
                when 'subscriptions' then month_of((term ->> 'ended_at')::timestamptz)
                when 'prices' then month_of((term ->> 'effective_until')::timestamptz)
                else (term ->> 'last_month')::date
            end as last,
            case
                when on_table = 'subscriptions'
                    then months_beyond(term ->> 'price_key', term ->> 'anchor' = 'start')
                when on_table = 'prices' then months_beyond(term ->> 'key')
                else interval '0'
            end as beyond
    ) as months
$$;

CREATE FUNCTION public.name_payer() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    select organization_id into new.payer_id from invoices where id = new.invoice_id;
    return new;
end $$;

CREATE FUNCTION public.note_negotiated_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    term constant jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    before_that constant jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else term end;
    is_end_only constant boolean := tg_op = 'UPDATE' and term - 'effective_until' = before_that - 'effective_until';
    -- Null: for good.
    ends constant timestamptz[] := array[
        (term ->> 'effective_until')::timestamptz, (before_that ->> 'effective_until')::timestamptz
    ];
    begins constant timestamptz := case
        when is_end_only then least(ends[1], ends[2])
        else least((term ->> 'effective_from')::timestamptz, (before_that ->> 'effective_from')::timestamptz)
    end;
    until constant timestamptz := case
        when ends[1] is null or ends[2] is null then null else greatest(ends[1], ends[2])
    end;
    -- A price of a fee holds for whole intervals: it is about the month in which the last of them ends as well.
    beyond constant interval := case tg_table_name
        when 'negotiated_prices' then months_beyond(term ->> 'key')
        else coalesce(
            (
                select max(months_beyond(n.key)) from negotiated_prices as n
                where n.price_group = term ->> 'price_group'
            ),
            interval '0'
        )
    end;
    one record;
    closed date;
begin
    if tg_op = 'UPDATE' and term = before_that then
        return null;
    end if;
    for one in
        select term ->> 'organization_id' as name, begins, until where term ->> 'organization_id' is not null
        union
        select m.organization_id, greatest(begins, m.effective_from), least(until, m.effective_until)
        from price_group_members as m
        where tg_table_name = 'negotiated_prices' and m.price_group = term ->> 'price_group'
            and (until is null or m.effective_from < until)
            and (m.effective_until is null or m.effective_until > begins)
        order by 1
    loop
        select max(i.month) into closed
        from invoices as i
        where i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= month_of(one.begins)
            and (one.until is null or cast(i.month - beyond as timestamp) at time zone 'UTC' < one.until)
            and (
                i.organization_id = one.name
                or exists (
                    select from organization_links as l
                    where l.organization_id = one.name and l.payer_id = i.organization_id
                        and daterange(l.first_month, l.last_month, '[]') @> i.month
                )
            );
        continue when closed is null;
        insert into term_changes (on_table, organization_id, first_month, last_month, what, changed_by)
        values (
            tg_table_name, one.name, month_of(one.begins), 
            cast(month_of(one.until - interval '1 microsecond') + beyond as date),
            case tg_table_name
                when 'negotiated_prices' then format(
                    'negotiated price %s of %s', term ->> 'key',
                    coalesce(term ->> 'organization_id', 'group ' || (term ->> 'price_group'))
                )
                else format('membership in group %s', term ->> 'price_group')
            end
            || case tg_op when 'INSERT' then ' was added' when 'DELETE' then ' was deleted' else ' was changed' end,
            coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
        );
        raise notice '% has a final invoice of %: it stays as it is until somebody decides on it',
            one.name, to_char(closed, 'YYYY-MM')
            using hint = 'fly-billing rebill shows what would change and books it';
    end loop;
    return null;
end $$;

CREATE FUNCTION public.note_term_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    term constant jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    months record;
    before_that record;
    is_end_only boolean := false;
    closed date;
begin
    if tg_op = 'UPDATE' and to_jsonb(new) = to_jsonb(old) then
        return null;
    end if;
    select * into months from months_of_term(tg_table_name, term);
    if tg_op = 'UPDATE' then
        select * into before_that from months_of_term(tg_table_name, to_jsonb(old));
        is_end_only := to_jsonb(new) - tg_argv[2] = to_jsonb(old) - tg_argv[2];
        if is_end_only then -- only the months from the earlier end on
            months.first_month := least(months.last_month, before_that.last_month);
        else
            months.first_month := least(months.first_month, before_that.first_month);
        end if;
        months.settled_in := case
            when months.last_month is null or before_that.last_month is null then null
            else greatest(months.settled_in, before_that.settled_in)
        end;
    end if;
    months.last_month := months.settled_in;
    if tg_table_name = 'prices' then
        select max(month) into closed from invoices
        where status not in ('open', 'void') and origin = 'billed' and month >= months.first_month
            and month <= coalesce(months.last_month, '2199-12-01');
    else
        select max(i.month) into closed
        from invoices as i
        where i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= months.first_month
            and i.month <= coalesce(months.last_month, '2199-12-01')
            and (
                i.organization_id = term ->> 'organization_id'
                or exists (
                    select from organization_links as l
                    where l.organization_id = term ->> 'organization_id' and l.payer_id = i.organization_id
                        and daterange(l.first_month, l.last_month, '[]') @> i.month
                )
            );
    end if;
    if closed is null then
        return null;
    end if;
    insert into term_changes (on_table, organization_id, book, first_month, last_month, what, changed_by)
    values (
        tg_table_name, term ->> 'organization_id', term ->> 'book', months.first_month, months.last_month,
        format(
            '%s %s %s', tg_argv[0], term ->> tg_argv[1],
            case tg_op when 'INSERT' then 'was added' when 'DELETE' then 'was deleted' else 'was changed' end
        ),
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
    );
    if tg_table_name <> 'prices' then
        raise notice '% has a final invoice of %: it stays as it is until somebody decides on it',
            term ->> 'organization_id', to_char(closed, 'YYYY-MM')
            using hint = 'fly-billing rebill shows what would change and books it';
    end if;
    return null;
end $$;

CREATE FUNCTION public.noted_of_invoice(invoice uuid) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    select coalesce(
        (
            select a.unpaid_credited_cents
            from stripe_invoices as s
            join stripe_invoice_amounts as a on a.stripe_invoice_id = s.stripe_invoice_id
            where s.invoice_id = invoice
            order by a.number desc limit 1
        ),
        0
    )
$$;

COMMENT ON FUNCTION public.noted_of_invoice(invoice uuid) IS 'What credit notes at Stripe took back of an invoice before it was paid.';

CREATE FUNCTION public.noted_tax_of_invoice(invoice uuid) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    select cast(coalesce(sum(m.tax_cents), 0) as bigint)
    from stripe_money as m
    where m.invoice_id = invoice and m.kind = 'credit_note' and m.status = 'issued'
        and not exists (select from stripe_money as n where n.object_id = m.object_id and n.number > m.number)
$$;

COMMENT ON FUNCTION public.noted_tax_of_invoice(invoice uuid) IS 'The tax in the credit notes at Stripe of an invoice, as far as they were read.';

CREATE FUNCTION public.number_invoice() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    select coalesce(max(number), 0) + 1 into new.number from invoices where organization_id = new.organization_id;
    return new;
end $$;

CREATE FUNCTION public.part_paid_of_invoice(invoice uuid) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
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

COMMENT ON FUNCTION public.part_paid_of_invoice(invoice uuid) IS 'What was paid of an invoice at Stripe before it was paid in full, as far as it was read.';

CREATE FUNCTION public.post_credit_expiries() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    expiries constant bigint[] := array(select id from added);
begin
    perform post_to_ledger(array(select r from ledger_rebuilt as r where r.credit_expiry_id = any (expiries)));
    return null;
end $$;

CREATE FUNCTION public.post_credit_note() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform post_to_ledger(array(select r from ledger_rebuilt as r where r.credit_note_id = new.id));
    return null;
end $$;

CREATE FUNCTION public.post_invoice_changes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    changes bigint[];
begin
    if not exists (select from new_invoices where status <> 'open') then
        return null;
    end if;
    changes := array(
        select c.id
        from new_invoices as n
        join old_invoices as o on o.id = n.id and o.status <> n.status
        cross join lateral (
            select c.id from invoice_changes as c
            where c.invoice_id = n.id and c.to_status = n.status order by c.id desc limit 1
        ) as c
    );
    perform post_to_ledger(array(select r from ledger_rebuilt as r where r.invoice_change_id = any (changes)));
    return null;
end $$;

CREATE FUNCTION public.post_missing_to_ledger() RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

COMMENT ON FUNCTION public.post_missing_to_ledger() IS 'Posts every event that is not posted; returns their number. For databases older than the ledger, and for repairs.';

CREATE FUNCTION public.post_prepaid_credits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    prepaid constant uuid[] := array(select id from added where pays = 'gross');
begin
    if prepaid <> '{}' then
        perform post_to_ledger(array(select r from ledger_rebuilt as r where r.credit_grant_id = any (prepaid)));
    end if;
    return null;
end $$;

CREATE FUNCTION public.post_stripe_amounts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.post_stripe_money() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    states constant bigint[] := array(select id from added);
begin
    perform post_to_ledger(array(select r from ledger_rebuilt as r where r.stripe_money_id = any (states)));
    return null;
end $$;

CREATE FUNCTION public.to_minor_unit(amount numeric, currency text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$
    select cast(round(amount * case
        when currency in (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF',
            'XPF'
        ) then 1
        when currency in ('BHD', 'JOD', 'KWD', 'OMR', 'TND') then 1000
        else 100
    end) as bigint)
$$;

COMMENT ON FUNCTION public.to_minor_unit(amount numeric, currency text) IS 'Rounds an exact amount as money.to_cents: halves away from zero.';

CREATE TABLE public.adjustments (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    month date NOT NULL,
    invoice_id uuid NOT NULL,
    item_key text NOT NULL,
    product text NOT NULL,
    description text NOT NULL,
    amount numeric NOT NULL,
    currency character(3) NOT NULL,
    causes text[] NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    credit_note_id uuid,
    made_at timestamp with time zone NOT NULL,
    made_by text NOT NULL,
    why text,
    credit_grant_id uuid,
    payer_id text NOT NULL,
    credit_request_id uuid,
    CONSTRAINT adjustments_amount_check CHECK ((amount <> (0)::numeric)),
    CONSTRAINT adjustments_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT adjustments_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT detail_is_an_object CHECK ((jsonb_typeof(detail) = 'object'::text)),
    CONSTRAINT is_returned_in_one_way CHECK ((num_nonnulls(credit_note_id, credit_request_id) < 2)),
    CONSTRAINT made_at_is_a_time CHECK (((made_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (made_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.adjustments IS 'Differences found in a month whose invoice is final. Each is billed once, on the next open invoice. Rows never change.';

COMMENT ON COLUMN public.adjustments.item_key IS 'The item of the invoice that it corrects. All adjustments of a key add up to the difference.';

COMMENT ON COLUMN public.adjustments.credit_note_id IS 'The credit note that returns it. Null, as credit_request_id: it is on the next open invoice.';

COMMENT ON COLUMN public.adjustments.credit_grant_id IS 'The credit that gets this amount back because it paid it; negative: the credit pays this item instead of another.';

COMMENT ON COLUMN public.adjustments.payer_id IS 'The payer of the corrected invoice and of the next one; organization_id is the organization that used it.';

COMMENT ON COLUMN public.adjustments.credit_request_id IS 'The credit note at Stripe that returns it, taxes included. If that is withdrawn, a credit note here returns it.';

CREATE TABLE public.credit_expiries (
    id bigint NOT NULL,
    credit_grant_id uuid NOT NULL,
    amount numeric NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < ('1000000000000'::bigint)::numeric)),
    CONSTRAINT credit_expiries_amount_check CHECK ((amount <> (0)::numeric)),
    CONSTRAINT recorded_at_is_a_time CHECK (((recorded_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (recorded_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.credit_expiries IS 'What was left of prepaid credit when it expired. A later change of it is a row of its own; the sum is what was lost.';

COMMENT ON COLUMN public.credit_expiries.credit_grant_id IS 'The prepaid credit.';

COMMENT ON COLUMN public.credit_expiries.amount IS 'Exact, in the major unit. Below zero: of what was lost before, an invoice used a part, or the credit lasts longer now.';

COMMENT ON COLUMN public.credit_expiries.recorded_at IS 'When it was recorded; the month is its accounting month.';

CREATE TABLE public.credit_grants (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    description text NOT NULL,
    amount numeric NOT NULL,
    currency character(3) NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    scope jsonb DEFAULT '{}'::jsonb NOT NULL,
    granted_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    pays text DEFAULT 'net'::text NOT NULL,
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT credit_grants_amount_check CHECK (((amount > (0)::numeric) AND public.is_amount(amount))),
    CONSTRAINT credit_grants_check CHECK ((expires_at > granted_at)),
    CONSTRAINT credit_grants_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT credit_grants_description_check CHECK ((description <> ''::text)),
    CONSTRAINT credit_grants_pays_check CHECK ((pays = ANY (ARRAY['net'::text, 'gross'::text]))),
    CONSTRAINT credit_grants_scope_check CHECK (public.is_scope(scope, '["usage", "subscription", "one_off", "adjustment", "minimum"]'::jsonb)),
    CONSTRAINT description_says_something CHECK (((description ~ '\S'::text) AND (length(description) <= 5000))),
    CONSTRAINT expires_at_is_a_time CHECK (((expires_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (expires_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT granted_at_is_a_time CHECK (((granted_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (granted_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.credit_grants IS 'One row per credit granted to an organization.';

COMMENT ON COLUMN public.credit_grants.priority IS 'Lower priorities are used first; then the credit that expires sooner, then the older one.';

COMMENT ON COLUMN public.credit_grants.pays IS 'net: it is applied before tax and lowers the tax (a promotion); gross: it is applied after tax and also pays taxes (a prepayment, a deposit).';

CREATE TABLE public.credit_notes (
    id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    number integer NOT NULL,
    amount_cents bigint NOT NULL,
    credit_grant_id uuid NOT NULL,
    made_at timestamp with time zone NOT NULL,
    made_by text NOT NULL,
    why text,
    CONSTRAINT amount_cents_is_finite CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT credit_notes_amount_cents_check CHECK ((amount_cents > 0)),
    CONSTRAINT credit_notes_number_check CHECK ((number > 0)),
    CONSTRAINT made_at_is_a_time CHECK (((made_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (made_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.credit_notes IS 'Returns an amount of a final invoice as a credit, which the next invoices use.';

CREATE TABLE public.invoice_changes (
    id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    from_status text,
    to_status text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    why text,
    removed_organization_id text,
    removed_month date,
    removed_currency character(3),
    removed_total_cents bigint,
    asked_cents bigint,
    noted_cents bigint,
    noted_tax_cents bigint,
    part_paid_cents bigint,
    happened_at timestamp with time zone,
    CONSTRAINT asked_cents_is_finite CHECK (((asked_cents >= 0) AND (asked_cents < '1000000000000000'::bigint))),
    CONSTRAINT changed_at_is_a_time CHECK (((changed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (changed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT happened_at_is_a_time CHECK (((happened_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (happened_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT noted_cents_is_finite CHECK (((noted_cents >= 0) AND (noted_cents < '1000000000000000'::bigint))),
    CONSTRAINT noted_tax_cents_is_finite CHECK (((noted_tax_cents >= 0) AND (noted_tax_cents < '1000000000000000'::bigint))),
    CONSTRAINT part_paid_cents_is_finite CHECK (((part_paid_cents >= 0) AND (part_paid_cents < '1000000000000000'::bigint))),
    CONSTRAINT removed_month_is_a_day CHECK (((removed_month >= '1970-01-01'::date) AND (removed_month < '2200-01-01'::date) AND (EXTRACT(day FROM removed_month) = (1)::numeric))),
    CONSTRAINT removed_total_cents_is_finite CHECK ((abs(removed_total_cents) < '1000000000000000'::bigint))
);

COMMENT ON TABLE public.invoice_changes IS 'Every change of an invoice''s status: who, when and why, from the settings fly_billing.who and fly_billing.why of the transaction.';

COMMENT ON COLUMN public.invoice_changes.removed_organization_id IS 'The payer of a removed invoice; null: see the invoice.';

COMMENT ON COLUMN public.invoice_changes.removed_month IS 'The month of a removed invoice (its first day); null: see the invoice.';

COMMENT ON COLUMN public.invoice_changes.removed_currency IS 'The currency of a removed invoice, ISO 4217; null: see the invoice.';

COMMENT ON COLUMN public.invoice_changes.removed_total_cents IS 'The total of a removed invoice, in the currency''s minor unit; null: see the invoice.';

COMMENT ON COLUMN public.invoice_changes.asked_cents IS 'What was paid, or what could not be collected: the total with the customer''s balance at Stripe, less credit notes there.';

COMMENT ON COLUMN public.invoice_changes.noted_cents IS 'The part of a void invoice that credit notes at Stripe had taken back before.';

COMMENT ON COLUMN public.invoice_changes.noted_tax_cents IS 'The tax that credit notes at Stripe had taken back of a void invoice before. Null: 0.';

COMMENT ON COLUMN public.invoice_changes.part_paid_cents IS 'Of a paid invoice, the parts that were paid before and are not in asked_cents. Null: asked_cents contains them.';

COMMENT ON COLUMN public.invoice_changes.happened_at IS 'When Stripe voided or wrote off the invoice. Null: another change, or one that was recorded before this column was.';

CREATE TABLE public.invoice_items (
    id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    "position" integer NOT NULL,
    kind text NOT NULL,
    product text NOT NULL,
    description text NOT NULL,
    quantity numeric NOT NULL,
    unit text NOT NULL,
    amount numeric NOT NULL,
    amount_cents bigint NOT NULL,
    price_id uuid,
    subscription_id uuid,
    one_off_item_id uuid,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    organization_id text NOT NULL,
    price_key text,
    meter text,
    period_start timestamp with time zone,
    period_end timestamp with time zone,
    adjustment_id uuid,
    discount_id uuid,
    commitment_id uuid,
    credit_grant_id uuid,
    tax_rate_id uuid,
    is_void boolean DEFAULT false NOT NULL,
    negotiated_price_id uuid,
    interval_start timestamp with time zone,
    interval_end timestamp with time zone,
    CONSTRAINT a_fee_has_an_interval CHECK (((kind <> 'subscription'::text) OR (interval_start IS NOT NULL))),
    CONSTRAINT amount_cents_is_finite CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT detail_is_an_object CHECK ((jsonb_typeof(detail) = 'object'::text)),
    CONSTRAINT interval_end_is_a_time CHECK (((interval_end >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (interval_end < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT interval_has_two_ends CHECK (((interval_start IS NULL) = (interval_end IS NULL))),
    CONSTRAINT interval_is_some_time CHECK ((interval_end > interval_start)),
    CONSTRAINT interval_start_is_a_time CHECK (((interval_start >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (interval_start < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT invoice_items_check3 CHECK ((period_end > period_start)),
    CONSTRAINT invoice_items_kind_check CHECK ((kind = ANY (ARRAY['usage'::text, 'subscription'::text, 'one_off'::text, 'adjustment'::text, 'discount'::text, 'minimum'::text, 'maximum'::text, 'credit'::text, 'tax'::text, 'rounding'::text]))),
    CONSTRAINT invoice_items_position_check CHECK (("position" > 0)),
    CONSTRAINT negotiated_over_a_list_price CHECK (((negotiated_price_id IS NULL) OR (price_id IS NOT NULL))),
    CONSTRAINT one_source_each CHECK ((
CASE kind
    WHEN 'usage'::text THEN (price_id IS NOT NULL)
    WHEN 'subscription'::text THEN ((subscription_id IS NOT NULL) AND (price_id IS NOT NULL))
    WHEN 'one_off'::text THEN (one_off_item_id IS NOT NULL)
    WHEN 'adjustment'::text THEN (adjustment_id IS NOT NULL)
    WHEN 'discount'::text THEN (discount_id IS NOT NULL)
    WHEN 'credit'::text THEN (credit_grant_id IS NOT NULL)
    WHEN 'tax'::text THEN (tax_rate_id IS NOT NULL)
    WHEN 'rounding'::text THEN (price_id IS NULL)
    ELSE (commitment_id IS NOT NULL)
END AND (num_nonnulls(subscription_id, one_off_item_id, adjustment_id, discount_id, commitment_id, credit_grant_id, tax_rate_id) =
CASE
    WHEN (kind = ANY (ARRAY['usage'::text, 'rounding'::text])) THEN 0
    ELSE 1
END))),
    CONSTRAINT period_end_is_a_time CHECK (((period_end >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (period_end < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT period_start_is_a_time CHECK (((period_start >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (period_start < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT quantity_is_finite CHECK ((abs(quantity) < '100000000000000000000000'::numeric))
);

COMMENT ON TABLE public.invoice_items IS 'One row per line of an invoice. The shares amount_cents add up to the invoice''s total_cents.';

COMMENT ON COLUMN public.invoice_items.price_id IS 'The version of the list price, also if a negotiated price replaced it.';

COMMENT ON COLUMN public.invoice_items.organization_id IS 'The organization that is charged; a payer''s invoice may cover several.';

COMMENT ON COLUMN public.invoice_items.period_start IS 'The time that a fee or a one-off item is for: [period_start, period_end). Null: the billed month, or the corrected one.';

COMMENT ON COLUMN public.invoice_items.is_void IS 'True if the invoice is void, so that the same charge may be billed again.';

COMMENT ON COLUMN public.invoice_items.interval_start IS 'Of a fee: the start of the whole interval that contains the period; the month in which the interval ends settles it.';

CREATE TABLE public.invoice_taxes (
    invoice_id uuid NOT NULL,
    tax_rate_id uuid NOT NULL,
    name text NOT NULL,
    percent numeric NOT NULL,
    is_inclusive boolean NOT NULL,
    taxable_cents bigint NOT NULL,
    tax_cents bigint NOT NULL,
    category text DEFAULT 'standard'::text NOT NULL,
    legal_text text,
    shares jsonb,
    CONSTRAINT percent_is_finite CHECK ((abs(percent) < '100000000000000000000000'::numeric)),
    CONSTRAINT shares_is_an_array CHECK ((jsonb_typeof(shares) = 'array'::text)),
    CONSTRAINT tax_cents_is_finite CHECK ((abs(tax_cents) < '1000000000000000'::bigint)),
    CONSTRAINT taxable_cents_is_finite CHECK ((abs(taxable_cents) < '1000000000000000'::bigint))
);

COMMENT ON TABLE public.invoice_taxes IS 'One row per tax rate of an invoice: the taxable amount and the tax.';

COMMENT ON COLUMN public.invoice_taxes.taxable_cents IS 'The amount that the tax was calculated on, without the tax.';

COMMENT ON COLUMN public.invoice_taxes.shares IS 'The tax by item: [position, taxed cents, tax cents]. Null on invoices that were final before this was recorded.';

CREATE TABLE public.stripe_invoice_amounts (
    id bigint NOT NULL,
    stripe_invoice_id text NOT NULL,
    number integer NOT NULL,
    invoice_id uuid,
    organization_id text NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    total_cents bigint NOT NULL,
    starting_balance_cents bigint NOT NULL,
    ending_balance_cents bigint,
    due_cents bigint NOT NULL,
    paid_cents bigint NOT NULL,
    remaining_cents bigint NOT NULL,
    out_of_band_cents bigint,
    overpaid_cents bigint NOT NULL,
    unpaid_credited_cents bigint NOT NULL,
    paid_credited_cents bigint NOT NULL,
    read_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    happened_at timestamp with time zone,
    CONSTRAINT happened_at_is_a_time CHECK (((happened_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (happened_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_invoice_amounts_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT stripe_invoice_amounts_due_cents_check CHECK (((due_cents >= 0) AND (due_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_invoice_amounts_ending_balance_cents_check CHECK ((abs(ending_balance_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_invoice_amounts_number_check CHECK ((number > 0)),
    CONSTRAINT stripe_invoice_amounts_out_of_band_cents_check CHECK (((out_of_band_cents >= 0) AND (out_of_band_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_invoice_amounts_overpaid_cents_check CHECK (((overpaid_cents >= 0) AND (overpaid_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_invoice_amounts_paid_cents_check CHECK (((paid_cents >= 0) AND (paid_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_invoice_amounts_paid_credited_cents_check CHECK (((paid_credited_cents >= 0) AND (paid_credited_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_invoice_amounts_read_at_check CHECK (((read_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (read_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_invoice_amounts_remaining_cents_check CHECK (((remaining_cents >= 0) AND (remaining_cents < '1000000000000000'::bigint))),
    CONSTRAINT stripe_invoice_amounts_source_check CHECK ((source = ANY (ARRAY['sync'::text, 'webhook'::text, 'polling'::text, 'sweep'::text]))),
    CONSTRAINT stripe_invoice_amounts_starting_balance_cents_check CHECK ((abs(starting_balance_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_invoice_amounts_status_check CHECK ((status = ANY (ARRAY['open'::text, 'paid'::text, 'void'::text, 'uncollectible'::text]))),
    CONSTRAINT stripe_invoice_amounts_stripe_invoice_id_check CHECK ((stripe_invoice_id <> ''::text)),
    CONSTRAINT stripe_invoice_amounts_total_cents_check CHECK ((abs(total_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_invoice_amounts_unpaid_credited_cents_check CHECK (((unpaid_credited_cents >= 0) AND (unpaid_credited_cents < '1000000000000000'::bigint)))
);

COMMENT ON TABLE public.stripe_invoice_amounts IS 'One row per state of an invoice''s amounts at Stripe, as read. The last number is the newest. Drafts are left out.';

COMMENT ON COLUMN public.stripe_invoice_amounts.id IS 'Grows with each state that is recorded.';

COMMENT ON COLUMN public.stripe_invoice_amounts.number IS 'Counts the states of the Stripe invoice from 1.';

COMMENT ON COLUMN public.stripe_invoice_amounts.invoice_id IS 'Our invoice. Null if the Stripe invoice is not the one we billed: made by hand, a duplicate, or an earlier try.';

COMMENT ON COLUMN public.stripe_invoice_amounts.organization_id IS 'The organization of the Stripe customer.';

COMMENT ON COLUMN public.stripe_invoice_amounts.status IS 'Stripe''s status.';

COMMENT ON COLUMN public.stripe_invoice_amounts.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.stripe_invoice_amounts.total_cents IS 'What was billed, in the currency''s minor unit.';

COMMENT ON COLUMN public.stripe_invoice_amounts.starting_balance_cents IS 'The customer balance before the invoice: below zero is credit, above zero was carried over from earlier invoices.';

COMMENT ON COLUMN public.stripe_invoice_amounts.ending_balance_cents IS 'The customer balance after the invoice.';

COMMENT ON COLUMN public.stripe_invoice_amounts.due_cents IS 'What Stripe asks for, paid or not: the total with the customer balance, less credit notes of unpaid amounts.';

COMMENT ON COLUMN public.stripe_invoice_amounts.paid_cents IS 'The part of due_cents that is paid, out of band included.';

COMMENT ON COLUMN public.stripe_invoice_amounts.remaining_cents IS 'The part of due_cents that is not paid: what Stripe asks for now.';

COMMENT ON COLUMN public.stripe_invoice_amounts.out_of_band_cents IS 'The part of paid_cents that was paid outside Stripe. Null: Stripe''s API version did not say.';

COMMENT ON COLUMN public.stripe_invoice_amounts.overpaid_cents IS 'What was paid beyond due_cents.';

COMMENT ON COLUMN public.stripe_invoice_amounts.unpaid_credited_cents IS 'Credit notes issued before payment: they lowered due_cents.';

COMMENT ON COLUMN public.stripe_invoice_amounts.paid_credited_cents IS 'Credit notes issued after payment: refunded, credited to the customer balance, or paid back out of band.';

COMMENT ON COLUMN public.stripe_invoice_amounts.read_at IS 'The time of the state: when we read it, or when Stripe made the event that contained it.';

COMMENT ON COLUMN public.stripe_invoice_amounts.source IS 'What it was read from: our own request, a webhook, a polled event, or the nightly comparison with Stripe.';

COMMENT ON COLUMN public.stripe_invoice_amounts.happened_at IS 'When the part of a payment was made that an event made us read. Null: not known; it counts when it was read.';

CREATE VIEW public.ledger_rebuilt AS
 SELECT c.id AS invoice_change_id,
    NULL::uuid AS credit_note_id,
    NULL::uuid AS credit_grant_id,
    NULL::bigint AS stripe_money_id,
    NULL::bigint AS credit_expiry_id,
    NULL::bigint AS stripe_amounts_id,
    i.month AS source_month,
    i.organization_id,
    i.currency,
    moved.month,
    moved.event,
    entry.account,
    entry.amount_cents
   FROM (((((public.invoice_changes c
     JOIN public.invoices i ON ((i.id = c.invoice_id)))
     CROSS JOIN LATERAL ( SELECT
                CASE c.to_status
                    WHEN 'finalized'::text THEN 'invoice_finalized'::text
                    WHEN 'paid'::text THEN
                    CASE c.from_status
                        WHEN 'uncollectible'::text THEN 'written_off_invoice_paid'::text
                        ELSE 'invoice_paid'::text
                    END
                    WHEN 'void'::text THEN
                    CASE c.from_status
                        WHEN 'uncollectible'::text THEN 'written_off_invoice_voided'::text
                        ELSE 'invoice_voided'::text
                    END
                    WHEN 'uncollectible'::text THEN 'invoice_written_off'::text
                    ELSE NULL::text
                END AS event,
                CASE c.to_status
                    WHEN 'finalized'::text THEN i.month
                    WHEN 'paid'::text THEN public.month_of(i.paid_at)
                    ELSE public.month_of(COALESCE(c.happened_at, c.changed_at))
                END AS month) moved)
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(t.amount_cents) FILTER (WHERE (t.kind = 'tax'::text)), (0)::numeric) AS added_tax,
            COALESCE((- sum(t.amount_cents) FILTER (WHERE
                CASE
                    WHEN (t.credit_grant_id IS NOT NULL) THEN public.is_customers_money(t.credit_grant_id)
                    WHEN (t.adjustment_id IS NOT NULL) THEN public.is_customers_money(( SELECT a.credit_grant_id
                       FROM public.adjustments a
                      WHERE (a.id = t.adjustment_id)))
                    ELSE NULL::boolean
                END)), (0)::numeric) AS credit
           FROM public.invoice_items t
          WHERE ((t.invoice_id = i.id) AND (t.kind = ANY (ARRAY['tax'::text, 'credit'::text, 'adjustment'::text])) AND (c.to_status = ANY (ARRAY['finalized'::text, 'void'::text])))) items)
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(x.tax_cents), (0)::numeric) AS contained_tax
           FROM public.invoice_taxes x
          WHERE ((x.invoice_id = i.id) AND x.is_inclusive AND (c.to_status = ANY (ARRAY['finalized'::text, 'void'::text])))) taxes)
     CROSS JOIN LATERAL ( SELECT r.account,
            (sum(((r.sign)::numeric *
                CASE r.amount
                    WHEN 'total'::text THEN (i.total_cents)::numeric
                    WHEN 'credit'::text THEN items.credit
                    WHEN 'tax'::text THEN (items.added_tax + taxes.contained_tax)
                    WHEN 'revenue'::text THEN ((((i.total_cents)::numeric + items.credit) - items.added_tax) - taxes.contained_tax)
                    WHEN 'asked'::text THEN (COALESCE(c.asked_cents, (0)::bigint))::numeric
                    WHEN 'noted'::text THEN (COALESCE(c.noted_cents, (0)::bigint))::numeric
                    WHEN 'noted_tax'::text THEN (COALESCE(c.noted_tax_cents, (0)::bigint))::numeric
                    ELSE NULL::numeric
                END)))::bigint AS amount_cents
           FROM public.ledger_rules() r(event, account, sign, amount)
          WHERE (r.event = moved.event)
          GROUP BY r.account) entry)
  WHERE (entry.amount_cents <> 0)
UNION ALL
 SELECT NULL::bigint AS invoice_change_id,
    n.id AS credit_note_id,
    NULL::uuid AS credit_grant_id,
    NULL::bigint AS stripe_money_id,
    NULL::bigint AS credit_expiry_id,
    NULL::bigint AS stripe_amounts_id,
    i.month AS source_month,
    i.organization_id,
    i.currency,
    public.month_of(n.made_at) AS month,
    'credit_note_issued'::text AS event,
    entry.account,
    entry.amount_cents
   FROM (((public.credit_notes n
     JOIN public.invoices i ON ((i.id = n.invoice_id)))
     CROSS JOIN LATERAL ( SELECT COALESCE(public.to_minor_unit(sum(a.amount), (i.currency)::text), (0)::bigint) AS returned
           FROM public.adjustments a
          WHERE ((a.invoice_id = n.invoice_id) AND (a.credit_note_id = n.id) AND public.is_customers_money(a.credit_grant_id))) credits)
     CROSS JOIN LATERAL ( SELECT r.account,
            (sum((r.sign *
                CASE r.amount
                    WHEN 'note'::text THEN n.amount_cents
                    WHEN 'returned'::text THEN credits.returned
                    ELSE NULL::bigint
                END)))::bigint AS amount_cents
           FROM public.ledger_rules() r(event, account, sign, amount)
          WHERE (r.event = 'credit_note_issued'::text)
          GROUP BY r.account) entry)
  WHERE (entry.amount_cents <> 0)
UNION ALL
 SELECT NULL::bigint AS invoice_change_id,
    NULL::uuid AS credit_note_id,
    g.id AS credit_grant_id,
    NULL::bigint AS stripe_money_id,
    NULL::bigint AS credit_expiry_id,
    NULL::bigint AS stripe_amounts_id,
    public.month_of(g.granted_at) AS source_month,
    g.organization_id,
    g.currency,
    public.month_of(g.granted_at) AS month,
    r.event,
    r.account,
    (r.sign * public.to_minor_unit(g.amount, (g.currency)::text)) AS amount_cents
   FROM (public.credit_grants g
     JOIN public.ledger_rules() r(event, account, sign, amount) ON ((r.event = 'prepaid_credit_granted'::text)))
  WHERE ((g.pays = 'gross'::text) AND (public.to_minor_unit(g.amount, (g.currency)::text) <> 0))
UNION ALL
 SELECT NULL::bigint AS invoice_change_id,
    NULL::uuid AS credit_note_id,
    NULL::uuid AS credit_grant_id,
    m.id AS stripe_money_id,
    NULL::bigint AS credit_expiry_id,
    NULL::bigint AS stripe_amounts_id,
    public.month_of(m.created_at) AS source_month,
    m.organization_id,
    m.currency,
    public.month_of(
        CASE m.number
            WHEN 1 THEN m.created_at
            ELSE m.read_at
        END) AS month,
    entry.event,
    entry.account,
    entry.amount_cents
   FROM ((public.stripe_money m
     LEFT JOIN LATERAL ( SELECT p.*::public.stripe_money AS p
           FROM public.stripe_money p
          WHERE ((p.object_id = m.object_id) AND (p.number = (m.number - 1)))) before ON (true))
     CROSS JOIN LATERAL ( SELECT r.event,
            r.account,
            (sum((r.sign * (a.cents - COALESCE(b.cents, (0)::bigint)))))::bigint AS amount_cents
           FROM ((public.ledger_amounts(m.*) a(event, amount, cents)
             LEFT JOIN public.ledger_amounts(before.p) b(event, amount, cents) ON (((b.event = a.event) AND (b.amount = a.amount))))
             JOIN public.ledger_rules() r(event, account, sign, amount) ON (((r.event = a.event) AND (r.amount = a.amount))))
          GROUP BY r.event, r.account) entry)
  WHERE (entry.amount_cents <> 0)
UNION ALL
 SELECT NULL::bigint AS invoice_change_id,
    NULL::uuid AS credit_note_id,
    NULL::uuid AS credit_grant_id,
    NULL::bigint AS stripe_money_id,
    x.id AS credit_expiry_id,
    NULL::bigint AS stripe_amounts_id,
    public.month_of(x.recorded_at) AS source_month,
    g.organization_id,
    g.currency,
    public.month_of(x.recorded_at) AS month,
    r.event,
    r.account,
    (r.sign * (public.to_minor_unit(lost.by_then, (g.currency)::text) - public.to_minor_unit((lost.by_then - x.amount), (g.currency)::text))) AS amount_cents
   FROM (((public.credit_expiries x
     JOIN public.credit_grants g ON ((g.id = x.credit_grant_id)))
     CROSS JOIN LATERAL ( SELECT sum(b.amount) AS by_then
           FROM public.credit_expiries b
          WHERE ((b.credit_grant_id = g.id) AND (b.id <= x.id))) lost)
     JOIN public.ledger_rules() r(event, account, sign, amount) ON ((r.event = 'prepaid_credit_expired'::text)))
  WHERE (public.to_minor_unit(lost.by_then, (g.currency)::text) <> public.to_minor_unit((lost.by_then - x.amount), (g.currency)::text))
UNION ALL
 SELECT NULL::bigint AS invoice_change_id,
    NULL::uuid AS credit_note_id,
    NULL::uuid AS credit_grant_id,
    NULL::bigint AS stripe_money_id,
    NULL::bigint AS credit_expiry_id,
    a.id AS stripe_amounts_id,
    i.month AS source_month,
    i.organization_id,
    i.currency,
    public.month_of(COALESCE(a.happened_at, a.read_at)) AS month,
    r.event,
    r.account,
    (r.sign * (a.paid_cents - COALESCE(before.paid_cents, (0)::bigint))) AS amount_cents
   FROM (((public.stripe_invoice_amounts a
     JOIN public.invoices i ON ((i.id = a.invoice_id)))
     LEFT JOIN LATERAL ( SELECT p.paid_cents,
            p.status
           FROM public.stripe_invoice_amounts p
          WHERE ((p.stripe_invoice_id = a.stripe_invoice_id) AND (p.number < a.number) AND (p.invoice_id = a.invoice_id) AND (p.status = ANY (ARRAY['open'::text, 'uncollectible'::text])))
          ORDER BY p.number DESC
         LIMIT 1) before ON (true))
     JOIN public.ledger_rules() r(event, account, sign, amount) ON ((r.event =
        CASE
            WHEN ((a.status = 'uncollectible'::text) AND (before.status = 'uncollectible'::text)) THEN 'written_off_invoice_part_paid'::text
            ELSE 'invoice_part_paid'::text
        END)))
  WHERE ((a.status = ANY (ARRAY['open'::text, 'uncollectible'::text])) AND (a.paid_cents <> COALESCE(before.paid_cents, (0)::bigint)) AND (NOT (EXISTS ( SELECT
           FROM public.invoice_changes c
          WHERE ((c.invoice_id = a.invoice_id) AND (c.to_status = 'paid'::text) AND (c.part_paid_cents IS NULL))))));

COMMENT ON VIEW public.ledger_rebuilt IS 'The entries that the ledger must have, calculated from their sources. Posting reads them, and a check compares them.';

COMMENT ON COLUMN public.ledger_rebuilt.invoice_change_id IS 'The source: a change of an invoice''s status.';

COMMENT ON COLUMN public.ledger_rebuilt.credit_note_id IS 'The source: a credit note.';

COMMENT ON COLUMN public.ledger_rebuilt.credit_grant_id IS 'The source: prepaid credit.';

COMMENT ON COLUMN public.ledger_rebuilt.stripe_money_id IS 'The source: a state of an object at Stripe.';

COMMENT ON COLUMN public.ledger_rebuilt.credit_expiry_id IS 'The source: an expiry of prepaid credit.';

COMMENT ON COLUMN public.ledger_rebuilt.stripe_amounts_id IS 'The source: a state of an invoice''s amounts at Stripe.';

COMMENT ON COLUMN public.ledger_rebuilt.source_month IS 'The billed month of the invoice, or the month that grants or ends the credit, or in which the object at Stripe was created.';

COMMENT ON COLUMN public.ledger_rebuilt.organization_id IS 'The payer.';

COMMENT ON COLUMN public.ledger_rebuilt.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.ledger_rebuilt.month IS 'The accounting month.';

COMMENT ON COLUMN public.ledger_rebuilt.event IS 'A key of ledger.rules.events.EVENTS.';

COMMENT ON COLUMN public.ledger_rebuilt.account IS 'A key of ledger.rules.accounts.ACCOUNTS.';

COMMENT ON COLUMN public.ledger_rebuilt.amount_cents IS 'Debits are positive, credits negative, in the currency''s minor unit.';

CREATE FUNCTION public.post_to_ledger(rebuilt public.ledger_rebuilt[]) RETURNS bigint
    LANGUAGE sql
    AS $$
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

COMMENT ON FUNCTION public.post_to_ledger(rebuilt public.ledger_rebuilt[]) IS 'Posts these rows, which must be all entries of their sources.';

CREATE FUNCTION public.receivable_age(days_overdue integer) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select case
        when days_overdue <= 0 then 'current'
        when days_overdue <= 30 then '1-30'
        when days_overdue <= 60 then '31-60'
        when days_overdue <= 90 then '61-90'
        else 'over 90'
    end
$$;

COMMENT ON FUNCTION public.receivable_age(days_overdue integer) IS 'Returns the age group of an amount that is overdue by this many days.';

CREATE FUNCTION public.record_threshold_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into spend_threshold_changes (threshold_id, action, changed_by)
    values (
        new.id, case when new.removed_at is null then 'added' else 'removed' end,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
    );
    return null;
end $$;

CREATE FUNCTION public.refuse_amount_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if (new.id, new.organization_id, new.amount, new.currency) <> (old.id, old.organization_id, old.amount, old.currency)
    then
        raise exception 'credit % is granted: what it is worth can not be changed', old.id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_billed_rollup_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_billed_snapshot_deletion() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_change_of_details() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'UPDATE' and new.invoice_id = old.invoice_id and exists (
        select from stripe_invoices as s
        where s.invoice_id = old.invoice_id and s.stripe_invoice_id is null
            and s.step in ('create_customer', 'update_customer', 'add_tax_id', 'remove_tax_id', 'create')
            and s.state in ('failed', 'needs_attention')
    ) then
        return new;
    end if;
    raise exception 'invoice_details are kept as they were when the invoice became final'
        using errcode = 'integrity_constraint_violation',
        hint = 'change billing_details: later invoices have the new details';
end $$;

CREATE FUNCTION public.refuse_change_without_landing() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_closed_month() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if exists (select from accounting_periods where month >= new.month) then
        raise exception 'the accounting month % is closed', to_char(new.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_count_without_landing() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_end_before_billed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    last_day constant date := least(
        (to_jsonb(new) ->> 'last_month')::date,
        (((to_jsonb(new) ->> 'expires_at')::timestamptz - interval '1 microsecond') at time zone 'UTC')::date
    );
    used invoices;
begin
    select * into used from final_invoices_that_used(tg_table_name, to_jsonb(old)) where status <> 'void'
    order by month desc limit 1;
    if last_day < used.month then
        raise exception '% % is on the final invoice number % of % for %: it can not end before that month',
            tg_argv[0], to_jsonb(old) ->> tg_argv[1], used.number, used.organization_id, to_char(used.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation',
                  hint = 'end it in that month or later; what was billed too much or too little is a one-off item';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_final_invoice_of_linked() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_finalized_invoice_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    may_change constant text[] := array['status', 'paid_at'];
begin
    if old.status = 'open' then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if tg_op = 'DELETE' then
        raise exception 'invoice % of % for % is %: it can not be deleted', old.id, old.organization_id, old.month, old.status
            using errcode = 'integrity_constraint_violation';
    end if;
    if to_jsonb(new) - may_change <> to_jsonb(old) - may_change or new.status = 'open' then
        raise exception 'invoice % of % for % is %: it can not be changed', old.id, old.organization_id, old.month, old.status
            using errcode = 'integrity_constraint_violation',
                  hint = 'corrections are adjustments on the open month or a credit note';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_finalized_item_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_invoice_born_finalized() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    raise exception 'invoice % must be inserted as open and then finalized', new.id
        using errcode = 'integrity_constraint_violation';
end $$;

CREATE FUNCTION public.refuse_later_creation() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    billed date;
begin
    select min(i.month) into billed
    from invoices as i
    where i.status not in ('open', 'void') and i.origin = 'billed'
        and (i.month + interval '1 month') at time zone 'UTC' <= new.created_at
        and (
            i.organization_id = old.id
            or exists (
                select from organization_links as l
                where l.organization_id = old.id and l.payer_id = i.organization_id
                    and daterange(l.first_month, l.last_month, '[]') @> i.month
            )
        );
    if billed is not null then
        raise exception '% was billed for %: it can not have been created later', old.id, to_char(billed, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_later_revocation() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if new.revoked_at is null or new.revoked_at > old.revoked_at
        or (new.revoked_at = old.revoked_at and new.revoked_by <> old.revoked_by)
    then
        raise exception 'token % is revoked: that can only be brought forward', old.id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_other_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_other_currency() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if new.currency <> (select currency from organizations where id = new.organization_id) then
        raise exception '% % is in %, % is billed in another currency',
            tg_argv[0], new.id, new.currency, new.organization_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_overdrawn_credit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if (select sum(amount) from credit_entries where grant_id = new.grant_id) < 0 then
        raise exception 'credit % would be overdrawn by invoice %', new.grant_id, new.invoice_id
            using errcode = 'integrity_constraint_violation',
                  hint = 'compute the invoice again: another one drew the credit since';
    end if;
    return null;
end $$;

CREATE FUNCTION public.refuse_paid_at_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    raise exception 'invoice % of % for % was paid at %: that can not be changed',
        old.id, old.organization_id, old.month, old.paid_at
        using errcode = 'integrity_constraint_violation';
end $$;

CREATE FUNCTION public.refuse_part_of_carried_month() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_record_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    raise exception '% is kept as it was written: a row can not be changed or deleted', tg_table_name
        using errcode = 'integrity_constraint_violation', hint = 'add a new row that puts it right';
end $$;

CREATE FUNCTION public.refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    raise exception 'billing records are never truncated' using errcode = 'integrity_constraint_violation';
end $$;

CREATE FUNCTION public.refuse_unbalanced_deferrals() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    wrong record;
begin
    select
        coalesce('invoice change ' || invoice_change_id, 'credit note state ' || stripe_money_id) as source,
        organization_id, sum(amount_cents) as total
    into wrong
    from added group by invoice_change_id, stripe_money_id, organization_id, currency
    having sum(amount_cents) <> 0 limit 1;
    if found then
        raise exception 'the deferrals of % of % sum to % instead of 0',
            wrong.source, wrong.organization_id, wrong.total
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

CREATE FUNCTION public.refuse_unbalanced_entries() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    wrong record;
begin
    select transaction_id, organization_id, sum(amount_cents) as total into wrong
    from added group by transaction_id, organization_id having sum(amount_cents) <> 0 limit 1;
    if found then
        raise exception 'the entries of ledger transaction % of % sum to % instead of 0',
            wrong.transaction_id, wrong.organization_id, wrong.total
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

CREATE FUNCTION public.refuse_unbalanced_finalization() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    items_amount numeric;
    items_cents bigint;
begin
    select coalesce(sum(amount), 0), coalesce(sum(amount_cents), 0) into items_amount, items_cents
    from invoice_items where invoice_id = new.id;
    if items_amount <> new.amount or items_cents <> new.total_cents then
        raise exception 'invoice % of % for %: its items add up to % (% cents), its total is % (% cents)',
            new.id, new.organization_id, new.month, items_amount, items_cents, new.amount, new.total_cents
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_unlinking_of_billed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    billed date;
begin
    if tg_op = 'UPDATE' and (new.organization_id, new.payer_id, new.first_month)
        <> (old.organization_id, old.payer_id, old.first_month)
    then
        raise exception 'the link of % to % from % on can only be ended',
            old.organization_id, old.payer_id, old.first_month
            using errcode = 'integrity_constraint_violation', hint = 'set its last_month, and add another link';
    end if;
    select max(i.month) into billed
    from invoices as i
    where i.organization_id = old.payer_id and i.status <> 'open'
        and daterange(old.first_month, old.last_month, '[]') @> i.month
        and (tg_op = 'DELETE' or not daterange(new.first_month, new.last_month, '[]') @> i.month);
    if billed is not null then
        raise exception '% is on the final invoice of % for %', old.organization_id, old.payer_id, billed
            using errcode = 'integrity_constraint_violation', hint = 'end the link with that month or a later one';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

CREATE FUNCTION public.refuse_used_member_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'UPDATE' and to_jsonb(new) - 'effective_until' = to_jsonb(old) - 'effective_until' then
        return new;
    end if;
    if exists (
        select from negotiated_prices as n
        join invoice_items as t on t.negotiated_price_id = n.id and t.organization_id = old.organization_id
        join invoices as i on i.id = t.invoice_id
        where n.price_group = old.price_group and i.status <> 'open'
            and (i.month + interval '1 month') at time zone 'UTC' > old.effective_from
            and (old.effective_until is null or cast(i.month as timestamp) at time zone 'UTC' < old.effective_until)
    ) then
        raise exception '% was billed as a member of group %: its membership from % can not be changed',
            old.organization_id, old.price_group, old.effective_from
            using errcode = 'integrity_constraint_violation', hint = 'set its effective_until';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

CREATE FUNCTION public.refuse_used_meter_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if exists (select from usage_rollups where meter = old.key) then
        raise exception 'meter % has usage: how it adds up can not be changed', old.key
            using errcode = 'integrity_constraint_violation', hint = 'add a meter with another key';
    end if;
    delete from carried_months;
    return new;
end $$;

CREATE FUNCTION public.refuse_used_negotiated_price_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'UPDATE' and to_jsonb(new) - 'effective_until' = to_jsonb(old) - 'effective_until' then
        return new;
    end if;
    if exists (
        select from invoice_items as t join invoices as i on i.id = t.invoice_id
        where t.negotiated_price_id = old.id and i.status <> 'open'
    ) then
        raise exception 'the negotiated price % of % from % was used by a finalized invoice: it can not be changed',
            old.key, coalesce(old.organization_id, 'group ' || old.price_group), old.effective_from
            using errcode = 'integrity_constraint_violation',
                  hint = 'set its effective_until, and add another one with a later effective_from';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

CREATE FUNCTION public.refuse_used_price_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if to_jsonb(new) - 'effective_until' - 'match' <> to_jsonb(old) - 'effective_until' - 'match'
        and exists (
            select from invoice_items t join invoices i on i.id = t.invoice_id
            where t.price_id = old.id and i.status <> 'open'
        )
    then
        raise exception 'price % of % was used by a finalized invoice: it can not be changed', old.key, old.effective_from
            using errcode = 'integrity_constraint_violation',
                  hint = 'add a new version with a later effective_from';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_used_price_deletion() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_used_tax_rate_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_used_term_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    changed text;
    used invoices;
begin
    if tg_op = 'UPDATE' then
        select string_agg(o.key, ', ' order by o.key) into changed
        from jsonb_each(to_jsonb(old)) as o
        where o.key <> all (tg_argv[2]::text[]) and o.value <> to_jsonb(new) -> o.key;
        if changed is null then
            return new;
        end if;
    end if;
    select * into used from final_invoices_that_used(tg_table_name, to_jsonb(old))
    order by month desc, number desc limit 1;
    if found then
        raise exception '% % was used by the final invoice number % of % for %: %',
            tg_argv[0], to_jsonb(old) ->> tg_argv[1], used.number, used.organization_id, to_char(used.month, 'YYYY-MM'),
            coalesce(changed || ' can not be changed', 'it can not be deleted')
            using errcode = 'integrity_constraint_violation', hint = tg_argv[3];
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

CREATE FUNCTION public.refuse_wrong_invoice_transition() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if (old.status, new.status) not in (
        ('open', 'finalized'), ('finalized', 'paid'), ('finalized', 'void'), ('finalized', 'uncollectible'),
        ('uncollectible', 'paid'), ('uncollectible', 'void')
    ) then
        raise exception 'invoice % of % for % is %: it can not become %',
            old.id, old.organization_id, old.month, old.status, new.status
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_wrong_link() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    most constant integer := 100;
    final record;
begin
    if exists (
        select from organization_links as l
        where (l.organization_id, l.first_month) <> (new.organization_id, new.first_month)
            and daterange(l.first_month, l.last_month, '[]') && daterange(new.first_month, new.last_month, '[]')
            and (l.organization_id in (new.organization_id, new.payer_id) or l.payer_id = new.organization_id)
    ) then
        raise exception '% can not be linked to % from % on: one of them is linked otherwise at that time',
            new.organization_id, new.payer_id, new.first_month
            using errcode = 'integrity_constraint_violation',
                  hint = 'an organization has one payer at a time, and a payer is linked to nobody';
    end if;
    if (select count(*) from organization_links as l
        where l.payer_id = new.payer_id and l.organization_id <> new.organization_id
        and daterange(l.first_month, l.last_month, '[]') && daterange(new.first_month, new.last_month, '[]')) >= most
    then
        raise exception '% pays for % organizations already', new.payer_id, most
            using errcode = 'integrity_constraint_violation';
    end if;
    select i.organization_id, i.month into final
    from invoices as i
    where i.organization_id in (new.organization_id, new.payer_id) and i.status <> 'open'
        and daterange(new.first_month, new.last_month, '[]') @> i.month
        and (tg_op = 'INSERT' or not daterange(old.first_month, old.last_month, '[]') @> i.month)
    order by i.month desc limit 1;
    if found then
        raise exception '% has a final invoice of % already', final.organization_id, final.month
            using errcode = 'integrity_constraint_violation', hint = 'link from a later month on';
    end if;
    if (select created_at from organizations where id = new.payer_id)
        >= (new.first_month + interval '1 month') at time zone 'UTC'
    then
        raise exception '% did not exist yet in %: it can not pay for that month', new.payer_id, new.first_month
            using errcode = 'integrity_constraint_violation', hint = 'link from a later month on';
    end if;
    if (select currency from organizations where id = new.organization_id)
        <> (select currency from organizations where id = new.payer_id)
    then
        raise exception '% and % are billed in different currencies', new.organization_id, new.payer_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_wrong_period() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    last_closed constant date := (select max(month) from accounting_periods);
begin
    if new.month <> last_closed + interval '1 month' then
        raise exception 'the accounting month after % is %, not %', to_char(last_closed, 'YYYY-MM'),
            to_char(last_closed + interval '1 month', 'YYYY-MM'), to_char(new.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_wrong_redemption() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    coupon coupons;
begin
    select * into coupon from coupons where code = new.coupon_code for update;
    if new.redeemed_at >= coupon.redeem_by then
        raise exception 'coupon % could be redeemed until %', coupon.code, coupon.redeem_by
            using errcode = 'integrity_constraint_violation';
    end if;
    if (select count(*) from discounts where coupon_code = coupon.code) >= coupon.most_redemptions then
        raise exception 'coupon % was redeemed % times already', coupon.code, coupon.most_redemptions
            using errcode = 'integrity_constraint_violation';
    end if;
    if coupon.currency <> (select currency from organizations where id = new.organization_id) then
        raise exception 'coupon % is in %, the organization % is billed in another currency',
            coupon.code, coupon.currency, new.organization_id
            using errcode = 'integrity_constraint_violation';
    end if;
    -- `least` leaves nulls out: without an end on either side it holds for good.
    new.last_month := least(new.last_month, (new.first_month + make_interval(months => coupon.months - 1))::date);
    return new;
end $$;

CREATE FUNCTION public.remove_alert_address(of_organization_id text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
    delete from alert_addresses as a where a.organization_id = of_organization_id;
    return found;
end $$;

COMMENT ON FUNCTION public.remove_alert_address(of_organization_id text) IS 'Sends an organization''s alerts to its billing address again: false if they went there already.';

CREATE FUNCTION public.remove_spend_threshold_with_token(token_id uuid, of_organization_id text, of_threshold_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform act_with_token(token_id, 'alerts:write', of_organization_id);
    update spend_thresholds as t set removed_at = now()
    where t.id = of_threshold_id and t.organization_id = of_organization_id and t.removed_at is null;
    return found or exists (
        select from spend_thresholds as t where t.id = of_threshold_id and t.organization_id = of_organization_id
    );
end $$;

CREATE FUNCTION public.revoke_page_link(of_link_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
    insert into page_link_revocations (link_id, revoked_by)
    values (of_link_id, coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user))
    on conflict do nothing;
    return found;
end $$;

COMMENT ON FUNCTION public.revoke_page_link(of_link_id uuid) IS 'Revokes a link in the name that the transaction has: false if it was revoked before.';

CREATE FUNCTION public.revoke_page_link_with_token(token_id uuid, of_link_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform act_with_token(token_id, 'page-links:revoke', null);
    return revoke_page_link(of_link_id);
end $$;

CREATE FUNCTION public.set_alert_address(of_organization_id text, of_email text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    insert into alert_addresses as a (organization_id, email, set_by)
    values (of_organization_id, of_email, coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user))
    on conflict (organization_id) do update set email = excluded.email, set_at = now(), set_by = excluded.set_by
        where a.email <> excluded.email;
end $$;

COMMENT ON FUNCTION public.set_alert_address(of_organization_id text, of_email text) IS 'Sets the address for an organization''s alerts in the name that the transaction has.';

CREATE FUNCTION public.set_alert_address_with_token(token_id uuid, of_organization_id text, of_email text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform act_with_token(token_id, 'alerts:address', of_organization_id);
    if of_email is null then
        perform remove_alert_address(of_organization_id);
    else
        perform set_alert_address(of_organization_id, of_email);
    end if;
end $$;

CREATE FUNCTION public.set_spend_cap(of_organization_id text, in_currency text, of_amount_cents bigint) RETURNS TABLE(threshold_id uuid, is_new boolean)
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock(hashtextextended('spend thresholds of ' || of_organization_id, 0));
    update spend_thresholds as t set removed_at = now()
    where t.organization_id = of_organization_id and t.kind = 'cap' and t.removed_at is null
        and (t.currency <> in_currency or t.amount_cents <> of_amount_cents);
    return query
    select a.threshold_id, a.is_new
    from add_spend_threshold(of_organization_id, 'cap', null, in_currency, of_amount_cents, null) as a;
end $$;

COMMENT ON FUNCTION public.set_spend_cap(of_organization_id text, in_currency text, of_amount_cents bigint) IS 'Sets the organization''s cap in place of the one that it has: is_new is false if it is the same.';

CREATE FUNCTION public.set_spend_cap_with_token(token_id uuid, of_organization_id text, in_currency text, of_amount_cents bigint) RETURNS TABLE(threshold_id uuid, is_new boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform act_with_token(token_id, 'alerts:write', of_organization_id);
    return query select s.threshold_id, s.is_new
    from set_spend_cap(of_organization_id, in_currency, of_amount_cents) as s;
end $$;

CREATE FUNCTION public.slow_stripe_pace(wanted text, allowed double precision, factor double precision, least_allowed double precision, recovery_seconds double precision, hold_seconds double precision) RETURNS double precision
    LANGUAGE plpgsql
    AS $$
declare
    slowed stripe_pace := lock_stripe_pace(wanted);
    moment constant timestamptz := clock_timestamp();
    per_second float8 := stripe_pace_at(moment, slowed, allowed, recovery_seconds);
begin
    if slowed.slowed_at is null or slowed.slowed_at < moment - make_interval(secs => hold_seconds) then
        per_second := least(allowed, greatest(least_allowed, per_second * factor));
        update stripe_pace set slowed_to = per_second, slowed_at = moment where bucket = wanted;
    end if;
    return per_second;
end $$;

CREATE FUNCTION public.stage_invoice_items() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    create temp table staged_items on commit drop as select * from invoice_items with no data;
    create temp table staged_item_rollups on commit drop as select * from invoice_item_rollups with no data;
    -- Only this session reaches its temporary tables.
    grant insert on staged_items, staged_item_rollups to public;
end $$;

COMMENT ON FUNCTION public.stage_invoice_items() IS 'Creates the temporary tables staged_items and staged_item_rollups, for COPY and add_staged_items().';

CREATE FUNCTION public.stripe_pace_at(moment timestamp with time zone, bucket public.stripe_pace, allowed double precision, recovery_seconds double precision) RETURNS double precision
    LANGUAGE sql
    AS $$
    select least(
        allowed,
        case
            when paces.recovered < paces.cautious then paces.recovered
            else
                greatest(paces.cautious, bucket.slowed_to)
                + least(paces.recovered - paces.cautious, paces.recovered - bucket.slowed_to) / 200
        end
    )
    from (
        select
            bucket.slowed_to + allowed * extract(epoch from moment - bucket.slowed_at)::float8 / recovery_seconds
                as recovered,
            allowed * 23 / 24 as cautious
    ) as paces
$$;

CREATE FUNCTION public.take_stripe_slot(endpoint text, endpoint_allowed double precision, account_allowed double precision, recovery_seconds double precision) RETURNS double precision
    LANGUAGE plpgsql
    AS $$
declare
    account stripe_pace := lock_stripe_pace('account'); -- always before the endpoint: two callers can't deadlock
    own stripe_pace := lock_stripe_pace(endpoint);
    moment constant timestamptz := clock_timestamp();
    own_gap constant interval := make_interval(
        secs => 1 / stripe_pace_at(moment, own, endpoint_allowed, recovery_seconds)
    );
    per_second constant float8 := stripe_pace_at(moment, account, account_allowed, recovery_seconds);
    gap constant interval := make_interval(secs => 1 / per_second);
    too_close constant interval := gap * 0.99; -- the grid is true to the microsecond only
    slot timestamptz := to_timestamp(
        ceil(extract(epoch from greatest(moment, own.next_at))::float8 * per_second - 0.01) / per_second
    );
    other timestamptz;
begin
    foreach other in array account.taken loop
        while other - slot < too_close and slot - other < too_close loop
            slot := slot + gap;
        end loop;
    end loop;
    update stripe_pace
    set taken = array(select t from unnest(account.taken || slot) as t where t > moment - gap order by t)
    where bucket = 'account';
    -- What the grid made the request late is given back to the next one.
    update stripe_pace
    set next_at = greatest(own.next_at, slot - least(gap, own_gap)) + own_gap
    where bucket = endpoint;
    return greatest(0, extract(epoch from slot - moment));
end $$;

CREATE FUNCTION public.unsubscribe_from_alerts(of_organization_id text, of_address_sha256 text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    insert into alert_unsubscriptions (organization_id, address_sha256)
    values (of_organization_id, of_address_sha256)
    on conflict do nothing;
    return found;
end $$;

CREATE FUNCTION public.wait_for_closing() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('post to the ledger', 0));
    return null;
end $$;

CREATE TABLE public.accounting_periods (
    month date NOT NULL,
    last_transaction_id bigint NOT NULL,
    closed_at timestamp with time zone NOT NULL,
    closed_by text NOT NULL,
    accepted_differences text,
    why text,
    CONSTRAINT accepted_differences_have_a_reason CHECK (((accepted_differences IS NULL) = (why IS NULL))),
    CONSTRAINT accounting_periods_accepted_differences_check CHECK ((accepted_differences <> ''::text)),
    CONSTRAINT accounting_periods_closed_by_check CHECK ((closed_by <> ''::text)),
    CONSTRAINT accounting_periods_last_transaction_id_check CHECK ((last_transaction_id >= 0)),
    CONSTRAINT accounting_periods_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT accounting_periods_why_check CHECK ((btrim(why) <> ''::text)),
    CONSTRAINT closed_at_is_a_time CHECK (((closed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (closed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.accounting_periods IS 'One row per closed accounting month. Earlier months than the first one are closed with it. Rows are only added.';

COMMENT ON COLUMN public.accounting_periods.month IS 'The closed month, its first day.';

COMMENT ON COLUMN public.accounting_periods.last_transaction_id IS 'The last ledger transaction that was posted before it was closed. Later ones count in the first open month.';

COMMENT ON COLUMN public.accounting_periods.closed_at IS 'When it was closed.';

COMMENT ON COLUMN public.accounting_periods.closed_by IS 'Who closed it.';

COMMENT ON COLUMN public.accounting_periods.accepted_differences IS 'The differences with Stripe that it was closed with, a line each. Null: the books agreed, or it was closed before 0058.';

COMMENT ON COLUMN public.accounting_periods.why IS 'Why they were accepted.';

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

COMMENT ON TABLE public.alembic_version IS 'A single row: the newest migration that was applied.';

CREATE TABLE public.alert_addresses (
    organization_id text NOT NULL,
    email text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    set_by text NOT NULL,
    CONSTRAINT alert_addresses_email_check CHECK (((email ~ '^[^@]+@[^@]+$'::text) AND (length(email) <= 320))),
    CONSTRAINT alert_addresses_set_by_check CHECK ((set_by <> ''::text)),
    CONSTRAINT set_at_is_a_time CHECK (((set_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (set_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.alert_addresses IS 'The e-mail address for spend alerts of an organization, if it is not that of its billing details.';

COMMENT ON COLUMN public.alert_addresses.set_by IS 'The person who ran the command, or the token of the API.';

CREATE TABLE public.alert_unsubscriptions (
    organization_id text NOT NULL,
    address_sha256 text NOT NULL,
    unsubscribed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT alert_unsubscriptions_address_sha256_check CHECK ((address_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT unsubscribed_at_is_a_time CHECK (((unsubscribed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (unsubscribed_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.alert_unsubscriptions IS 'Addresses that want no alerts about an organization: by the link in an e-mail. A row is deleted when alerts are wanted again.';

COMMENT ON COLUMN public.alert_unsubscriptions.address_sha256 IS 'SHA-256 of the address in lower case, in hexadecimal.';

CREATE TABLE public.alerts (
    id bigint NOT NULL,
    key text,
    channel text NOT NULL,
    code text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    next_try_at timestamp with time zone DEFAULT now() NOT NULL,
    refusals integer DEFAULT 0 NOT NULL,
    last_refusal text,
    taken_at timestamp with time zone,
    organization_id text,
    given_up_at timestamp with time zone,
    is_withdrawn boolean DEFAULT false NOT NULL,
    CONSTRAINT a_withdrawn_message_is_given_up CHECK (((NOT is_withdrawn) OR (given_up_at IS NOT NULL))),
    CONSTRAINT alerts_check CHECK (((refusals = 0) = (last_refusal IS NULL))),
    CONSTRAINT alerts_refusals_check CHECK ((refusals >= 0)),
    CONSTRAINT alerts_subject_check CHECK ((subject <> ''::text)),
    CONSTRAINT given_up_at_is_a_time CHECK (((given_up_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (given_up_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT made_at_is_a_time CHECK (((made_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (made_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT next_try_at_is_a_time CHECK (((next_try_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (next_try_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT taken_at_is_a_time CHECK (((taken_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (taken_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT taken_or_given_up CHECK (((taken_at IS NULL) OR (given_up_at IS NULL)))
);

COMMENT ON TABLE public.alerts IS 'The outbox: one row per message and channel. taken_at and given_up_at null: not delivered yet; it is retried until it is.';

COMMENT ON COLUMN public.alerts.key IS 'The subject of the message, so that it is queued only once.';

COMMENT ON COLUMN public.alerts.organization_id IS 'The customer whom a message is for or about. Null: it is for operators.';

COMMENT ON COLUMN public.alerts.given_up_at IS 'When delivery was given up: it was refused for good or for too long, or a newer message replaced it.';

COMMENT ON COLUMN public.alerts.is_withdrawn IS 'It was given up because a newer message replaced it, or because nobody wants it. It is never sent again.';

ALTER TABLE public.alerts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alerts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.api_tokens (
    id uuid NOT NULL,
    sha256 text NOT NULL,
    organization_id text,
    role text,
    scopes text[] NOT NULL,
    name text NOT NULL,
    issued_by text NOT NULL,
    issued_with uuid,
    replaces uuid,
    issued_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    revoked_by text,
    CONSTRAINT api_tokens_issued_by_check CHECK ((btrim(issued_by) <> ''::text)),
    CONSTRAINT api_tokens_name_check CHECK (((btrim(name) <> ''::text) AND (length(name) <= 200))),
    CONSTRAINT api_tokens_revoked_by_check CHECK ((btrim(revoked_by) <> ''::text)),
    CONSTRAINT api_tokens_role_check CHECK ((role = ANY (ARRAY['finance'::text, 'support'::text, 'issuer'::text]))),
    CONSTRAINT api_tokens_scopes_check CHECK ((scopes <@ ARRAY['statement'::text, 'invoices'::text, 'usage'::text, 'balance'::text, 'alerts'::text, 'alerts:write'::text])),
    CONSTRAINT api_tokens_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT expires_after_it_was_issued CHECK ((expires_at > issued_at)),
    CONSTRAINT expires_at_is_a_time CHECK (((expires_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (expires_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT issued_at_is_a_time CHECK (((issued_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (issued_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT of_an_organization_or_a_role CHECK (((organization_id IS NULL) <> (role IS NULL))),
    CONSTRAINT revocation_has_a_name CHECK (((revoked_at IS NULL) = (revoked_by IS NULL))),
    CONSTRAINT revoked_at_is_a_time CHECK (((revoked_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (revoked_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT scopes_of_an_organization CHECK (((organization_id IS NULL) = (cardinality(scopes) = 0)))
);

COMMENT ON TABLE public.api_tokens IS 'One row per token of the read API. A row is never deleted: it tells who could read whose bills, and until when.';

COMMENT ON COLUMN public.api_tokens.id IS 'The name of the token in commands and logs. It is no secret.';

COMMENT ON COLUMN public.api_tokens.sha256 IS 'SHA-256 of the token, in hexadecimal. The token itself is stored nowhere.';

COMMENT ON COLUMN public.api_tokens.organization_id IS 'The only organization that it reads. Null: an operator''s token.';

COMMENT ON COLUMN public.api_tokens.role IS 'Of an operator''s token: finance reads everything, support all but invoices and balances; issuer reads nothing: it issues tokens, makes links, sets thresholds and caps, and acknowledges calls about caps.';

COMMENT ON COLUMN public.api_tokens.scopes IS 'What an organization''s token reads. alerts:write: it also sets the organization''s thresholds and cap. Empty for a role.';

COMMENT ON COLUMN public.api_tokens.name IS 'What it is for.';

COMMENT ON COLUMN public.api_tokens.issued_by IS 'Who issued it: a person, or the name of the issuer''s token.';

COMMENT ON COLUMN public.api_tokens.issued_with IS 'The issuer''s token, if it was issued over HTTP.';

COMMENT ON COLUMN public.api_tokens.replaces IS 'The token that it replaces, which works for some time longer.';

COMMENT ON COLUMN public.api_tokens.issued_at IS 'From when it works.';

COMMENT ON COLUMN public.api_tokens.expires_at IS 'From when it no longer works.';

COMMENT ON COLUMN public.api_tokens.revoked_at IS 'From when it no longer works although it has not expired: the revocation, or the end of the overlap after a rotation.';

COMMENT ON COLUMN public.api_tokens.revoked_by IS 'Who revoked or rotated it.';

CREATE TABLE public.billing_details (
    organization_id text NOT NULL,
    legal_name text,
    email text,
    line1 text,
    line2 text,
    postal_code text,
    city text,
    state text,
    country text,
    tax_ids text[] DEFAULT '{}'::text[] NOT NULL,
    collection text DEFAULT 'charge_automatically'::text NOT NULL,
    net_days integer,
    purchase_order text,
    memo text,
    footer text,
    CONSTRAINT a_sent_invoice_has_an_address CHECK (((collection <> 'send_invoice'::text) OR (email IS NOT NULL))),
    CONSTRAINT an_address_has_a_country CHECK (((country IS NOT NULL) OR (num_nonnulls(line1, line2, postal_code, city, state) = 0))),
    CONSTRAINT billing_details_city_check CHECK (((city ~ '\S'::text) AND (length(city) <= 200) AND (city !~ '[[:cntrl:]]'::text))),
    CONSTRAINT billing_details_collection_check CHECK ((collection = ANY (ARRAY['charge_automatically'::text, 'send_invoice'::text]))),
    CONSTRAINT billing_details_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT billing_details_email_check CHECK (((email ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$'::text) AND (length(email) <= 512))),
    CONSTRAINT billing_details_footer_check CHECK (((footer ~ '\S'::text) AND (length(footer) <= 2500))),
    CONSTRAINT billing_details_legal_name_check CHECK (((legal_name ~ '\S'::text) AND (length(legal_name) <= 256) AND (legal_name !~ '[[:cntrl:]]'::text))),
    CONSTRAINT billing_details_line1_check CHECK (((line1 ~ '\S'::text) AND (length(line1) <= 500) AND (line1 !~ '[[:cntrl:]]'::text))),
    CONSTRAINT billing_details_line2_check CHECK (((line2 ~ '\S'::text) AND (length(line2) <= 500) AND (line2 !~ '[[:cntrl:]]'::text))),
    CONSTRAINT billing_details_memo_check CHECK (((memo ~ '\S'::text) AND (length(memo) <= 1000))),
    CONSTRAINT billing_details_net_days_check CHECK (((net_days >= 0) AND (net_days <= 365))),
    CONSTRAINT billing_details_postal_code_check CHECK (((postal_code ~ '\S'::text) AND (length(postal_code) <= 50) AND (postal_code !~ '[[:cntrl:]]'::text))),
    CONSTRAINT billing_details_purchase_order_check CHECK (((purchase_order ~ '\S'::text) AND (length(purchase_order) <= 140) AND (purchase_order !~ '[[:cntrl:]]'::text))),
    CONSTRAINT billing_details_state_check CHECK (((state ~ '\S'::text) AND (length(state) <= 200) AND (state !~ '[[:cntrl:]]'::text))),
    CONSTRAINT tax_ids_have_a_type CHECK (((cardinality(tax_ids) <= 5) AND public.are_keys(tax_ids) AND (array_to_string(tax_ids, '
'::text) ~ '^([a-z]{2}_[a-z_]+:\S[^\n]*(\n|$))*$'::text)))
);

COMMENT ON TABLE public.billing_details IS 'One row per organization: its details for the invoices that become final from now on. Final invoices keep theirs.';

COMMENT ON COLUMN public.billing_details.legal_name IS 'The name on invoices. Null: the organization''s name.';

COMMENT ON COLUMN public.billing_details.email IS 'Stripe sends invoices and receipts there. Null: the customer''s address in Stripe stays.';

COMMENT ON COLUMN public.billing_details.line1 IS 'Street and number.';

COMMENT ON COLUMN public.billing_details.line2 IS 'The rest of the street address.';

COMMENT ON COLUMN public.billing_details.country IS 'ISO 3166, as DE. Needed for an address.';

COMMENT ON COLUMN public.billing_details.tax_ids IS 'At most five, each as Stripe''s type, a colon and the value: eu_vat:DE123456789.';

COMMENT ON COLUMN public.billing_details.collection IS 'charge_automatically: Stripe charges the customer''s payment method; send_invoice: Stripe mails the invoice.';

COMMENT ON COLUMN public.billing_details.net_days IS 'Days from finalization to the due date. Null: the setting FLY_BILLING_DUE_DAYS.';

COMMENT ON COLUMN public.billing_details.purchase_order IS 'The customer''s order number, shown on each invoice.';

COMMENT ON COLUMN public.billing_details.memo IS 'A text for the customer on each invoice.';

COMMENT ON COLUMN public.billing_details.footer IS 'The text below each invoice.';

CREATE TABLE public.billing_failures (
    organization_id text NOT NULL,
    month date NOT NULL,
    code text NOT NULL,
    customer_text text NOT NULL,
    operator_text text NOT NULL,
    retryable boolean NOT NULL,
    run_id text NOT NULL,
    failed_at timestamp with time zone NOT NULL,
    alerted_code text,
    CONSTRAINT failed_at_is_a_time CHECK (((failed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (failed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.billing_failures IS 'Organizations whose invoice of a month can''t be calculated. A row is deleted when it can be.';

CREATE TABLE public.billing_recoveries (
    organization_id text NOT NULL,
    month date NOT NULL,
    alerted_code text NOT NULL,
    recovered_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT recovered_at_is_a_time CHECK (((recovered_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (recovered_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.billing_recoveries IS 'Billing failures that were reported and are over, until the recovery is reported too.';

CREATE TABLE public.carried_levels (
    month date NOT NULL,
    organization_id text NOT NULL,
    meter text NOT NULL,
    dimensions text NOT NULL,
    series text NOT NULL,
    level numeric NOT NULL,
    CONSTRAINT carried_levels_level_check CHECK ((level > (0)::numeric)),
    CONSTRAINT level_is_finite CHECK ((abs(level) < '100000000000000000000000'::numeric)),
    CONSTRAINT meter_is_a_key CHECK (((meter !~ '[[:cntrl:]]'::text) AND (meter ~ '^\S(.*\S)?$'::text) AND (length(meter) <= 500))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT organization_id_is_a_key CHECK (((organization_id !~ '[[:cntrl:]]'::text) AND (organization_id ~ '^\S(.*\S)?$'::text) AND (length(organization_id) <= 500)))
);

COMMENT ON TABLE public.carried_levels IS 'The opening levels of a month: the last level of each series before the month. A series without a row is at 0.';

COMMENT ON COLUMN public.carried_levels.dimensions IS 'Byte for byte as in the usage table, because both are compared.';

CREATE TABLE public.carried_months (
    month date NOT NULL,
    lake_version bigint NOT NULL,
    CONSTRAINT carried_months_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.carried_months IS 'Months whose opening levels are calculated, and the version of the usage table that they come from. They can be calculated again.';

CREATE TABLE public.commitments (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    kind text NOT NULL,
    description text NOT NULL,
    amount numeric NOT NULL,
    currency character(3) NOT NULL,
    scope jsonb DEFAULT '{}'::jsonb NOT NULL,
    first_month date NOT NULL,
    last_month date,
    months integer DEFAULT 1 NOT NULL,
    runs_from timestamp with time zone,
    runs_until timestamp with time zone,
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT commitments_amount_check CHECK (public.is_amount(amount)),
    CONSTRAINT commitments_check CHECK (((EXTRACT(day FROM last_month) = (1)::numeric) AND (last_month >= first_month))),
    CONSTRAINT commitments_check1 CHECK (((kind = 'minimum'::text) OR (months = 1))),
    CONSTRAINT commitments_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT commitments_description_check CHECK ((description <> ''::text)),
    CONSTRAINT commitments_first_month_check CHECK ((EXTRACT(day FROM first_month) = (1)::numeric)),
    CONSTRAINT commitments_kind_check CHECK ((kind = ANY (ARRAY['minimum'::text, 'maximum'::text]))),
    CONSTRAINT commitments_months_check CHECK ((months > 0)),
    CONSTRAINT commitments_runs_from_check CHECK (((runs_from >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (runs_from < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT commitments_runs_until_check CHECK (((runs_until >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (runs_until < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT commitments_scope_check CHECK (public.is_scope(scope, '["usage", "subscription", "one_off", "minimum"]'::jsonb)),
    CONSTRAINT description_says_something CHECK (((description ~ '\S'::text) AND (length(description) <= 5000))),
    CONSTRAINT first_month_is_a_day CHECK (((first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT last_month_is_a_day CHECK (((last_month >= '1970-01-01'::date) AND (last_month < '2200-01-01'::date))),
    CONSTRAINT months_is_a_century_at_most CHECK ((months <= 1200)),
    CONSTRAINT runs_for_some_time CHECK ((runs_until > runs_from)),
    CONSTRAINT runs_in_its_months CHECK (((runs_from >= first_month) AND ((last_month IS NULL) OR (runs_from < (last_month + '1 mon'::interval))) AND (runs_until > first_month)))
);

COMMENT ON TABLE public.commitments IS 'The least (minimum) or most (maximum) that an organization pays in a month or a period of months.';

COMMENT ON COLUMN public.commitments.months IS 'The amount is for this many months together, counted from first_month; the shortfall is charged in the last one.';

COMMENT ON COLUMN public.commitments.runs_from IS 'Its start, if that is inside its first period, whose amount is then prorated. Null: the start of first_month.';

COMMENT ON COLUMN public.commitments.runs_until IS 'Its end, if that is inside its last period, whose amount is then prorated. Null: the end of the last month.';

CREATE TABLE public.corrected_snapshots (
    invoice_id uuid NOT NULL,
    snapshot_id uuid NOT NULL
);

COMMENT ON TABLE public.corrected_snapshots IS 'The usage that a final invoice bills together with its adjustments, if it is no longer the invoice''s own snapshot.';

CREATE TABLE public.correction_approvals (
    id bigint NOT NULL,
    month date NOT NULL,
    currency character(3) NOT NULL,
    organization_id text,
    total numeric NOT NULL,
    up_to_decision bigint NOT NULL,
    approved_by text NOT NULL,
    why text NOT NULL,
    approved_at timestamp with time zone NOT NULL,
    CONSTRAINT approved_at_is_a_time CHECK (((approved_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (approved_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT correction_approvals_approved_by_check CHECK ((approved_by <> ''::text)),
    CONSTRAINT correction_approvals_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT correction_approvals_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT correction_approvals_total_check CHECK (((total > (0)::numeric) AND (total < 'Infinity'::numeric))),
    CONSTRAINT correction_approvals_why_check CHECK ((why <> ''::text)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT total_is_finite CHECK ((abs(total) < '100000000000000000000000'::numeric))
);

COMMENT ON TABLE public.correction_approvals IS 'Approvals of held corrections by a person. An approval covers the corrections held at that time, and no larger ones.';

COMMENT ON COLUMN public.correction_approvals.organization_id IS 'Only this payer''s correction; null: all corrections of the month and currency.';

COMMENT ON COLUMN public.correction_approvals.total IS 'The total that they return, in the currency''s major unit.';

COMMENT ON COLUMN public.correction_approvals.up_to_decision IS 'The newest correction_decisions.id at that time; corrections held, changed or booked later are not approved.';

ALTER TABLE public.correction_approvals ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.correction_approvals_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.correction_decisions (
    id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    organization_id text NOT NULL,
    month date NOT NULL,
    currency character(3) NOT NULL,
    decision text NOT NULL,
    gives_back numeric NOT NULL,
    charges numeric NOT NULL,
    causes text[] NOT NULL,
    reason text NOT NULL,
    approval_id bigint,
    decided_at timestamp with time zone NOT NULL,
    decided_by text NOT NULL,
    CONSTRAINT charges_is_finite CHECK ((abs(charges) < '100000000000000000000000'::numeric)),
    CONSTRAINT correction_decisions_charges_check CHECK (((charges >= (0)::numeric) AND (charges < 'Infinity'::numeric))),
    CONSTRAINT correction_decisions_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT correction_decisions_decided_by_check CHECK ((decided_by <> ''::text)),
    CONSTRAINT correction_decisions_decision_check CHECK ((decision = ANY (ARRAY['held'::text, 'released'::text, 'booked'::text]))),
    CONSTRAINT correction_decisions_gives_back_check CHECK (((gives_back >= (0)::numeric) AND (gives_back < 'Infinity'::numeric))),
    CONSTRAINT correction_decisions_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT decided_at_is_a_time CHECK (((decided_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (decided_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT gives_back_is_finite CHECK ((abs(gives_back) < '100000000000000000000000'::numeric)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.correction_decisions IS 'Every decision on a correction that needs approval: held (again, if it changed), released (nothing left to correct, or below the limit) or booked. The newest row of an invoice applies. Rows never change.';

COMMENT ON COLUMN public.correction_decisions.gives_back IS 'The amount that the correction returns, in the currency''s major unit.';

COMMENT ON COLUMN public.correction_decisions.charges IS 'The amount that the same correction charges.';

ALTER TABLE public.correction_decisions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.correction_decisions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.coupons (
    code text NOT NULL,
    description text NOT NULL,
    percent numeric,
    amount numeric,
    currency character(3),
    scope jsonb DEFAULT '{}'::jsonb NOT NULL,
    rank integer DEFAULT 0 NOT NULL,
    months integer,
    redeem_by timestamp with time zone,
    most_redemptions integer,
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT code_is_a_key CHECK (((code !~ '[[:cntrl:]]'::text) AND (code ~ '^\S(.*\S)?$'::text) AND (length(code) <= 500))),
    CONSTRAINT coupons_amount_check CHECK (((amount > (0)::numeric) AND public.is_amount(amount))),
    CONSTRAINT coupons_check CHECK (((percent IS NULL) <> (amount IS NULL))),
    CONSTRAINT coupons_check1 CHECK (((amount IS NULL) = (currency IS NULL))),
    CONSTRAINT coupons_code_check CHECK ((code <> ''::text)),
    CONSTRAINT coupons_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT coupons_description_check CHECK ((description <> ''::text)),
    CONSTRAINT coupons_months_check CHECK ((months > 0)),
    CONSTRAINT coupons_most_redemptions_check CHECK ((most_redemptions > 0)),
    CONSTRAINT coupons_percent_check CHECK (((percent > (0)::numeric) AND (percent <= (100)::numeric) AND public.is_amount(percent))),
    CONSTRAINT coupons_scope_check CHECK (public.is_scope(scope, '["usage", "subscription", "one_off"]'::jsonb)),
    CONSTRAINT description_says_something CHECK (((description ~ '\S'::text) AND (length(description) <= 5000))),
    CONSTRAINT months_is_a_century_at_most CHECK ((months <= 1200)),
    CONSTRAINT percent_is_finite CHECK ((abs(percent) < '100000000000000000000000'::numeric)),
    CONSTRAINT redeem_by_is_a_time CHECK (((redeem_by >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (redeem_by < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.coupons IS 'One row per coupon: the discount that it gives when an organization redeems it.';

COMMENT ON COLUMN public.coupons.scope IS 'The items that it applies to (invoicing.rules.items.Scope); {}: all charges.';

COMMENT ON COLUMN public.coupons.rank IS 'Lower ranks are deducted first.';

COMMENT ON COLUMN public.coupons.months IS 'The number of months that it applies for after it is redeemed; null: no end.';

CREATE TABLE public.credit_entries (
    id bigint NOT NULL,
    grant_id uuid NOT NULL,
    kind text NOT NULL,
    amount numeric NOT NULL,
    invoice_id uuid,
    booked_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT booked_at_is_a_time CHECK (((booked_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (booked_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT credit_entries_check CHECK (((kind = 'granted'::text) = (invoice_id IS NULL))),
    CONSTRAINT credit_entries_kind_check CHECK ((kind = ANY (ARRAY['granted'::text, 'drawn'::text, 'returned'::text, 'given_back'::text]))),
    CONSTRAINT signed_as_its_kind CHECK (
CASE kind
    WHEN 'drawn'::text THEN (amount < (0)::numeric)
    WHEN 'returned'::text THEN (amount <> (0)::numeric)
    ELSE (amount > (0)::numeric)
END)
);

COMMENT ON TABLE public.credit_entries IS 'Every movement of a credit; the sum is the balance. A credit is drawn when an invoice is finalized, given back when a fee or month that it paid turns out lower, and both are returned when the invoice becomes void.';

ALTER TABLE public.credit_entries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.credit_entries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.credit_expiries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.credit_expiries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.credit_requests (
    id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    amount_cents bigint NOT NULL,
    pays_back text NOT NULL,
    why text NOT NULL,
    made_by text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    approved_by text,
    approved_at timestamp with time zone,
    state text NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    unpaid_cents bigint,
    stripe_credit_note_id text,
    failure text,
    updated_at timestamp with time zone NOT NULL,
    withdrawn_by text,
    withdrawn_because text,
    withdrawn_at timestamp with time zone,
    taxes jsonb,
    CONSTRAINT approval_has_a_name CHECK (((approved_by IS NULL) = (approved_at IS NULL))),
    CONSTRAINT approved_at_is_a_time CHECK (((approved_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (approved_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT approved_by_somebody_else CHECK ((approved_by <> made_by)),
    CONSTRAINT credit_requests_amount_cents_check CHECK (((amount_cents > 0) AND (amount_cents < '1000000000000000'::bigint))),
    CONSTRAINT credit_requests_generation_check CHECK ((generation >= 0)),
    CONSTRAINT credit_requests_made_by_check CHECK ((btrim(made_by) <> ''::text)),
    CONSTRAINT credit_requests_pays_back_check CHECK ((pays_back = ANY (ARRAY['refund'::text, 'balance'::text, 'out_of_band'::text]))),
    CONSTRAINT credit_requests_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'pending'::text, 'unknown'::text, 'failed'::text, 'issued'::text, 'withdrawn'::text]))),
    CONSTRAINT credit_requests_unpaid_cents_check CHECK (((unpaid_cents >= 0) AND (unpaid_cents < '1000000000000000'::bigint))),
    CONSTRAINT credit_requests_why_check CHECK ((btrim(why) <> ''::text)),
    CONSTRAINT credit_requests_withdrawn_because_check CHECK ((btrim(withdrawn_because) <> ''::text)),
    CONSTRAINT credit_requests_withdrawn_by_check CHECK ((btrim(withdrawn_by) <> ''::text)),
    CONSTRAINT issued_is_at_stripe CHECK (((state = 'issued'::text) = (stripe_credit_note_id IS NOT NULL))),
    CONSTRAINT made_at_is_a_time CHECK (((made_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (made_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT unpaid_is_a_part_of_the_amount CHECK ((unpaid_cents <= amount_cents)),
    CONSTRAINT updated_at_is_a_time CHECK (((updated_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (updated_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT withdrawn_at_is_a_time CHECK (((withdrawn_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (withdrawn_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT withdrawn_has_a_name_and_a_reason CHECK ((((state = 'withdrawn'::text) = (withdrawn_at IS NOT NULL)) AND (num_nonnulls(withdrawn_by, withdrawn_because, withdrawn_at) = ANY (ARRAY[0, 3]))))
);

COMMENT ON TABLE public.credit_requests IS 'One row per credit note that someone asked Stripe to make for an invoice. What Stripe made of it is in stripe_money.';

COMMENT ON COLUMN public.credit_requests.id IS 'Follows from invoice, amount, pays_back and why: asking twice is one request.';

COMMENT ON COLUMN public.credit_requests.amount_cents IS 'In the invoice''s currency, taxes included.';

COMMENT ON COLUMN public.credit_requests.pays_back IS 'Where the part goes that the customer paid: refund (to the card), balance (credit at Stripe), or out_of_band.';

COMMENT ON COLUMN public.credit_requests.why IS 'The reason; Stripe shows it to the customer as the memo.';

COMMENT ON COLUMN public.credit_requests.made_by IS 'Who asked for it.';

COMMENT ON COLUMN public.credit_requests.approved_by IS 'Who approved it, above the limit. Never who asked for it.';

COMMENT ON COLUMN public.credit_requests.state IS 'waiting for an approval, pending (to be sent), unknown (perhaps sent), failed (refused), issued, or withdrawn (never sent).';

COMMENT ON COLUMN public.credit_requests.generation IS 'The generation of its idempotency keys.';

COMMENT ON COLUMN public.credit_requests.unpaid_cents IS 'The part that lowers what the invoice asks for, as in the request to Stripe. Null: not planned yet.';

COMMENT ON COLUMN public.credit_requests.stripe_credit_note_id IS 'Stripe''s credit note.';

COMMENT ON COLUMN public.credit_requests.failure IS 'Why it is not at Stripe.';

COMMENT ON COLUMN public.credit_requests.withdrawn_by IS 'Who decided that it is not to be made.';

COMMENT ON COLUMN public.credit_requests.withdrawn_because IS 'Why it is not to be made.';

COMMENT ON COLUMN public.credit_requests.taxes IS 'The tax amounts of the credit note, as in the request to Stripe. Null: not planned yet, or planned before taxes were.';

CREATE TABLE public.customer_changes (
    id bigint NOT NULL,
    organization_id text,
    on_table text NOT NULL,
    action text NOT NULL,
    what text NOT NULL,
    first_month date NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    why text,
    CONSTRAINT changed_at_is_a_time CHECK (((changed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (changed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT customer_changes_action_check CHECK ((action = ANY (ARRAY['added'::text, 'changed'::text, 'withdrawn'::text]))),
    CONSTRAINT customer_changes_changed_by_check CHECK ((changed_by <> ''::text)),
    CONSTRAINT customer_changes_first_month_check CHECK (((EXTRACT(day FROM first_month) = (1)::numeric) AND (first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT customer_changes_on_table_check CHECK ((on_table <> ''::text)),
    CONSTRAINT customer_changes_what_check CHECK (((what ~ '\S'::text) AND (length(what) <= 10000)))
);

COMMENT ON TABLE public.customer_changes IS 'Every change of organizations and terms by commands and workspaces, and of price books by workspaces. term_changes has those that affect final invoices.';

COMMENT ON COLUMN public.customer_changes.organization_id IS 'Null: a coupon, or an entry of a price book.';

COMMENT ON COLUMN public.customer_changes.what IS 'The record, and the fields that changed with their values before and after.';

COMMENT ON COLUMN public.customer_changes.first_month IS 'The first month that the record is about.';

ALTER TABLE public.customer_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.customer_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.discounts (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    coupon_code text NOT NULL,
    first_month date NOT NULL,
    last_month date,
    redeemed_at timestamp with time zone NOT NULL,
    CONSTRAINT discounts_check CHECK (((EXTRACT(day FROM last_month) = (1)::numeric) AND (last_month >= first_month))),
    CONSTRAINT discounts_first_month_check CHECK ((EXTRACT(day FROM first_month) = (1)::numeric)),
    CONSTRAINT first_month_is_a_day CHECK (((first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT last_month_is_a_day CHECK (((last_month >= '1970-01-01'::date) AND (last_month < '2200-01-01'::date))),
    CONSTRAINT redeemed_at_is_a_time CHECK (((redeemed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (redeemed_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.discounts IS 'Coupons that an organization redeemed, with the months that they apply to (last_month included).';

CREATE TABLE public.failed_checks (
    id bigint NOT NULL,
    asset text NOT NULL,
    check_name text NOT NULL,
    period text NOT NULL,
    billing_group text NOT NULL,
    is_warning boolean NOT NULL,
    wrong bigint NOT NULL,
    reason text NOT NULL,
    is_reported boolean NOT NULL,
    failed_since timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    CONSTRAINT failed_checks_asset_check CHECK ((asset <> ''::text)),
    CONSTRAINT failed_checks_check_name_check CHECK ((check_name <> ''::text)),
    CONSTRAINT failed_checks_failed_since_check CHECK (((failed_since >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (failed_since < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT failed_checks_period_check CHECK ((period ~ '^\d{4}-\d\d(-\d\d)?$'::text)),
    CONSTRAINT failed_checks_reason_check CHECK ((reason <> ''::text)),
    CONSTRAINT failed_checks_run_id_check CHECK ((run_id <> ''::text)),
    CONSTRAINT failed_checks_wrong_check CHECK ((wrong > 0))
);

COMMENT ON TABLE public.failed_checks IS 'One row per asset check, month or landing day, and billing group that fails now. A run replaces the rows of its own.';

COMMENT ON COLUMN public.failed_checks.id IS 'Grows with each new failure. A row keeps its number until the check passes.';

COMMENT ON COLUMN public.failed_checks.period IS 'A month such as 2026-10, or a landing day such as 2026-10-31.';

COMMENT ON COLUMN public.failed_checks.billing_group IS 'Empty if the failure concerns the whole month or landing day, and no organization.';

COMMENT ON COLUMN public.failed_checks.wrong IS 'The number of wrong rows that the check found.';

COMMENT ON COLUMN public.failed_checks.reason IS 'The first wrong rows in words.';

COMMENT ON COLUMN public.failed_checks.is_reported IS 'Another alert reports this failure.';

COMMENT ON COLUMN public.failed_checks.run_id IS 'The run that found it last.';

ALTER TABLE public.failed_checks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.failed_checks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW public.finance_credit_movements AS
SELECT
    NULL::date AS month,
    NULL::character(3) AS currency,
    NULL::text AS organization_id,
    NULL::uuid AS credit_id,
    NULL::text AS description,
    NULL::text AS pays,
    NULL::text AS movement,
    NULL::numeric AS amount;

COMMENT ON VIEW public.finance_credit_movements IS 'One row per credit and month in which it was granted, used or expired. Exact amounts in the currency''s major unit.';

COMMENT ON COLUMN public.finance_credit_movements.month IS 'granted: the month of granted_at; used: the month of the invoice; expired: the last month in which it could be used.';

COMMENT ON COLUMN public.finance_credit_movements.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_credit_movements.organization_id IS 'The organization that has the credit.';

COMMENT ON COLUMN public.finance_credit_movements.credit_id IS 'credit_grants.id.';

COMMENT ON COLUMN public.finance_credit_movements.description IS 'The credit''s name on invoices.';

COMMENT ON COLUMN public.finance_credit_movements.pays IS 'net: before tax; gross: after tax.';

COMMENT ON COLUMN public.finance_credit_movements.movement IS 'granted, used or expired.';

COMMENT ON COLUMN public.finance_credit_movements.amount IS 'Positive; used: less what was given back or returned, so it can be negative.';

CREATE VIEW public.finance_credits AS
 WITH moved AS (
         SELECT credit_entries.grant_id,
            sum(credit_entries.amount) AS balance,
            (- sum(credit_entries.amount) FILTER (WHERE (credit_entries.kind <> 'granted'::text))) AS used
           FROM public.credit_entries
          GROUP BY credit_entries.grant_id
        ), pending AS (
         SELECT t.credit_grant_id AS grant_id,
            (- sum(t.amount)) AS pending
           FROM (public.invoice_items t
             JOIN public.invoices i ON ((i.id = t.invoice_id)))
          WHERE ((i.status = 'open'::text) AND (t.credit_grant_id IS NOT NULL))
          GROUP BY t.credit_grant_id
        ), balances AS (
         SELECT g.id,
            g.organization_id,
            g.description,
            g.amount,
            g.currency,
            g.priority,
            g.scope,
            g.granted_at,
            g.expires_at,
            g.pays,
            COALESCE(m.used, (0)::numeric) AS used,
            COALESCE(p.pending, (0)::numeric) AS pending,
            (m.balance - COALESCE(p.pending, (0)::numeric)) AS rest,
            COALESCE((g.expires_at <= public.finance_as_of()), false) AS is_over
           FROM ((public.credit_grants g
             JOIN moved m ON ((m.grant_id = g.id)))
             LEFT JOIN pending p ON ((p.grant_id = g.id)))
        )
 SELECT organization_id,
    currency,
    id AS credit_id,
    description,
    pays,
    granted_at,
    expires_at,
        CASE
            WHEN (granted_at > public.finance_as_of()) THEN 'upcoming'::text
            WHEN (rest <= (0)::numeric) THEN 'used up'::text
            WHEN is_over THEN 'expired'::text
            ELSE 'active'::text
        END AS state,
    amount AS granted,
    used,
    pending,
        CASE
            WHEN is_over THEN rest
            ELSE (0)::numeric
        END AS expired,
        CASE
            WHEN is_over THEN (0)::numeric
            ELSE rest
        END AS remaining
   FROM balances;

COMMENT ON VIEW public.finance_credits IS 'One row per credit: granted = used + pending + expired + remaining. Exact amounts in the currency''s major unit.';

COMMENT ON COLUMN public.finance_credits.organization_id IS 'The organization that has the credit.';

COMMENT ON COLUMN public.finance_credits.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_credits.credit_id IS 'credit_grants.id.';

COMMENT ON COLUMN public.finance_credits.description IS 'The credit''s name on invoices.';

COMMENT ON COLUMN public.finance_credits.pays IS 'net: before tax; gross: after tax.';

COMMENT ON COLUMN public.finance_credits.granted_at IS 'The time from which it can be used.';

COMMENT ON COLUMN public.finance_credits.expires_at IS 'Null: it does not expire.';

COMMENT ON COLUMN public.finance_credits.state IS 'upcoming, active, used up or expired, at finance_as_of().';

COMMENT ON COLUMN public.finance_credits.granted IS 'The amount granted.';

COMMENT ON COLUMN public.finance_credits.used IS 'What final invoices drew, less what was given back or returned.';

COMMENT ON COLUMN public.finance_credits.pending IS 'What open invoices would draw.';

COMMENT ON COLUMN public.finance_credits.expired IS 'What was left when it expired.';

COMMENT ON COLUMN public.finance_credits.remaining IS 'What is left; negative if an invoice that had given credit back became void.';

CREATE VIEW public.finance_history AS
SELECT
    NULL::timestamp with time zone AS happened_at,
    NULL::text AS person,
    NULL::text AS action,
    NULL::text AS organization_id,
    NULL::date AS first_month,
    NULL::date AS last_month,
    NULL::uuid AS invoice_id,
    NULL::bpchar AS currency,
    NULL::bigint AS amount_cents,
    NULL::numeric AS amount,
    NULL::text AS subject,
    NULL::text AS reason;

COMMENT ON VIEW public.finance_history IS 'Who changed, approved, voided, waived, kept or rebilled what, and why: one row per act.';

COMMENT ON COLUMN public.finance_history.happened_at IS 'When.';

COMMENT ON COLUMN public.finance_history.person IS 'The person or program that did it, as recorded.';

COMMENT ON COLUMN public.finance_history.action IS 'finalized, paid, voided, wrote off, removed, rebilled, credited, refunded, disputed, adjusted, approved, held, released, booked, added, changed, withdrawn, kept or waived.';

COMMENT ON COLUMN public.finance_history.organization_id IS 'The organization that pays the invoice, or whose term or usage it is; null: a whole month or price book.';

COMMENT ON COLUMN public.finance_history.first_month IS 'The first month that it is about.';

COMMENT ON COLUMN public.finance_history.last_month IS 'The last month that it is about; null: no end.';

COMMENT ON COLUMN public.finance_history.invoice_id IS 'invoices.id; null: no single invoice.';

COMMENT ON COLUMN public.finance_history.currency IS 'ISO 4217; null: no amount.';

COMMENT ON COLUMN public.finance_history.amount_cents IS 'A billed, credited, refunded or disputed amount, in the currency''s minor unit; below zero: credit given at Stripe.';

COMMENT ON COLUMN public.finance_history.amount IS 'The exact amount in the currency''s major unit; null: none, or in amount_cents.';

COMMENT ON COLUMN public.finance_history.subject IS 'What it was done to.';

COMMENT ON COLUMN public.finance_history.reason IS 'The reason that was given; null: none.';

CREATE VIEW public.finance_invoice_items AS
 SELECT i.month,
    i.currency,
    i.organization_id AS payer_id,
    i.id AS invoice_id,
    t.id AS item_id,
    t.organization_id,
    t.kind,
    t.product,
    t.meter,
    t.price_key,
    t.amount_cents,
        CASE
            WHEN (t.kind = 'tax'::text) THEN 'tax'::text
            WHEN (g.pays = 'gross'::text) THEN 'prepaid'::text
            ELSE 'revenue'::text
        END AS part
   FROM (((public.invoices i
     JOIN public.invoice_items t ON ((t.invoice_id = i.id)))
     LEFT JOIN public.adjustments a ON ((a.id = t.adjustment_id)))
     LEFT JOIN public.credit_grants g ON ((g.id = COALESCE(t.credit_grant_id, a.credit_grant_id))))
  WHERE (i.status <> ALL (ARRAY['open'::text, 'void'::text]));

COMMENT ON VIEW public.finance_invoice_items IS 'One row per item of each final invoice that is not void, with the part of the total that it belongs to.';

COMMENT ON COLUMN public.finance_invoice_items.month IS 'The first day of the month that the invoice bills.';

COMMENT ON COLUMN public.finance_invoice_items.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_invoice_items.payer_id IS 'The organization that pays the invoice.';

COMMENT ON COLUMN public.finance_invoice_items.invoice_id IS 'invoices.id.';

COMMENT ON COLUMN public.finance_invoice_items.item_id IS 'invoice_items.id.';

COMMENT ON COLUMN public.finance_invoice_items.organization_id IS 'The organization that used or bought it.';

COMMENT ON COLUMN public.finance_invoice_items.kind IS 'invoice_items.kind.';

COMMENT ON COLUMN public.finance_invoice_items.product IS 'The product on the invoice.';

COMMENT ON COLUMN public.finance_invoice_items.meter IS 'The meter of usage; null: not usage.';

COMMENT ON COLUMN public.finance_invoice_items.price_key IS 'The key of the price; null: no price.';

COMMENT ON COLUMN public.finance_invoice_items.amount_cents IS 'The item''s share of the total, in the currency''s minor unit.';

COMMENT ON COLUMN public.finance_invoice_items.part IS 'revenue: before tax; tax: a tax added to the prices; prepaid: paid from credit after tax, or given back to it.';

CREATE VIEW public.finance_invoices AS
 SELECT i.month,
    i.currency,
    i.organization_id,
    i.id AS invoice_id,
    i.number,
    i.status,
    i.finalized_at,
    i.due_on,
    i.paid_at,
    (COALESCE(items.revenue, (0)::bigint) - COALESCE(taxes.contained, (0)::bigint)) AS revenue_cents,
    COALESCE(taxes.tax, (0)::bigint) AS tax_cents,
    COALESCE(items.prepaid, (0)::bigint) AS prepaid_cents,
    i.total_cents
   FROM ((public.invoices i
     LEFT JOIN LATERAL ( SELECT (sum(t.amount_cents) FILTER (WHERE (t.part = 'revenue'::text)))::bigint AS revenue,
            (sum(t.amount_cents) FILTER (WHERE (t.part = 'prepaid'::text)))::bigint AS prepaid
           FROM public.finance_invoice_items t
          WHERE (t.invoice_id = i.id)) items ON (true))
     LEFT JOIN LATERAL ( SELECT (sum(x.tax_cents))::bigint AS tax,
            (sum(x.tax_cents) FILTER (WHERE x.is_inclusive))::bigint AS contained
           FROM public.invoice_taxes x
          WHERE (x.invoice_id = i.id)) taxes ON (true))
  WHERE (i.status <> ALL (ARRAY['open'::text, 'void'::text]));

COMMENT ON VIEW public.finance_invoices IS 'One row per final invoice that is not void: how its total splits into revenue, tax and prepaid credit.';

COMMENT ON COLUMN public.finance_invoices.month IS 'The first day of the month that the invoice bills.';

COMMENT ON COLUMN public.finance_invoices.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_invoices.organization_id IS 'The organization that pays the invoice.';

COMMENT ON COLUMN public.finance_invoices.invoice_id IS 'invoices.id.';

COMMENT ON COLUMN public.finance_invoices.number IS 'The invoice''s number, consecutive per organization.';

COMMENT ON COLUMN public.finance_invoices.status IS 'finalized (not paid), paid or uncollectible (written off).';

COMMENT ON COLUMN public.finance_invoices.finalized_at IS 'When it became final.';

COMMENT ON COLUMN public.finance_invoices.due_on IS 'The day by which it must be paid.';

COMMENT ON COLUMN public.finance_invoices.paid_at IS 'When it was paid; null: not paid.';

COMMENT ON COLUMN public.finance_invoices.revenue_cents IS 'Items before tax, after discounts and credits that pay before tax.';

COMMENT ON COLUMN public.finance_invoices.tax_cents IS 'All taxes, added to the prices and contained in them.';

COMMENT ON COLUMN public.finance_invoices.prepaid_cents IS 'Negative: paid from credit after tax (prepaid money, deposits). Positive: given back to it.';

COMMENT ON COLUMN public.finance_invoices.total_cents IS 'The invoice''s total: revenue_cents + tax_cents + prepaid_cents.';

CREATE TABLE public.ledger_entries (
    organization_id text NOT NULL,
    currency character(3) NOT NULL,
    month date NOT NULL,
    transaction_id bigint NOT NULL,
    account text NOT NULL,
    amount_cents bigint NOT NULL,
    CONSTRAINT amount_cents_is_finite CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT ledger_entries_account_check CHECK ((account = ANY (ARRAY['cash'::text, 'receivable'::text, 'disputed'::text, 'stripe_balance'::text, 'tax_payable'::text, 'customer_credit'::text, 'deferred_revenue'::text, 'revenue'::text, 'breakage'::text, 'refunds'::text, 'written_off'::text]))),
    CONSTRAINT ledger_entries_amount_cents_check CHECK ((amount_cents <> 0)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.ledger_entries IS 'One row per account that a transaction moved. The entries of a transaction sum to zero. Rows are only added.';

COMMENT ON COLUMN public.ledger_entries.organization_id IS 'The payer, as in the transaction.';

COMMENT ON COLUMN public.ledger_entries.currency IS 'ISO 4217, as in the transaction.';

COMMENT ON COLUMN public.ledger_entries.month IS 'The accounting month, as in the transaction.';

COMMENT ON COLUMN public.ledger_entries.transaction_id IS 'ledger_transactions.id.';

COMMENT ON COLUMN public.ledger_entries.account IS 'A key of ledger.rules.accounts.ACCOUNTS.';

COMMENT ON COLUMN public.ledger_entries.amount_cents IS 'Debits are positive, credits negative, in the currency''s minor unit.';

CREATE TABLE public.ledger_transactions (
    id bigint NOT NULL,
    organization_id text NOT NULL,
    currency character(3) NOT NULL,
    month date NOT NULL,
    event text NOT NULL,
    invoice_change_id bigint,
    credit_note_id uuid,
    credit_grant_id uuid,
    posted_at timestamp with time zone DEFAULT now() NOT NULL,
    stripe_money_id bigint,
    credit_expiry_id bigint,
    stripe_amounts_id bigint,
    CONSTRAINT ledger_transactions_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ledger_transactions_event_check CHECK ((event <> ''::text)),
    CONSTRAINT ledger_transactions_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT one_source CHECK ((num_nonnulls(invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id, stripe_amounts_id) = 1)),
    CONSTRAINT posted_at_is_a_time CHECK (((posted_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (posted_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.ledger_transactions IS 'One row per event that moved an amount, such as a final invoice, a payment, a credit note, a refund or a dispute.';

COMMENT ON COLUMN public.ledger_transactions.id IS 'Identifies the transaction; later ones have higher ids.';

COMMENT ON COLUMN public.ledger_transactions.organization_id IS 'The payer.';

COMMENT ON COLUMN public.ledger_transactions.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.ledger_transactions.month IS 'The accounting month, its first day: the billed month of a final invoice, otherwise the month of the event.';

COMMENT ON COLUMN public.ledger_transactions.event IS 'A key of ledger.rules.events.EVENTS.';

COMMENT ON COLUMN public.ledger_transactions.invoice_change_id IS 'The change of an invoice''s status that caused it.';

COMMENT ON COLUMN public.ledger_transactions.credit_note_id IS 'The credit note that caused it.';

COMMENT ON COLUMN public.ledger_transactions.credit_grant_id IS 'The prepaid credit that caused it.';

COMMENT ON COLUMN public.ledger_transactions.posted_at IS 'When it was posted.';

COMMENT ON COLUMN public.ledger_transactions.stripe_money_id IS 'The state of an object at Stripe that caused it.';

COMMENT ON COLUMN public.ledger_transactions.credit_expiry_id IS 'The expiry of prepaid credit that caused it.';

COMMENT ON COLUMN public.ledger_transactions.stripe_amounts_id IS 'The state of an invoice''s amounts at Stripe that caused it.';

CREATE TABLE public.revenue_deferrals (
    month date NOT NULL,
    invoice_change_id bigint,
    organization_id text NOT NULL,
    currency character(3) NOT NULL,
    amount_cents bigint NOT NULL,
    id bigint NOT NULL,
    stripe_money_id bigint,
    CONSTRAINT amount_cents_is_finite CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT one_source CHECK ((num_nonnulls(invoice_change_id, stripe_money_id) = 1)),
    CONSTRAINT revenue_deferrals_amount_cents_check CHECK ((amount_cents <> 0)),
    CONSTRAINT revenue_deferrals_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT revenue_deferrals_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric))
);

COMMENT ON TABLE public.revenue_deferrals IS 'Revenue that an invoice moves from the month that charges it to those that supply it, and that a credit note takes back. The rows of a source sum to zero.';

COMMENT ON COLUMN public.revenue_deferrals.month IS 'The accounting month, its first day.';

COMMENT ON COLUMN public.revenue_deferrals.invoice_change_id IS 'The source: the change by which the invoice became final or void. Null: a credit note.';

COMMENT ON COLUMN public.revenue_deferrals.organization_id IS 'The payer.';

COMMENT ON COLUMN public.revenue_deferrals.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.revenue_deferrals.amount_cents IS 'Above zero: recognized as revenue in the month. Below zero: deferred. In the currency''s minor unit.';

COMMENT ON COLUMN public.revenue_deferrals.id IS 'Grows with each row.';

COMMENT ON COLUMN public.revenue_deferrals.stripe_money_id IS 'The source: the state of a credit note at Stripe. Null: an invoice.';

CREATE VIEW public.finance_journal AS
 SELECT public.accounting_month(e.month, e.transaction_id) AS month,
    e.organization_id,
    e.currency,
    t.event,
    e.account,
    e.amount_cents
   FROM (public.ledger_entries e
     JOIN public.ledger_transactions t ON (((t.organization_id = e.organization_id) AND (t.currency = e.currency) AND (t.month = e.month) AND (t.id = e.transaction_id))))
UNION ALL
 SELECT d.month,
    d.organization_id,
    d.currency,
        CASE
            WHEN ((d.amount_cents > 0) = (d.stripe_money_id IS NULL)) THEN 'revenue_recognized'::text
            ELSE 'revenue_deferred'::text
        END AS event,
    entry.account,
    (entry.sign * d.amount_cents) AS amount_cents
   FROM (public.revenue_deferrals d
     CROSS JOIN ( VALUES ('deferred_revenue'::text,1), ('revenue'::text,'-1'::integer)) entry(account, sign));

COMMENT ON VIEW public.finance_journal IS 'One row per entry of the journal: the ledger, with revenue in the months that supply it. The entries sum to zero.';

COMMENT ON COLUMN public.finance_journal.month IS 'The accounting month, its first day. Rows of a closed month never change.';

COMMENT ON COLUMN public.finance_journal.organization_id IS 'The payer.';

COMMENT ON COLUMN public.finance_journal.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_journal.event IS 'The cause: an event of docs/ledger.md, revenue_deferred or revenue_recognized.';

COMMENT ON COLUMN public.finance_journal.account IS 'An account of docs/ledger.md.';

COMMENT ON COLUMN public.finance_journal.amount_cents IS 'Debits are positive, credits negative, in the currency''s minor unit.';

CREATE VIEW public.finance_months AS
 SELECT month,
    currency,
    count(*) AS invoices,
    (sum(revenue_cents))::bigint AS revenue_cents,
    (sum(tax_cents))::bigint AS tax_cents,
    (sum(prepaid_cents))::bigint AS prepaid_cents,
    (sum(total_cents))::bigint AS total_cents,
    (COALESCE(sum(total_cents) FILTER (WHERE (status = 'paid'::text)), (0)::numeric))::bigint AS paid_cents,
    (COALESCE(sum(total_cents) FILTER (WHERE (status = 'uncollectible'::text)), (0)::numeric))::bigint AS written_off_cents
   FROM public.finance_invoices f
  GROUP BY month, currency;

COMMENT ON VIEW public.finance_months IS 'One row per month and currency with final invoices that are not void.';

COMMENT ON COLUMN public.finance_months.month IS 'The first day of the month that the invoice bills.';

COMMENT ON COLUMN public.finance_months.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_months.invoices IS 'The number of invoices.';

COMMENT ON COLUMN public.finance_months.revenue_cents IS 'The sum of finance_invoices.revenue_cents, and of finance_revenue.revenue_cents.';

COMMENT ON COLUMN public.finance_months.tax_cents IS 'The sum of finance_invoices.tax_cents, and of finance_taxes.tax_cents.';

COMMENT ON COLUMN public.finance_months.prepaid_cents IS 'The sum of finance_invoices.prepaid_cents.';

COMMENT ON COLUMN public.finance_months.total_cents IS 'The sum of the totals: revenue_cents + tax_cents + prepaid_cents.';

COMMENT ON COLUMN public.finance_months.paid_cents IS 'The totals of paid invoices.';

COMMENT ON COLUMN public.finance_months.written_off_cents IS 'The totals of uncollectible invoices.';

CREATE TABLE public.stripe_invoices (
    invoice_id uuid NOT NULL,
    state text NOT NULL,
    step text,
    generation integer DEFAULT 0 NOT NULL,
    stripe_invoice_id text,
    stripe_total_cents bigint,
    hosted_invoice_url text,
    failure_code text,
    failure_customer_text text,
    failure_operator_text text,
    retryable boolean,
    run_id text,
    updated_at timestamp with time zone NOT NULL,
    finalized_at timestamp with time zone,
    alerted_code text,
    stripe_due_cents bigint,
    stripe_balance_cents bigint,
    stripe_number text,
    invoice_pdf_url text,
    stripe_due_on date,
    CONSTRAINT due_and_balance_are_known_together CHECK (((stripe_due_cents IS NULL) = (stripe_balance_cents IS NULL))),
    CONSTRAINT finalized_at_is_a_time CHECK (((finalized_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (finalized_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_balance_cents_is_finite CHECK ((abs(stripe_balance_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_due_cents_is_finite CHECK ((abs(stripe_due_cents) < '1000000000000000'::bigint)),
    CONSTRAINT stripe_due_on_is_a_day CHECK (((stripe_due_on >= '1970-01-01'::date) AND (stripe_due_on < '2200-01-01'::date))),
    CONSTRAINT stripe_invoices_check CHECK (((state = 'finalized'::text) = (finalized_at IS NOT NULL))),
    CONSTRAINT stripe_invoices_check1 CHECK (((state <> ALL (ARRAY['drafted'::text, 'filled'::text, 'verified'::text, 'finalized'::text])) OR (stripe_invoice_id IS NOT NULL))),
    CONSTRAINT stripe_invoices_check2 CHECK (((state <> ALL (ARRAY['unknown'::text, 'failed'::text, 'needs_attention'::text])) OR ((failure_code IS NOT NULL) AND (step IS NOT NULL)))),
    CONSTRAINT stripe_invoices_check3 CHECK (((state = ANY (ARRAY['unknown'::text, 'failed'::text, 'needs_attention'::text])) OR (failure_code IS NULL))),
    CONSTRAINT stripe_invoices_generation_check CHECK ((generation >= 0)),
    CONSTRAINT stripe_invoices_invoice_pdf_url_check CHECK ((invoice_pdf_url <> ''::text)),
    CONSTRAINT stripe_invoices_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'drafted'::text, 'filled'::text, 'verified'::text, 'finalized'::text, 'skipped_zero'::text, 'unknown'::text, 'failed'::text, 'needs_attention'::text]))),
    CONSTRAINT stripe_invoices_step_check CHECK ((step = ANY (ARRAY['create_customer'::text, 'update_customer'::text, 'add_tax_id'::text, 'remove_tax_id'::text, 'create'::text, 'add_lines'::text, 'verify'::text, 'finalize'::text, 'discard'::text]))),
    CONSTRAINT stripe_invoices_stripe_number_check CHECK ((stripe_number <> ''::text)),
    CONSTRAINT stripe_total_cents_is_finite CHECK ((abs(stripe_total_cents) < '1000000000000000'::bigint)),
    CONSTRAINT updated_at_is_a_time CHECK (((updated_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (updated_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.stripe_invoices IS 'The sync state of each final invoice: the step it reached in Stripe, or the failure.';

COMMENT ON COLUMN public.stripe_invoices.invoice_id IS 'Our invoice.';

COMMENT ON COLUMN public.stripe_invoices.state IS 'The state of the sync; finalized is the last one of an invoice in Stripe.';

COMMENT ON COLUMN public.stripe_invoices.step IS 'The step of the sync that was started last.';

COMMENT ON COLUMN public.stripe_invoices.generation IS 'The number of times that the invoice was created anew in Stripe; part of every idempotency key.';

COMMENT ON COLUMN public.stripe_invoices.stripe_invoice_id IS 'The invoice in Stripe; null before it is created.';

COMMENT ON COLUMN public.stripe_invoices.stripe_total_cents IS 'The total in Stripe, in the currency''s minor unit.';

COMMENT ON COLUMN public.stripe_invoices.hosted_invoice_url IS 'The page on which the customer pays.';

COMMENT ON COLUMN public.stripe_invoices.failure_code IS 'Why the last attempt failed; null if it did not.';

COMMENT ON COLUMN public.stripe_invoices.failure_customer_text IS 'The failure in words for the customer.';

COMMENT ON COLUMN public.stripe_invoices.failure_operator_text IS 'The failure in words for the operator, with the fix.';

COMMENT ON COLUMN public.stripe_invoices.retryable IS 'True if the next run tries it again by itself.';

COMMENT ON COLUMN public.stripe_invoices.run_id IS 'The Dagster run of the last attempt.';

COMMENT ON COLUMN public.stripe_invoices.updated_at IS 'When this row changed last.';

COMMENT ON COLUMN public.stripe_invoices.finalized_at IS 'When it was finalized in Stripe.';

COMMENT ON COLUMN public.stripe_invoices.alerted_code IS 'The failure that an alert reported; null again after its recovery was reported.';

COMMENT ON COLUMN public.stripe_invoices.stripe_due_cents IS 'What Stripe asked for when it finalized the invoice: the total with the customer''s balance. Null: not recorded.';

COMMENT ON COLUMN public.stripe_invoices.stripe_balance_cents IS 'The customer''s balance in Stripe after that: negative for credit, positive for an amount that is carried over.';

COMMENT ON COLUMN public.stripe_invoices.stripe_number IS 'The invoice''s number in Stripe: ours, unless it is too long there.';

COMMENT ON COLUMN public.stripe_invoices.invoice_pdf_url IS 'Stripe''s PDF of the invoice.';

COMMENT ON COLUMN public.stripe_invoices.stripe_due_on IS 'The due date in Stripe, of an invoice that Stripe mails.';

CREATE VIEW public.finance_receivables AS
 WITH in_stripe AS (
         SELECT i.id,
            i.organization_id,
            i.currency,
            i.status,
            (((s.stripe_due_cents)::numeric - noted.cents) - (
                CASE i.status
                    WHEN 'finalized'::text THEN public.part_paid_of_invoice(i.id)
                    ELSE (0)::bigint
                END)::numeric) AS due_cents
           FROM ((public.invoices i
             JOIN public.stripe_invoices s ON ((s.invoice_id = i.id)))
             CROSS JOIN LATERAL ( SELECT COALESCE(sum(m.unpaid_cents), (0)::numeric) AS cents
                   FROM public.stripe_money m
                  WHERE ((m.invoice_id = i.id) AND (m.stripe_invoice_id = s.stripe_invoice_id) AND (m.kind = 'credit_note'::text) AND (m.status = 'issued'::text) AND (NOT (EXISTS ( SELECT
                           FROM public.stripe_money n
                          WHERE ((n.object_id = m.object_id) AND (n.number > m.number))))))) noted)
          WHERE ((i.total_cents <> 0) AND (s.stripe_due_cents IS NOT NULL) AND (s.finalized_at IS NOT NULL))
        ), waiting AS (
         SELECT i.id,
            i.organization_id,
            i.currency,
            i.month,
            i.total_cents,
            sum(i.total_cents) OVER (PARTITION BY i.organization_id, i.currency ORDER BY i.month) AS running
           FROM public.invoices i
          WHERE ((i.status = 'finalized'::text) AND (i.total_cents <> 0) AND (NOT (EXISTS ( SELECT
                   FROM in_stripe s
                  WHERE (s.id = i.id)))))
        ), balances AS (
         SELECT parts.organization_id,
            parts.currency,
            sum(parts.cents) AS balance
           FROM ( SELECT ledger_entries.organization_id,
                    ledger_entries.currency,
                    ledger_entries.amount_cents AS cents
                   FROM public.ledger_entries
                  WHERE (ledger_entries.account = ANY (ARRAY['receivable'::text, 'stripe_balance'::text]))
                UNION ALL
                 SELECT in_stripe.organization_id,
                    in_stripe.currency,
                    (- in_stripe.due_cents)
                   FROM in_stripe
                  WHERE (in_stripe.status = 'finalized'::text)
                UNION ALL
                 SELECT waiting.organization_id,
                    waiting.currency,
                    (- waiting.total_cents)
                   FROM waiting) parts
          GROUP BY parts.organization_id, parts.currency
        ), lowest AS (
         SELECT w.id,
            LEAST(b.balance, min((- w.running)) OVER (PARTITION BY w.organization_id, w.currency ORDER BY w.month ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS before_it,
            LEAST(b.balance, min((- w.running)) OVER (PARTITION BY w.organization_id, w.currency ORDER BY w.month)) AS with_it
           FROM (waiting w
             JOIN balances b ON (((b.organization_id = w.organization_id) AND (b.currency = w.currency))))
        ), asked AS (
         SELECT in_stripe.id,
            in_stripe.due_cents,
            true AS is_in_stripe
           FROM in_stripe
        UNION ALL
         SELECT lowest.id,
            (lowest.before_it - lowest.with_it),
            false
           FROM lowest
        ), overdue AS (
         SELECT i.organization_id,
            i.currency,
            i.id AS invoice_id,
            i.number,
            i.month,
            d.due_on,
            a.is_in_stripe,
            i.total_cents,
            (a.due_cents)::bigint AS due_cents,
            GREATEST(0, (((public.finance_as_of() AT TIME ZONE 'UTC'::text))::date - d.due_on)) AS days_overdue
           FROM (((asked a
             JOIN public.invoices i ON ((i.id = a.id)))
             LEFT JOIN public.stripe_invoices s ON ((s.invoice_id = i.id)))
             CROSS JOIN LATERAL ( SELECT COALESCE(s.stripe_due_on, i.due_on) AS due_on) d)
          WHERE ((i.status = 'finalized'::text) AND (a.due_cents <> (0)::numeric))
        )
 SELECT organization_id,
    currency,
    invoice_id,
    number,
    month,
    due_on,
    is_in_stripe,
    total_cents,
    due_cents,
    days_overdue,
    public.receivable_age(days_overdue) AS age
   FROM overdue;

COMMENT ON VIEW public.finance_receivables IS 'One row per final invoice that is not paid and asks for money: the amount, and how long it is overdue. Written-off invoices are left out. The amounts of an organization add up to what its statement says it owes.';

COMMENT ON COLUMN public.finance_receivables.organization_id IS 'The organization that pays the invoice.';

COMMENT ON COLUMN public.finance_receivables.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_receivables.invoice_id IS 'invoices.id.';

COMMENT ON COLUMN public.finance_receivables.number IS 'The invoice''s number, consecutive per organization.';

COMMENT ON COLUMN public.finance_receivables.month IS 'The first day of the month that the invoice bills.';

COMMENT ON COLUMN public.finance_receivables.due_on IS 'The due date that the customer sees: Stripe''s, or else ours.';

COMMENT ON COLUMN public.finance_receivables.is_in_stripe IS 'True if Stripe finalized it; false: due_cents is what Stripe will ask for.';

COMMENT ON COLUMN public.finance_receivables.total_cents IS 'The invoice''s total.';

COMMENT ON COLUMN public.finance_receivables.due_cents IS 'What Stripe asks for: the total with the customer''s balance there (credit, or amounts carried over).';

COMMENT ON COLUMN public.finance_receivables.days_overdue IS 'Days since due_on, at finance_as_of(); 0: not overdue.';

COMMENT ON COLUMN public.finance_receivables.age IS 'By days_overdue: current, 1-30, 31-60, 61-90, over 90.';

CREATE TABLE public.invoice_item_rollups (
    invoice_id uuid NOT NULL,
    rollup_id uuid NOT NULL,
    item_id uuid NOT NULL
);

COMMENT ON TABLE public.invoice_item_rollups IS 'Links an item to the usage that it billed. The key allows each usage once per invoice.';

CREATE TABLE public.usage_rollups (
    id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    meter text NOT NULL,
    dimensions jsonb NOT NULL,
    segment_start timestamp with time zone NOT NULL,
    segment_end timestamp with time zone NOT NULL,
    quantity numeric NOT NULL,
    events bigint NOT NULL,
    daily numeric[],
    CONSTRAINT daily_is_finite CHECK ((('100000000000000000000000'::numeric > ALL (daily)) AND ('-100000000000000000000000'::numeric < ALL (daily)))),
    CONSTRAINT dimensions_are_texts CHECK ((NOT jsonb_path_exists(dimensions, 'strict $.*?(@.type() != "string")'::jsonpath, silent => true))),
    CONSTRAINT dimensions_is_an_object CHECK ((jsonb_typeof(dimensions) = 'object'::text)),
    CONSTRAINT quantity_is_finite CHECK ((abs(quantity) < '100000000000000000000000'::numeric)),
    CONSTRAINT segment_end_is_a_time CHECK (((segment_end >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (segment_end < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT segment_start_is_a_time CHECK (((segment_start >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (segment_start < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT usage_rollups_check CHECK ((segment_end > segment_start)),
    CONSTRAINT usage_rollups_daily_check CHECK (((cardinality(daily) >= 28) AND (cardinality(daily) <= 31))),
    CONSTRAINT usage_rollups_events_check CHECK ((events >= 0)),
    CONSTRAINT usage_rollups_quantity_check CHECK ((quantity >= (0)::numeric))
);

COMMENT ON TABLE public.usage_rollups IS 'The quantity of one meter in a snapshot, per combination of dimensions and per period with one price.';

COMMENT ON COLUMN public.usage_rollups.id IS 'Identifies the rollup; equal content has an equal id.';

COMMENT ON COLUMN public.usage_rollups.snapshot_id IS 'The organization''s snapshot of the month.';

COMMENT ON COLUMN public.usage_rollups.meter IS 'The meter that counted the usage.';

COMMENT ON COLUMN public.usage_rollups.dimensions IS 'The dimensions of the usage, such as region, as an object of texts.';

COMMENT ON COLUMN public.usage_rollups.segment_start IS 'The start of the period, in which no price changes; included.';

COMMENT ON COLUMN public.usage_rollups.segment_end IS 'The end of the period; excluded.';

COMMENT ON COLUMN public.usage_rollups.quantity IS 'The exact quantity, in the meter''s unit.';

COMMENT ON COLUMN public.usage_rollups.events IS 'The number of events; 0: no event in the month, but a level continued.';

COMMENT ON COLUMN public.usage_rollups.daily IS 'The share of each UTC day of the month in the quantity, from the 1st on; null: rolled up before this was recorded.';

CREATE VIEW public.finance_revenue AS
 WITH used AS (
         SELECT t.month,
            t.item_id,
            (r.dimensions ->> 'region'::text) AS region,
            sum(r.quantity) AS quantity
           FROM ((public.finance_invoice_items t
             JOIN public.invoice_item_rollups l ON (((l.invoice_id = t.invoice_id) AND (l.item_id = t.item_id))))
             JOIN public.usage_rollups r ON ((r.id = l.rollup_id)))
          WHERE (t.part = 'revenue'::text)
          GROUP BY t.month, t.item_id, (r.dimensions ->> 'region'::text)
        ), weights AS (
         SELECT used.month,
            used.item_id,
            used.region,
            used.quantity,
            sum(used.quantity) OVER (PARTITION BY used.month, used.item_id) AS total,
            min(used.quantity) OVER (PARTITION BY used.month, used.item_id) AS "least"
           FROM used
        ), shares AS (
         SELECT t.month,
            t.currency,
            t.payer_id,
            t.invoice_id,
            t.item_id,
            t.organization_id,
            t.kind,
            t.product,
            t.meter,
            t.price_key,
            t.amount_cents,
            t.part,
            w.region,
            w.total,
                CASE
                    WHEN (w.total IS NULL) THEN (abs(t.amount_cents))::numeric
                    ELSE div(((abs(t.amount_cents))::numeric * w.quantity), w.total)
                END AS whole,
            mod(((abs(t.amount_cents))::numeric * w.quantity), w.total) AS remainder
           FROM (public.finance_invoice_items t
             LEFT JOIN weights w ON (((w.month = t.month) AND (w.item_id = t.item_id) AND (w.total > (0)::numeric) AND (w."least" >= (0)::numeric) AND (w.quantity > (0)::numeric))))
          WHERE (t.part = 'revenue'::text)
        ), ranked AS (
         SELECT shares.month,
            shares.currency,
            shares.payer_id,
            shares.invoice_id,
            shares.item_id,
            shares.organization_id,
            shares.kind,
            shares.product,
            shares.meter,
            shares.price_key,
            shares.amount_cents,
            shares.part,
            shares.region,
            shares.total,
            shares.whole,
            shares.remainder,
            ((abs(shares.amount_cents))::numeric - sum(shares.whole) OVER (PARTITION BY shares.month, shares.item_id)) AS left_over,
            row_number() OVER (PARTITION BY shares.month, shares.item_id ORDER BY shares.remainder DESC NULLS LAST, shares.region) AS rank
           FROM shares
        ), parts AS (
         SELECT ranked.month,
            ranked.currency,
            ranked.organization_id,
            ranked.payer_id,
            ranked.kind,
            ranked.product,
            ranked.meter,
            ranked.price_key,
            ranked.region,
            (sign((ranked.amount_cents)::double precision) * ((ranked.whole + (
                CASE
                    WHEN ((ranked.rank)::numeric <= ranked.left_over) THEN 1
                    ELSE 0
                END)::numeric))::double precision) AS amount_cents
           FROM ranked
        UNION ALL
         SELECT i.month,
            i.currency,
            i.organization_id,
            i.organization_id,
            'contained_tax'::text,
            'Taxes contained in prices'::text,
            NULL::text,
            NULL::text,
            NULL::text,
            (- x.tax_cents)
           FROM (public.invoices i
             JOIN public.invoice_taxes x ON ((x.invoice_id = i.id)))
          WHERE (x.is_inclusive AND (i.status <> ALL (ARRAY['open'::text, 'void'::text])))
        )
 SELECT month,
    currency,
    organization_id,
    payer_id,
    kind,
    product,
    meter,
    price_key,
    region,
    (sum(amount_cents))::bigint AS revenue_cents
   FROM parts
  GROUP BY month, currency, organization_id, payer_id, kind, product, meter, price_key, region;

COMMENT ON VIEW public.finance_revenue IS 'Revenue of final invoices that are not void, one row per month, currency, organization, product, price and region. The rows of a month add up to its revenue, to the cent.';

COMMENT ON COLUMN public.finance_revenue.month IS 'The first day of the month that the invoice bills.';

COMMENT ON COLUMN public.finance_revenue.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_revenue.organization_id IS 'The organization that used or bought it.';

COMMENT ON COLUMN public.finance_revenue.payer_id IS 'The organization that pays the invoice.';

COMMENT ON COLUMN public.finance_revenue.kind IS 'invoice_items.kind, or contained_tax: the taxes that the prices of the other rows contain, deducted.';

COMMENT ON COLUMN public.finance_revenue.product IS 'The product on the invoice.';

COMMENT ON COLUMN public.finance_revenue.meter IS 'The meter of usage; null: not usage.';

COMMENT ON COLUMN public.finance_revenue.price_key IS 'The key of the price; null: no price.';

COMMENT ON COLUMN public.finance_revenue.region IS 'The dimension region of the usage; null: no region, or no usage.';

COMMENT ON COLUMN public.finance_revenue.revenue_cents IS 'The amount before tax, in the currency''s minor unit. Negative: discounts, credits, refunds.';

CREATE VIEW public.finance_taxes AS
 SELECT i.month,
    i.currency,
    i.organization_id,
    x.name,
    x.percent,
    x.is_inclusive,
    x.category,
    x.legal_text,
    (sum(x.taxable_cents))::bigint AS taxable_cents,
    (sum(x.tax_cents))::bigint AS tax_cents
   FROM (public.invoices i
     JOIN public.invoice_taxes x ON ((x.invoice_id = i.id)))
  WHERE (i.status <> ALL (ARRAY['open'::text, 'void'::text]))
  GROUP BY i.month, i.currency, i.organization_id, x.name, x.percent, x.is_inclusive, x.category, x.legal_text;

COMMENT ON VIEW public.finance_taxes IS 'Taxes of final invoices that are not void, one row per month, currency, organization and tax rate.';

COMMENT ON COLUMN public.finance_taxes.month IS 'The first day of the month that the invoice bills.';

COMMENT ON COLUMN public.finance_taxes.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.finance_taxes.organization_id IS 'The organization that pays the invoice.';

COMMENT ON COLUMN public.finance_taxes.name IS 'The tax''s name on the invoice.';

COMMENT ON COLUMN public.finance_taxes.percent IS 'The rate.';

COMMENT ON COLUMN public.finance_taxes.is_inclusive IS 'True if the prices contain the tax, false if it is added.';

COMMENT ON COLUMN public.finance_taxes.category IS 'standard, or the reason for a special rate.';

COMMENT ON COLUMN public.finance_taxes.legal_text IS 'The text that the law demands on the invoice.';

COMMENT ON COLUMN public.finance_taxes.taxable_cents IS 'The amount that was taxed, without the tax.';

COMMENT ON COLUMN public.finance_taxes.tax_cents IS 'The tax, in the currency''s minor unit.';

CREATE TABLE public.first_alerts (
    organization_id text NOT NULL,
    threshold_id uuid,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT decided_at_is_a_time CHECK (((decided_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (decided_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.first_alerts IS 'Organizations of which it was decided whether they get the first alert (FLY_BILLING_FIRST_ALERT): once, so that a removed one does not come back.';

COMMENT ON COLUMN public.first_alerts.threshold_id IS 'The threshold that was added. Null: none, because the organization is older than first alerts, or none is set for its currency.';

CREATE VIEW public.held_corrections AS
 SELECT newest.id,
    newest.invoice_id,
    newest.organization_id,
    newest.month,
    newest.currency,
    newest.decision,
    newest.gives_back,
    newest.charges,
    newest.causes,
    newest.reason,
    newest.approval_id,
    newest.decided_at,
    newest.decided_by
   FROM (( SELECT DISTINCT ON (correction_decisions.invoice_id) correction_decisions.id,
            correction_decisions.invoice_id,
            correction_decisions.organization_id,
            correction_decisions.month,
            correction_decisions.currency,
            correction_decisions.decision,
            correction_decisions.gives_back,
            correction_decisions.charges,
            correction_decisions.causes,
            correction_decisions.reason,
            correction_decisions.approval_id,
            correction_decisions.decided_at,
            correction_decisions.decided_by
           FROM public.correction_decisions
          ORDER BY correction_decisions.invoice_id, correction_decisions.id DESC) newest
     JOIN public.invoices i ON (((i.id = newest.invoice_id) AND (i.status <> 'void'::text))))
  WHERE (newest.decision = 'held'::text);

COMMENT ON VIEW public.held_corrections IS 'The corrections that wait for a person''s approval, one row per invoice.';

ALTER TABLE public.invoice_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.invoice_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.invoice_commitments (
    invoice_id uuid NOT NULL,
    commitment_id uuid NOT NULL,
    counted numeric NOT NULL,
    CONSTRAINT counted_is_finite CHECK ((abs(counted) < '1000000000000'::numeric))
);

COMMENT ON TABLE public.invoice_commitments IS 'The amount of an invoice and its adjustments that counts towards a commitment of several months.';

CREATE TABLE public.invoice_confirmations (
    month date NOT NULL,
    confirmed_at timestamp with time zone NOT NULL,
    CONSTRAINT confirmed_at_is_a_time CHECK (((confirmed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (confirmed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT invoice_confirmations_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.invoice_confirmations IS 'One row per month: when all its open invoices were last known to be right. Not those of organizations in billing_failures.';

COMMENT ON COLUMN public.invoice_confirmations.month IS 'The first day of the month of the invoices.';

COMMENT ON COLUMN public.invoice_confirmations.confirmed_at IS 'Calculating an open invoice at this time would have changed nothing, or it was calculated.';

CREATE TABLE public.invoice_details (
    invoice_id uuid NOT NULL,
    name text NOT NULL,
    legal_name text,
    email text,
    line1 text,
    line2 text,
    postal_code text,
    city text,
    state text,
    country text,
    tax_ids text[] NOT NULL,
    collection text NOT NULL,
    net_days integer,
    purchase_order text,
    memo text,
    footer text,
    seller text,
    CONSTRAINT invoice_details_collection_check CHECK ((collection = ANY (ARRAY['charge_automatically'::text, 'send_invoice'::text]))),
    CONSTRAINT invoice_details_name_check CHECK ((name <> ''::text)),
    CONSTRAINT invoice_details_net_days_check CHECK (((net_days >= 0) AND (net_days <= 365)))
);

COMMENT ON TABLE public.invoice_details IS 'One row per final invoice: the customer''s billing details at that time. Invoices that were final before have none.';

COMMENT ON COLUMN public.invoice_details.name IS 'The name on the invoice.';

COMMENT ON COLUMN public.invoice_details.legal_name IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.email IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.line1 IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.line2 IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.postal_code IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.city IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.state IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.country IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.tax_ids IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.collection IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.net_days IS 'Days from finalization to the due date; null if the setting decided.';

COMMENT ON COLUMN public.invoice_details.purchase_order IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.memo IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.footer IS 'As in billing_details.';

COMMENT ON COLUMN public.invoice_details.seller IS 'The lines about the seller at that time, as FLY_BILLING_SELLER had them; empty: none. Null: not recorded.';

CREATE VIEW public.invoice_life AS
 SELECT i.id AS invoice_id,
    i.organization_id,
    i.month,
    i.revision,
        CASE
            WHEN ((i.status = 'open'::text) AND (b.code IS NOT NULL)) THEN 'held up'::text
            WHEN ((i.status = 'finalized'::text) AND (s.state = 'finalized'::text)) THEN 'synced'::text
            ELSE i.status
        END AS stage
   FROM ((public.invoices i
     LEFT JOIN public.stripe_invoices s ON ((s.invoice_id = i.id)))
     LEFT JOIN public.billing_failures b ON (((b.organization_id = i.organization_id) AND (b.month = i.month))));

COMMENT ON VIEW public.invoice_life IS 'The state of each invoice: open, held up, finalized, synced, paid, void, uncollectible.';

CREATE TABLE public.invoice_snapshots (
    invoice_id uuid NOT NULL,
    snapshot_id uuid NOT NULL
);

COMMENT ON TABLE public.invoice_snapshots IS 'All usage snapshots of an invoice: the payer''s and those of the organizations that it pays for.';

CREATE TABLE public.invoice_tax_rates (
    invoice_id uuid NOT NULL,
    tax_rate_id uuid NOT NULL
);

COMMENT ON TABLE public.invoice_tax_rates IS 'The tax rates in force for an invoice, even if they charged nothing. A correction of the invoice is taxed with them.';

CREATE TABLE public.landed_months (
    landing_day date NOT NULL,
    month date NOT NULL,
    accepted bigint NOT NULL,
    rows bigint,
    files text,
    CONSTRAINT landed_months_accepted_check CHECK ((accepted >= 0)),
    CONSTRAINT landed_months_check CHECK ((rows >= accepted)),
    CONSTRAINT landed_months_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT landing_day_is_a_day CHECK (((landing_day >= '1970-01-01'::date) AND (landing_day < '2200-01-01'::date))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date)))
);

COMMENT ON TABLE public.landed_months IS 'One row per landing day and usage month: the accepted usage that the day brought for the month, to detect late usage. 0 means that the day no longer has usage of the month.';

COMMENT ON COLUMN public.landed_months.rows IS 'Rows of the usage table, duplicates included; null: landed before this was recorded.';

COMMENT ON COLUMN public.landed_months.files IS 'MD5 of the names and sizes of the data files with these rows; null: landed before this was recorded.';

CREATE TABLE public.landing_days (
    landing_day date NOT NULL,
    landed_at timestamp with time zone NOT NULL,
    lake_version bigint NOT NULL,
    rules text,
    compared_at timestamp with time zone,
    CONSTRAINT compared_at_is_a_time CHECK (((compared_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (compared_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT landed_at_is_a_time CHECK (((landed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (landed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT landing_day_is_a_day CHECK (((landing_day >= '1970-01-01'::date) AND (landing_day < '2200-01-01'::date))),
    CONSTRAINT landing_days_rules_check CHECK ((rules ~ '^[0-9a-f]{32}$'::text))
);

COMMENT ON TABLE public.landing_days IS 'One row per landed day, with or without files. A month closes only after all its days were landed after their end.';

COMMENT ON COLUMN public.landing_days.lake_version IS 'The version of the usage table that first had this landing. Rollups of an earlier version do not include it.';

COMMENT ON COLUMN public.landing_days.rules IS 'Hash of the meters, contracts and code by which the rows of the day were judged. The day is read again under other ones. Null: always read again.';

COMMENT ON COLUMN public.landing_days.compared_at IS 'When the contents of all its files were last read, or compared with what landed. Null: not known.';

CREATE VIEW public.ledger_posted AS
 WITH sources AS (
         SELECT c.id AS invoice_change_id,
            NULL::uuid AS credit_note_id,
            NULL::uuid AS credit_grant_id,
            NULL::bigint AS stripe_money_id,
            NULL::bigint AS credit_expiry_id,
            NULL::bigint AS stripe_amounts_id,
            i.month AS source_month,
            t.organization_id,
            t.currency,
            t.month,
            t.event,
            t.id
           FROM ((public.invoices i
             JOIN public.invoice_changes c ON ((c.invoice_id = i.id)))
             JOIN public.ledger_transactions t ON ((t.invoice_change_id = c.id)))
        UNION ALL
         SELECT NULL::bigint,
            n.id,
            NULL::uuid,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            i.month,
            t.organization_id,
            t.currency,
            t.month,
            t.event,
            t.id
           FROM ((public.invoices i
             JOIN public.credit_notes n ON ((n.invoice_id = i.id)))
             JOIN public.ledger_transactions t ON ((t.credit_note_id = n.id)))
        UNION ALL
         SELECT NULL::bigint,
            NULL::uuid,
            g.id,
            NULL::bigint,
            NULL::bigint,
            NULL::bigint,
            public.month_of(g.granted_at) AS month_of,
            t.organization_id,
            t.currency,
            t.month,
            t.event,
            t.id
           FROM (public.credit_grants g
             JOIN public.ledger_transactions t ON ((t.credit_grant_id = g.id)))
        UNION ALL
         SELECT NULL::bigint,
            NULL::uuid,
            NULL::uuid,
            m.id,
            NULL::bigint,
            NULL::bigint,
            public.month_of(m.created_at) AS month_of,
            t.organization_id,
            t.currency,
            t.month,
            t.event,
            t.id
           FROM (public.stripe_money m
             JOIN public.ledger_transactions t ON ((t.stripe_money_id = m.id)))
        UNION ALL
         SELECT NULL::bigint,
            NULL::uuid,
            NULL::uuid,
            NULL::bigint,
            x.id,
            NULL::bigint,
            public.month_of(x.recorded_at) AS month_of,
            t.organization_id,
            t.currency,
            t.month,
            t.event,
            t.id
           FROM (public.credit_expiries x
             JOIN public.ledger_transactions t ON ((t.credit_expiry_id = x.id)))
        UNION ALL
         SELECT NULL::bigint,
            NULL::uuid,
            NULL::uuid,
            NULL::bigint,
            NULL::bigint,
            a.id,
            i.month,
            t.organization_id,
            t.currency,
            t.month,
            t.event,
            t.id
           FROM ((public.invoices i
             JOIN public.stripe_invoice_amounts a ON ((a.invoice_id = i.id)))
             JOIN public.ledger_transactions t ON ((t.stripe_amounts_id = a.id)))
        )
 SELECT s.invoice_change_id,
    s.credit_note_id,
    s.credit_grant_id,
    s.stripe_money_id,
    s.credit_expiry_id,
    s.stripe_amounts_id,
    s.source_month,
    s.organization_id,
    s.currency,
    s.month,
    s.event,
    e.account,
    e.amount_cents
   FROM (sources s
     JOIN public.ledger_entries e ON (((e.organization_id = s.organization_id) AND (e.currency = s.currency) AND (e.month = s.month) AND (e.transaction_id = s.id))));

COMMENT ON VIEW public.ledger_posted IS 'The entries that the ledger has, with the columns of ledger_rebuilt.';

COMMENT ON COLUMN public.ledger_posted.invoice_change_id IS 'The source: a change of an invoice''s status.';

COMMENT ON COLUMN public.ledger_posted.credit_note_id IS 'The source: a credit note.';

COMMENT ON COLUMN public.ledger_posted.credit_grant_id IS 'The source: prepaid credit.';

COMMENT ON COLUMN public.ledger_posted.stripe_money_id IS 'The source: a state of an object at Stripe.';

COMMENT ON COLUMN public.ledger_posted.credit_expiry_id IS 'The source: an expiry of prepaid credit.';

COMMENT ON COLUMN public.ledger_posted.stripe_amounts_id IS 'The source: a state of an invoice''s amounts at Stripe.';

COMMENT ON COLUMN public.ledger_posted.source_month IS 'The billed month of the invoice, or the month that grants or ends the credit, or in which the object at Stripe was created.';

COMMENT ON COLUMN public.ledger_posted.organization_id IS 'The payer.';

COMMENT ON COLUMN public.ledger_posted.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.ledger_posted.month IS 'The accounting month.';

COMMENT ON COLUMN public.ledger_posted.event IS 'A key of ledger.rules.events.EVENTS.';

COMMENT ON COLUMN public.ledger_posted.account IS 'A key of ledger.rules.accounts.ACCOUNTS.';

COMMENT ON COLUMN public.ledger_posted.amount_cents IS 'Debits are positive, credits negative, in the currency''s minor unit.';

ALTER TABLE public.ledger_transactions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ledger_transactions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW public.lost_balances AS
 WITH deleted AS (
         SELECT stripe_money.organization_id,
            stripe_money.currency,
            ((- sum(stripe_money.amount_cents)))::bigint AS cents,
            min(stripe_money.id) AS first_id
           FROM public.stripe_money
          WHERE ((stripe_money.kind = 'customer_balance_transaction'::text) AND (stripe_money.status = 'deleted_with_customer'::text))
          GROUP BY stripe_money.organization_id, stripe_money.currency
        ), left_over AS (
         SELECT d.organization_id,
            d.currency,
                CASE
                    WHEN (d.cents < 0) THEN LEAST((0)::numeric, ((d.cents)::numeric - COALESCE(sum(LEAST(m.amount_cents, (0)::bigint)), (0)::numeric)))
                    ELSE GREATEST((0)::numeric, ((d.cents)::numeric - COALESCE(sum(GREATEST(m.amount_cents, (0)::bigint)), (0)::numeric)))
                END AS cents
           FROM (deleted d
             LEFT JOIN public.stripe_money m ON (((m.organization_id = d.organization_id) AND (m.currency = d.currency) AND (m.id > d.first_id) AND (m.kind = 'customer_balance_transaction'::text) AND (m.status = 'adjustment'::text))))
          GROUP BY d.organization_id, d.currency, d.cents
        )
 SELECT organization_id,
    currency,
    (cents)::bigint AS cents
   FROM left_over
  WHERE (cents <> (0)::numeric);

COMMENT ON VIEW public.lost_balances IS 'One row per organization and currency whose balance at Stripe was deleted with its customer, and not given or charged again since.';

COMMENT ON COLUMN public.lost_balances.organization_id IS 'The organization of the deleted customer.';

COMMENT ON COLUMN public.lost_balances.currency IS 'ISO 4217.';

COMMENT ON COLUMN public.lost_balances.cents IS 'What is missing, in minor units: below zero is credit.';

CREATE TABLE public.meters (
    key text NOT NULL,
    name text NOT NULL,
    unit text NOT NULL,
    aggregation text NOT NULL,
    dimensions text[] DEFAULT '{}'::text[] NOT NULL,
    unique_of text,
    series text,
    time_unit bigint,
    event_step numeric,
    event_round text,
    event_type text,
    quantity_of text,
    CONSTRAINT key_is_a_key CHECK (((key !~ '[[:cntrl:]]'::text) AND (key ~ '^\S(.*\S)?$'::text) AND (length(key) <= 500))),
    CONSTRAINT meters_aggregation_check CHECK ((aggregation = ANY (ARRAY['sum'::text, 'count'::text, 'max'::text, 'unique'::text, 'latest'::text, 'time_weighted'::text]))),
    CONSTRAINT meters_event_round_check CHECK ((event_round = ANY (ARRAY['up'::text, 'down'::text]))),
    CONSTRAINT meters_event_rounding_given_check CHECK (((event_step IS NULL) = (event_round IS NULL))),
    CONSTRAINT meters_event_rounding_read_check CHECK (((event_step IS NULL) OR (aggregation = ANY (ARRAY['sum'::text, 'max'::text, 'latest'::text])))),
    CONSTRAINT meters_event_step_check CHECK (((event_step > (0)::numeric) AND (event_step < '1000000000000'::numeric) AND (event_step = round(event_step, 15)))),
    CONSTRAINT meters_event_type_check CHECK ((event_type ~ '\S'::text)),
    CONSTRAINT meters_quantity_of_check CHECK ((quantity_of ~ '^[A-Za-z0-9_./-]+$'::text)),
    CONSTRAINT meters_series_check CHECK ((series <> ''::text)),
    CONSTRAINT meters_series_given_check CHECK (((aggregation = 'time_weighted'::text) = (series IS NOT NULL))),
    CONSTRAINT meters_time_unit_check CHECK ((time_unit > 0)),
    CONSTRAINT meters_time_unit_given_check CHECK (((aggregation = 'time_weighted'::text) = (time_unit IS NOT NULL))),
    CONSTRAINT meters_unique_of_check CHECK ((unique_of <> ''::text)),
    CONSTRAINT meters_unique_of_given_check CHECK (((aggregation = 'unique'::text) = (unique_of IS NOT NULL))),
    CONSTRAINT name_says_something CHECK (((name ~ '\S'::text) AND (length(name) <= 5000))),
    CONSTRAINT series_is_a_key CHECK (((series !~ '[[:cntrl:]]'::text) AND (series ~ '^\S(.*\S)?$'::text) AND (length(series) <= 500))),
    CONSTRAINT unique_of_is_a_key CHECK (((unique_of !~ '[[:cntrl:]]'::text) AND (unique_of ~ '^\S(.*\S)?$'::text) AND (length(unique_of) <= 500))),
    CONSTRAINT unit_is_a_key CHECK (((unit !~ '[[:cntrl:]]'::text) AND (unit ~ '^\S(.*\S)?$'::text) AND (length(unit) <= 500)))
);

COMMENT ON TABLE public.meters IS 'One row per meter: the usage events that it reads and how it aggregates them to a quantity.';

COMMENT ON COLUMN public.meters.dimensions IS 'Every usage event of this meter must have these properties; each combination of values has its own rollup.';

COMMENT ON COLUMN public.meters.unique_of IS 'The event property whose distinct values the aggregation unique counts.';

COMMENT ON COLUMN public.meters.series IS 'The event property that names the thing whose level is measured: a Machine, a volume.';

COMMENT ON COLUMN public.meters.time_unit IS 'The seconds in which a level of 1 adds up to a quantity of 1: 3600 for GB-hours.';

COMMENT ON COLUMN public.meters.event_step IS 'Each event''s quantity is rounded to a multiple of this before events are aggregated.';

COMMENT ON COLUMN public.meters.event_round IS 'The direction of event_step''s rounding: up or down.';

COMMENT ON COLUMN public.meters.event_type IS 'The type of the events that the meter reads; null: the meter''s key.';

COMMENT ON COLUMN public.meters.quantity_of IS 'The event property that has the quantity; null: quantity.';

CREATE TABLE public.months_with_random_ids (
    month date NOT NULL,
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT months_with_random_ids_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric))
);

COMMENT ON TABLE public.months_with_random_ids IS 'The months that were begun before ids of usage and invoices started with their month: they keep the older ids.';

COMMENT ON COLUMN public.months_with_random_ids.month IS 'The first day of the month.';

CREATE TABLE public.negotiated_prices (
    id uuid NOT NULL,
    book text NOT NULL,
    key text NOT NULL,
    organization_id text,
    price_group text,
    match jsonb DEFAULT '{}'::jsonb NOT NULL,
    charges jsonb NOT NULL,
    effective_from timestamp with time zone NOT NULL,
    effective_until timestamp with time zone,
    CONSTRAINT an_organization_s_or_a_group_s CHECK ((num_nonnulls(organization_id, price_group) = 1)),
    CONSTRAINT effective_from_is_a_time CHECK (((effective_from >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (effective_from < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT effective_until_is_a_time CHECK (((effective_until >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (effective_until < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT ends_after_it_begins CHECK ((effective_until > effective_from)),
    CONSTRAINT negotiated_prices_book_check CHECK (((book !~ '[[:cntrl:]]'::text) AND (book ~ '^\S(.*\S)?$'::text) AND (length(book) <= 500))),
    CONSTRAINT negotiated_prices_charges_check CHECK (((jsonb_typeof(charges) = 'object'::text) AND (charges <> '{}'::jsonb))),
    CONSTRAINT negotiated_prices_key_check CHECK (((key !~ '[[:cntrl:]]'::text) AND (key ~ '^\S(.*\S)?$'::text) AND (length(key) <= 500))),
    CONSTRAINT negotiated_prices_match_check CHECK ((jsonb_typeof(match) = 'object'::text)),
    CONSTRAINT negotiated_prices_price_group_check CHECK (((price_group !~ '[[:cntrl:]]'::text) AND (price_group ~ '^\S(.*\S)?$'::text) AND (length(price_group) <= 500)))
);

COMMENT ON TABLE public.negotiated_prices IS 'Replaces the list price of this book and key for an organization or a group (price_group_members) in [effective_from, effective_until). A row that a final invoice used is ended and followed by a new one, never edited.';

COMMENT ON COLUMN public.negotiated_prices.match IS 'Applies to usage with these dimensions only; empty: to all usage of the list price.';

COMMENT ON COLUMN public.negotiated_prices.charges IS '{"percent_off": "10"}: a discount on the list price in force; otherwise the price fields that define the charge.';

CREATE TABLE public.one_off_items (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    description text NOT NULL,
    amount numeric NOT NULL,
    currency character(3) NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    imported_as text,
    quantity numeric DEFAULT 1 NOT NULL,
    unit text DEFAULT 'item'::text NOT NULL,
    unit_amount numeric,
    product text DEFAULT 'One-off'::text NOT NULL,
    period_start timestamp with time zone,
    period_end timestamp with time zone,
    CONSTRAINT a_quantity_has_a_unit_amount CHECK (((unit_amount IS NOT NULL) OR ((quantity = (1)::numeric) AND (unit = 'item'::text)))),
    CONSTRAINT amount_is_finite CHECK ((abs(amount) < '1000000000000'::numeric)),
    CONSTRAINT amount_is_quantity_times_unit_amount CHECK ((amount = (quantity * unit_amount))),
    CONSTRAINT description_says_something CHECK (((description ~ '\S'::text) AND (length(description) <= 5000))),
    CONSTRAINT occurred_at_is_a_time CHECK (((occurred_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (occurred_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT one_off_items_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT one_off_items_description_check CHECK ((description <> ''::text)),
    CONSTRAINT one_off_items_imported_as_check CHECK ((imported_as <> ''::text)),
    CONSTRAINT one_off_items_product_check CHECK (((product !~ '[[:cntrl:]]'::text) AND (product ~ '^\S(.*\S)?$'::text) AND (length(product) <= 500))),
    CONSTRAINT period_end_is_a_time CHECK (((period_end >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (period_end < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT period_has_two_ends CHECK (((period_start IS NULL) = (period_end IS NULL))),
    CONSTRAINT period_is_some_time CHECK ((period_end > period_start)),
    CONSTRAINT period_start_is_a_time CHECK (((period_start >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (period_start < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT product_has_at_most_20_decimals CHECK (((scale(quantity) + scale(unit_amount)) <= 20)),
    CONSTRAINT quantity_is_finite CHECK ((abs(quantity) < '1000000000000'::numeric)),
    CONSTRAINT unit_amount_is_finite CHECK ((abs(unit_amount) < '1000000000000'::numeric)),
    CONSTRAINT unit_is_text CHECK ((unit ~ '[^[:space:][:cntrl:]]'::text))
);

COMMENT ON TABLE public.one_off_items IS 'One row per single charge or credit, billed on the invoice of the month that it occurred in.';

COMMENT ON COLUMN public.one_off_items.amount IS 'Negative: a credit; with a unit_amount, it is quantity x unit_amount.';

COMMENT ON COLUMN public.one_off_items.imported_as IS 'The charge of a FOCUS file that it was imported from; an even number of items of one charge: it was reversed.';

COMMENT ON COLUMN public.one_off_items.quantity IS 'The number of units at unit_amount each; negative: a return.';

COMMENT ON COLUMN public.one_off_items.unit IS 'The unit of the quantity, in the singular: seat, hour.';

COMMENT ON COLUMN public.one_off_items.unit_amount IS 'The price of one unit, in the currency''s major unit; null: the amount is a total.';

COMMENT ON COLUMN public.one_off_items.product IS 'The product on the invoice, which the scope of a tax or a term can name.';

COMMENT ON COLUMN public.one_off_items.period_start IS 'The time that it is for: [period_start, period_end), as for a reserved year. Null: the month that bills it.';

COMMENT ON COLUMN public.one_off_items.period_end IS 'The end of that time.';

CREATE TABLE public.organization_history (
    organization_id text NOT NULL,
    before_month date NOT NULL,
    currency character(3) NOT NULL,
    price_book text NOT NULL,
    kept_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT before_month_is_a_day CHECK (((before_month >= '1970-01-01'::date) AND (before_month < '2200-01-01'::date))),
    CONSTRAINT before_month_is_a_month CHECK ((EXTRACT(day FROM before_month) = (1)::numeric)),
    CONSTRAINT kept_at_is_a_time CHECK (((kept_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (kept_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT organization_history_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text))
);

COMMENT ON TABLE public.organization_history IS 'Earlier versions of an organization, valid in the months before before_month. A trigger writes a row when the organization changes. An organization without rows has never changed.';

CREATE TABLE public.organization_links (
    organization_id text NOT NULL,
    payer_id text NOT NULL,
    first_month date NOT NULL,
    last_month date,
    CONSTRAINT first_month_is_a_day CHECK (((first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT last_month_is_a_day CHECK (((last_month >= '1970-01-01'::date) AND (last_month < '2200-01-01'::date))),
    CONSTRAINT organization_links_check CHECK ((payer_id <> organization_id)),
    CONSTRAINT organization_links_check1 CHECK (((EXTRACT(day FROM last_month) = (1)::numeric) AND (last_month >= first_month))),
    CONSTRAINT organization_links_first_month_check CHECK ((EXTRACT(day FROM first_month) = (1)::numeric))
);

COMMENT ON TABLE public.organization_links IS 'In these months (last_month included; null: no end), the payer''s invoice includes the organization, which has no invoice of its own.';

CREATE VIEW public.organization_spend AS
SELECT
    NULL::text AS organization_id,
    NULL::date AS month,
    NULL::character(3) AS currency,
    NULL::text AS status,
    NULL::bigint AS total_cents,
    NULL::timestamp with time zone AS computed_at;

COMMENT ON VIEW public.organization_spend IS 'One row per organization and invoice that is not void: its own, or its part of the invoice of the organization that pays for it.';

COMMENT ON COLUMN public.organization_spend.status IS 'Of the invoice: open, finalized, paid or uncollectible.';

COMMENT ON COLUMN public.organization_spend.total_cents IS 'The invoice''s total, or the sum of the organization''s items on it.';

COMMENT ON COLUMN public.organization_spend.computed_at IS 'When the invoice was calculated last.';

CREATE TABLE public.organizations (
    id text NOT NULL,
    name text NOT NULL,
    currency character(3) DEFAULT 'USD'::bpchar NOT NULL,
    price_book text DEFAULT 'fly'::text NOT NULL,
    stripe_customer_id text,
    billing_group text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT billing_group_is_a_key CHECK ((billing_group ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'::text)),
    CONSTRAINT closed_at_is_a_time CHECK (((closed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (closed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT closes_after_its_creation CHECK ((closed_at >= created_at)),
    CONSTRAINT created_at_is_a_time CHECK (((created_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (created_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT name_says_something CHECK (((name ~ '\S'::text) AND (length(name) <= 5000))),
    CONSTRAINT organizations_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT organizations_id_check CHECK (((id ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'::text) AND (length(id) <= 63) AND (id !~ '^tail-[0-9]+$'::text))),
    CONSTRAINT organizations_name_check CHECK ((name <> ''::text)),
    CONSTRAINT price_book_is_a_key CHECK (((price_book !~ '[[:cntrl:]]'::text) AND (price_book ~ '^\S(.*\S)?$'::text) AND (length(price_book) <= 500))),
    CONSTRAINT stripe_customer_id_is_a_key CHECK (((stripe_customer_id !~ '[[:cntrl:]]'::text) AND (stripe_customer_id ~ '^\S(.*\S)?$'::text) AND (length(stripe_customer_id) <= 500)))
);

COMMENT ON TABLE public.organizations IS 'One row per organization (customer).';

COMMENT ON COLUMN public.organizations.id IS 'The id of the organization in usage and in every other table. Not tail-NN: shared billing groups have such names.';

COMMENT ON COLUMN public.organizations.name IS 'The name on invoices.';

COMMENT ON COLUMN public.organizations.currency IS 'The currency of its invoices, ISO 4217.';

COMMENT ON COLUMN public.organizations.price_book IS 'The book of its list prices.';

COMMENT ON COLUMN public.organizations.stripe_customer_id IS 'Its customer in Stripe; null until its first invoice is synced.';

COMMENT ON COLUMN public.organizations.billing_group IS 'The key of the org partition; never changes by itself.';

COMMENT ON COLUMN public.organizations.created_at IS 'When it became a customer. It is billed from that month on.';

COMMENT ON COLUMN public.organizations.closed_at IS 'When it closed its account: no new term begins from then on. Usage that still arrives is billed. Null: it is a customer.';

CREATE TABLE public.page_link_revocations (
    link_id uuid NOT NULL,
    revoked_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_by text NOT NULL,
    CONSTRAINT page_link_revocations_revoked_by_check CHECK ((revoked_by <> ''::text)),
    CONSTRAINT revoked_at_is_a_time CHECK (((revoked_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (revoked_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.page_link_revocations IS 'One row per link to a customer page that somebody revoked before it expired. Rows are kept: they tell who did it.';

COMMENT ON COLUMN public.page_link_revocations.link_id IS 'The id that is in the link. It is not the link, and opens nothing.';

COMMENT ON COLUMN public.page_link_revocations.revoked_at IS 'From when it no longer works.';

COMMENT ON COLUMN public.page_link_revocations.revoked_by IS 'The person who ran the command, or the token of the API.';

CREATE TABLE public.stripe_events (
    id text NOT NULL,
    type text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    object_id text NOT NULL,
    invoice_id uuid,
    livemode boolean NOT NULL,
    idempotency_key text,
    paid_at timestamp with time zone,
    next_attempt_at timestamp with time zone,
    error text,
    outcome text NOT NULL,
    reason text NOT NULL,
    code text,
    customer_text text,
    operator_text text,
    alerted_at timestamp with time zone,
    recovery_told_at timestamp with time zone,
    error_code text,
    CONSTRAINT alerted_at_is_a_time CHECK (((alerted_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (alerted_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT code_says_what_to_do CHECK (((outcome = ANY (ARRAY['applied'::text, 'conflict'::text, 'waiting'::text])) OR (code IS NULL))),
    CONSTRAINT created_at_is_a_time CHECK (((created_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (created_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT next_attempt_at_is_a_time CHECK (((next_attempt_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (next_attempt_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT paid_at_is_a_time CHECK (((paid_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (paid_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT received_at_is_a_time CHECK (((received_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (received_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT recovery_told_at_is_a_time CHECK (((recovery_told_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (recovery_told_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_events_check CHECK (((code IS NULL) = (operator_text IS NULL))),
    CONSTRAINT stripe_events_check3 CHECK (((alerted_at IS NULL) OR (code IS NOT NULL))),
    CONSTRAINT stripe_events_check4 CHECK (((recovery_told_at IS NULL) OR (alerted_at IS NOT NULL))),
    CONSTRAINT stripe_events_of_invoices_have_one CHECK (((invoice_id IS NOT NULL) OR (outcome = 'ignored'::text) OR (type !~~ 'invoice.%'::text))),
    CONSTRAINT stripe_events_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'superseded'::text, 'ignored'::text, 'waiting'::text, 'conflict'::text]))),
    CONSTRAINT stripe_events_source_check CHECK ((source = ANY (ARRAY['webhook'::text, 'polling'::text, 'sweep'::text])))
);

COMMENT ON TABLE public.stripe_events IS 'Events of Stripe, by webhook or polling; and statuses that the nightly sweep found, whose events never came (sweep). Bodies are not stored, because they contain personal data.';

COMMENT ON COLUMN public.stripe_events.outcome IS 'waiting: for our own sync, which has not finished the invoice yet; with a code: for a row that must be corrected.';

COMMENT ON COLUMN public.stripe_events.code IS 'The problem to report; alerted_at is when the alert was queued.';

COMMENT ON COLUMN public.stripe_events.error_code IS 'Of a failed payment or finalization: Stripe''s decline code, or else its error code.';

CREATE VIEW public.payment_failures AS
 SELECT DISTINCT ON (e.invoice_id) e.invoice_id,
    e.id AS event_id,
    e.code,
    e.error,
    e.customer_text,
    e.operator_text,
    e.created_at AS failed_at,
    e.next_attempt_at
   FROM ((public.stripe_events e
     JOIN public.invoices i ON ((i.id = e.invoice_id)))
     LEFT JOIN public.stripe_invoices s ON ((s.invoice_id = i.id)))
  WHERE ((e.outcome = 'applied'::text) AND (i.status = 'finalized'::text) AND ((e.type = 'invoice.payment_failed'::text) OR ((e.type = 'invoice.finalization_failed'::text) AND (s.state IS DISTINCT FROM 'finalized'::text))))
  ORDER BY e.invoice_id, e.created_at DESC, e.received_at DESC, e.id;

COMMENT ON VIEW public.payment_failures IS 'Invoices whose last payment (or finalization in Stripe) failed, with the reason and the text for the customer.';

CREATE TABLE public.price_group_members (
    price_group text NOT NULL,
    organization_id text NOT NULL,
    effective_from timestamp with time zone NOT NULL,
    effective_until timestamp with time zone,
    CONSTRAINT effective_from_is_a_time CHECK (((effective_from >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (effective_from < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT effective_until_is_a_time CHECK (((effective_until >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (effective_until < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT ends_after_it_begins CHECK ((effective_until > effective_from)),
    CONSTRAINT price_group_members_price_group_check CHECK (((price_group !~ '[[:cntrl:]]'::text) AND (price_group ~ '^\S(.*\S)?$'::text) AND (length(price_group) <= 500)))
);

COMMENT ON TABLE public.price_group_members IS 'The organizations that get the negotiated prices of a group, in [effective_from, effective_until).';

CREATE TABLE public.prices (
    id uuid NOT NULL,
    book text NOT NULL,
    key text NOT NULL,
    meter text,
    product text NOT NULL,
    description text NOT NULL,
    unit text NOT NULL,
    currency character(3) NOT NULL,
    model text NOT NULL,
    unit_amount numeric,
    per numeric,
    tiers jsonb,
    free_allowance numeric DEFAULT 0 NOT NULL,
    match jsonb DEFAULT '{}'::jsonb NOT NULL,
    effective_from timestamp with time zone NOT NULL,
    effective_until timestamp with time zone,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT book_is_a_key CHECK (((book !~ '[[:cntrl:]]'::text) AND (book ~ '^\S(.*\S)?$'::text) AND (length(book) <= 500))),
    CONSTRAINT description_says_something CHECK (((description ~ '\S'::text) AND (length(description) <= 5000))),
    CONSTRAINT effective_from_is_a_time CHECK (((effective_from >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (effective_from < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT effective_until_is_a_time CHECK (((effective_until >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (effective_until < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT free_allowance_is_finite CHECK ((abs(free_allowance) < '100000000000000000000000'::numeric)),
    CONSTRAINT key_is_a_key CHECK (((key !~ '[[:cntrl:]]'::text) AND (key ~ '^\S(.*\S)?$'::text) AND (length(key) <= 500))),
    CONSTRAINT match_is_an_object CHECK ((jsonb_typeof(match) = 'object'::text)),
    CONSTRAINT per_is_finite CHECK ((abs(per) < '100000000000000000000000'::numeric)),
    CONSTRAINT prices_check CHECK ((effective_until > effective_from)),
    CONSTRAINT prices_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT prices_free_allowance_check CHECK ((free_allowance >= (0)::numeric)),
    CONSTRAINT prices_model_check CHECK ((model = ANY (ARRAY['per_unit'::text, 'package'::text, 'graduated'::text, 'volume'::text, 'graduated_percentage'::text, 'percentage'::text, 'flat'::text]))),
    CONSTRAINT prices_per_check CHECK ((per > (0)::numeric)),
    CONSTRAINT prices_per_given_check CHECK (((model = ANY (ARRAY['per_unit'::text, 'package'::text, 'graduated'::text, 'volume'::text])) = (per IS NOT NULL))),
    CONSTRAINT prices_settings_check CHECK ((jsonb_typeof(settings) = 'object'::text)),
    CONSTRAINT prices_tiers_check CHECK (((model = ANY (ARRAY['graduated'::text, 'volume'::text, 'graduated_percentage'::text])) = (tiers IS NOT NULL))),
    CONSTRAINT prices_unit_amount_check CHECK ((unit_amount >= (0)::numeric)),
    CONSTRAINT prices_unit_amount_given_check CHECK (((model = ANY (ARRAY['per_unit'::text, 'package'::text])) = (unit_amount IS NOT NULL))),
    CONSTRAINT product_is_a_key CHECK (((product !~ '[[:cntrl:]]'::text) AND (product ~ '^\S(.*\S)?$'::text) AND (length(product) <= 500))),
    CONSTRAINT tiers_is_a_list CHECK (((jsonb_typeof(tiers) = 'array'::text) AND (tiers <> '[]'::jsonb) AND (NOT jsonb_path_exists(tiers, 'strict $[*]?(@.type() != "object")'::jsonpath, silent => true)))),
    CONSTRAINT unit_amount_is_finite CHECK ((abs(unit_amount) < '1000000000000'::numeric)),
    CONSTRAINT unit_is_a_key CHECK (((unit !~ '[[:cntrl:]]'::text) AND (unit ~ '^\S(.*\S)?$'::text) AND (length(unit) <= 500)))
);

COMMENT ON TABLE public.prices IS 'One row per version of a list price. Negotiated prices of an organization replace them.';

COMMENT ON COLUMN public.prices.id IS 'Identifies this version; invoice items refer to it.';

COMMENT ON COLUMN public.prices.book IS 'The price book.';

COMMENT ON COLUMN public.prices.key IS 'The name of the price in its book; its versions have the same one.';

COMMENT ON COLUMN public.prices.meter IS 'The meter whose usage it prices; null: a recurring fee.';

COMMENT ON COLUMN public.prices.product IS 'The product on the invoice.';

COMMENT ON COLUMN public.prices.description IS 'The text of the item on the invoice.';

COMMENT ON COLUMN public.prices.unit IS 'The unit of the quantity, such as second or GB.';

COMMENT ON COLUMN public.prices.currency IS 'The currency of the price, ISO 4217.';

COMMENT ON COLUMN public.prices.model IS 'How the amount follows from the quantity, such as per_unit, graduated or volume.';

COMMENT ON COLUMN public.prices.unit_amount IS 'The amount per `per` units, exact, in the currency''s major unit.';

COMMENT ON COLUMN public.prices.per IS 'The number of units that unit_amount buys; null: 1.';

COMMENT ON COLUMN public.prices.tiers IS 'The tiers of a tiered price, the smallest first.';

COMMENT ON COLUMN public.prices.free_allowance IS 'The quantity per month that is free.';

COMMENT ON COLUMN public.prices.match IS 'The dimensions that usage must have for this price.';

COMMENT ON COLUMN public.prices.effective_from IS 'The start of its validity, included.';

COMMENT ON COLUMN public.prices.effective_until IS 'The end of its validity, excluded; null: no end.';

COMMENT ON COLUMN public.prices.settings IS 'Fields without a column: round, percent, flat_amount, minimum, maximum, at_zero. A default is left out.';

CREATE TABLE public.rejected_usage (
    landing_day date NOT NULL,
    path text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    source text,
    event_id text,
    meter text,
    organization_id text,
    raw text NOT NULL,
    is_free boolean DEFAULT false NOT NULL,
    happened_at timestamp with time zone,
    quantity numeric,
    read_dimensions text,
    CONSTRAINT happened_at_is_a_time CHECK (((happened_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (happened_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT landing_day_is_a_day CHECK (((landing_day >= '1970-01-01'::date) AND (landing_day < '2200-01-01'::date))),
    CONSTRAINT quantity_is_a_quantity CHECK (((quantity >= (0)::numeric) AND (quantity < '100000000000000000000'::numeric)))
);

COMMENT ON TABLE public.rejected_usage IS 'One row per rejected row of a usage file, with the reason and the raw text.';

COMMENT ON COLUMN public.rejected_usage.line IS 'The line (JSONL, CSV) or row (Parquet), counted from 1; 0: the file itself.';

COMMENT ON COLUMN public.rejected_usage.meter IS 'As written in the row, even if no such meter exists; likewise organization_id.';

COMMENT ON COLUMN public.rejected_usage.is_free IS 'True if the accepted event that this row conflicted with is gone, so landing its day again can accept the row.';

COMMENT ON COLUMN public.rejected_usage.happened_at IS 'The time of the row, if it can be read.';

COMMENT ON COLUMN public.rejected_usage.quantity IS 'The quantity of the row, if it can be read and is not negative.';

COMMENT ON COLUMN public.rejected_usage.read_dimensions IS 'The dimensions of its meter as JSON, null for a missing one; null if no meter, or several meters, read the row.';

CREATE TABLE public.rejected_usage_waivers (
    landing_day date NOT NULL,
    path text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content_sha256 text NOT NULL,
    because text NOT NULL,
    waived_by text NOT NULL,
    waived_at timestamp with time zone NOT NULL,
    CONSTRAINT rejected_usage_waivers_because_check CHECK ((because ~ '\S'::text)),
    CONSTRAINT rejected_usage_waivers_content_sha256_check CHECK ((content_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT rejected_usage_waivers_landing_day_check CHECK (((landing_day >= '1970-01-01'::date) AND (landing_day < '2200-01-01'::date))),
    CONSTRAINT rejected_usage_waivers_line_check CHECK ((line >= 0)),
    CONSTRAINT rejected_usage_waivers_reason_check CHECK ((reason <> ''::text)),
    CONSTRAINT rejected_usage_waivers_waived_at_check CHECK (((waived_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (waived_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT rejected_usage_waivers_waived_by_check CHECK ((waived_by ~ '\S'::text))
);

COMMENT ON TABLE public.rejected_usage_waivers IS 'One row per rejected row that a person decided not to bill. It applies to this content in this place only.';

COMMENT ON COLUMN public.rejected_usage_waivers.content_sha256 IS 'The SHA-256 of the row''s text, or of the whole file if that was rejected (line 0).';

ALTER TABLE public.revenue_deferrals ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.revenue_deferrals_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.rollup_failures (
    organization_id text NOT NULL,
    month date NOT NULL,
    reason text NOT NULL,
    found_at timestamp with time zone NOT NULL,
    CONSTRAINT found_at_is_a_time CHECK (((found_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (found_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT rollup_failures_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT rollup_failures_reason_check CHECK ((reason <> ''::text))
);

COMMENT ON TABLE public.rollup_failures IS 'Organizations whose rollups of a month failed or differ from their usage; they are not billed until a rollup succeeds.';

CREATE TABLE public.spend_alerts (
    organization_id text NOT NULL,
    month date NOT NULL,
    currency character(3) NOT NULL,
    amount_cents bigint NOT NULL,
    total_cents bigint NOT NULL,
    told_at timestamp with time zone DEFAULT now() NOT NULL,
    threshold_id uuid NOT NULL,
    CONSTRAINT amount_cents_is_finite CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT currency_is_a_currency CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT spend_alerts_check CHECK ((total_cents >= amount_cents)),
    CONSTRAINT spend_alerts_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT told_at_is_a_time CHECK (((told_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (told_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT total_cents_is_finite CHECK ((abs(total_cents) < '1000000000000000'::bigint))
);

COMMENT ON TABLE public.spend_alerts IS 'Thresholds that a month reached and the customer was alerted of, each once a month. Rows remain when a threshold is removed.';

COMMENT ON COLUMN public.spend_alerts.amount_cents IS 'The amount that was reached; of a percentage, the amount that it is.';

COMMENT ON COLUMN public.spend_alerts.total_cents IS 'The amount that reached it: the month''s total so far, the part of the app or product, or the estimate.';

CREATE TABLE public.spend_cap_calls (
    organization_id text NOT NULL,
    number integer NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    month date NOT NULL,
    currency character(3) NOT NULL,
    cap_cents bigint,
    spent_cents bigint NOT NULL,
    called_at timestamp with time zone NOT NULL,
    CONSTRAINT a_reached_cap_has_an_amount CHECK (((state = 'lifted'::text) OR (cap_cents IS NOT NULL))),
    CONSTRAINT called_at_is_a_time CHECK (((called_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (called_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT cap_cents_is_finite CHECK ((abs(cap_cents) < '1000000000000000'::bigint)),
    CONSTRAINT currency_is_a_currency CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT spend_cap_calls_cap_cents_check CHECK ((cap_cents > 0)),
    CONSTRAINT spend_cap_calls_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT spend_cap_calls_number_check CHECK ((number > 0)),
    CONSTRAINT spend_cap_calls_reason_check CHECK ((reason = ANY (ARRAY['cap_reached'::text, 'cap_raised'::text, 'cap_removed'::text, 'new_month'::text, 'spend_fell'::text]))),
    CONSTRAINT spend_cap_calls_state_check CHECK ((state = ANY (ARRAY['reached'::text, 'lifted'::text]))),
    CONSTRAINT spent_cents_is_finite CHECK ((abs(spent_cents) < '1000000000000000'::bigint))
);

COMMENT ON TABLE public.spend_cap_calls IS 'Calls of the platform''s cap hook, in order: an organization has reached its own cap, or is below it again. The newest says what the platform should know; its message is in alerts.';

COMMENT ON COLUMN public.spend_cap_calls.number IS '1, 2, 3 ... of each organization. The platform ignores a call with a lower number than one that it has.';

COMMENT ON COLUMN public.spend_cap_calls.state IS 'reached: machines should stop; lifted: they may run again.';

COMMENT ON COLUMN public.spend_cap_calls.reason IS 'Why the state changed.';

COMMENT ON COLUMN public.spend_cap_calls.month IS 'The calendar month whose spend is compared with the cap.';

COMMENT ON COLUMN public.spend_cap_calls.cap_cents IS 'The cap then. Null: it was removed.';

COMMENT ON COLUMN public.spend_cap_calls.spent_cents IS 'The spend of the month then.';

COMMENT ON COLUMN public.spend_cap_calls.called_at IS 'When the call was queued.';

CREATE TABLE public.spend_threshold_changes (
    id bigint NOT NULL,
    threshold_id uuid NOT NULL,
    action text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT changed_at_is_a_time CHECK (((changed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (changed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT spend_threshold_changes_action_check CHECK ((action = ANY (ARRAY['added'::text, 'removed'::text]))),
    CONSTRAINT spend_threshold_changes_changed_by_check CHECK ((changed_by <> ''::text))
);

COMMENT ON TABLE public.spend_threshold_changes IS 'Who added and removed which threshold or cap, and when. Changes before migration 0076 have no row.';

COMMENT ON COLUMN public.spend_threshold_changes.threshold_id IS 'The threshold or cap.';

COMMENT ON COLUMN public.spend_threshold_changes.changed_by IS 'The person who ran the command, the token of the API, or the pipeline''s role: a first alert.';

ALTER TABLE public.spend_threshold_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.spend_threshold_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.spend_thresholds (
    organization_id text NOT NULL,
    currency character(3) NOT NULL,
    amount_cents bigint,
    added_at timestamp with time zone DEFAULT now() NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    kind text NOT NULL,
    subject text,
    percent integer,
    removed_at timestamp with time zone,
    CONSTRAINT added_at_is_a_time CHECK (((added_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (added_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT amount_cents_is_finite CHECK ((abs(amount_cents) < '1000000000000000'::bigint)),
    CONSTRAINT an_amount_or_a_percentage CHECK ((((kind = 'percent'::text) = (percent IS NOT NULL)) AND ((kind = 'percent'::text) = (amount_cents IS NULL)))),
    CONSTRAINT an_app_or_product_has_a_name CHECK (((kind = ANY (ARRAY['app'::text, 'product'::text])) = (subject IS NOT NULL))),
    CONSTRAINT removed_at_is_a_time CHECK (((removed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (removed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT spend_thresholds_amount_cents_check CHECK ((amount_cents > 0)),
    CONSTRAINT spend_thresholds_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT spend_thresholds_kind_check CHECK ((kind = ANY (ARRAY['amount'::text, 'percent'::text, 'app'::text, 'product'::text, 'forecast'::text, 'cap'::text]))),
    CONSTRAINT spend_thresholds_percent_check CHECK (((percent >= 1) AND (percent <= 100000))),
    CONSTRAINT spend_thresholds_subject_check CHECK (((subject ~ '\S'::text) AND (length(subject) <= 500)))
);

COMMENT ON TABLE public.spend_thresholds IS 'The spend of a month, including open invoices, at which the customer is alerted. A removed one is kept: set again, it does not alert again in its month.';

COMMENT ON COLUMN public.spend_thresholds.amount_cents IS 'The amount, in cents of the currency. Null: a percentage.';

COMMENT ON COLUMN public.spend_thresholds.kind IS 'What reaches it: amount: the total of the month so far; percent: the total, compared with the final invoice of the month before; app, product: the part of an app or product; forecast: the estimated total at the end of the month; cap: the total, and the platform is called.';

COMMENT ON COLUMN public.spend_thresholds.subject IS 'The app or product.';

COMMENT ON COLUMN public.spend_thresholds.percent IS 'The percentage of the last month''s final invoice.';

COMMENT ON COLUMN public.spend_thresholds.removed_at IS 'When it was removed. Null: it alerts.';

CREATE TABLE public.stripe_attempts (
    id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    step text NOT NULL,
    generation integer NOT NULL,
    idempotency_key text NOT NULL,
    request_hash text NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    answered_at timestamp with time zone,
    outcome text,
    http_status integer,
    stripe_request_id text,
    error_code text,
    error_message text,
    CONSTRAINT answered_at_is_a_time CHECK (((answered_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (answered_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT sent_at_is_a_time CHECK (((sent_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (sent_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_attempts_check CHECK (((outcome IS NULL) = (answered_at IS NULL))),
    CONSTRAINT stripe_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'not_applied'::text, 'unknown'::text])))
);

COMMENT ON TABLE public.stripe_attempts IS 'Every request to Stripe, written before it is sent. outcome null: in flight, or the process died, so it is unknown.';

ALTER TABLE public.stripe_attempts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stripe_attempts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.stripe_customers (
    organization_id text NOT NULL,
    sent jsonb NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    CONSTRAINT sent_at_is_a_time CHECK (((sent_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (sent_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT sent_is_an_object CHECK ((jsonb_typeof(sent) = 'object'::text))
);

COMMENT ON TABLE public.stripe_customers IS 'One row per organization whose details Stripe''s customer has. Fields that we never sent are left alone there.';

COMMENT ON COLUMN public.stripe_customers.sent IS 'The details that were sent, by the names of Stripe''s parameters, and tax_ids.';

COMMENT ON COLUMN public.stripe_customers.sent_at IS 'When they were sent.';

CREATE TABLE public.stripe_events_polled (
    only_row boolean DEFAULT true NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT stripe_events_polled_only_row_check CHECK (only_row),
    CONSTRAINT until_is_a_time CHECK (((until >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (until < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.stripe_events_polled IS 'A single row: all of Stripe''s events created before this time were read.';

ALTER TABLE public.stripe_invoice_amounts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stripe_invoice_amounts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.stripe_money ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stripe_money_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.stripe_reconciliations (
    id bigint NOT NULL,
    month date NOT NULL,
    swept_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    invoices_here integer NOT NULL,
    invoices_in_stripe integer NOT NULL,
    totals_here jsonb NOT NULL,
    totals_in_stripe jsonb NOT NULL,
    discrepancies jsonb NOT NULL,
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT stripe_reconciliations_discrepancies_check CHECK ((jsonb_typeof(discrepancies) = 'array'::text)),
    CONSTRAINT stripe_reconciliations_invoices_here_check CHECK ((invoices_here >= 0)),
    CONSTRAINT stripe_reconciliations_invoices_in_stripe_check CHECK ((invoices_in_stripe >= 0)),
    CONSTRAINT stripe_reconciliations_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT swept_at_is_a_time CHECK (((swept_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (swept_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT totals_here_is_an_object CHECK ((jsonb_typeof(totals_here) = 'object'::text)),
    CONSTRAINT totals_in_stripe_is_an_object CHECK ((jsonb_typeof(totals_in_stripe) = 'object'::text))
);

COMMENT ON TABLE public.stripe_reconciliations IS 'One row per reconciliation of a month. totals: currency -> cents, without void invoices.';

COMMENT ON COLUMN public.stripe_reconciliations.id IS 'A number that grows with time.';

COMMENT ON COLUMN public.stripe_reconciliations.month IS 'The first day of the month that was compared.';

COMMENT ON COLUMN public.stripe_reconciliations.swept_at IS 'When it was compared.';

COMMENT ON COLUMN public.stripe_reconciliations.run_id IS 'The Dagster run that compared it.';

COMMENT ON COLUMN public.stripe_reconciliations.invoices_here IS 'The number of our invoices that Stripe should have.';

COMMENT ON COLUMN public.stripe_reconciliations.invoices_in_stripe IS 'The number of these invoices in Stripe.';

COMMENT ON COLUMN public.stripe_reconciliations.totals_here IS 'Our totals: currency -> cents.';

COMMENT ON COLUMN public.stripe_reconciliations.totals_in_stripe IS 'Stripe''s totals: currency -> cents.';

COMMENT ON COLUMN public.stripe_reconciliations.discrepancies IS 'The list of differences, each with its kind, organization, invoices and fix.';

ALTER TABLE public.stripe_reconciliations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stripe_reconciliations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.stripe_repairs (
    id bigint NOT NULL,
    stripe_invoice_id text NOT NULL,
    claimed_invoice_id text NOT NULL,
    step text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash text NOT NULL,
    run_id text NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    answered_at timestamp with time zone,
    outcome text,
    http_status integer,
    stripe_request_id text,
    error_code text,
    error_message text,
    CONSTRAINT answered_at_is_a_time CHECK (((answered_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (answered_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT sent_at_is_a_time CHECK (((sent_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (sent_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT stripe_repairs_check CHECK (((outcome IS NULL) = (answered_at IS NULL))),
    CONSTRAINT stripe_repairs_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'not_applied'::text, 'unknown'::text]))),
    CONSTRAINT stripe_repairs_step_check CHECK ((step = 'discard'::text))
);

COMMENT ON TABLE public.stripe_repairs IS 'Changes in Stripe to objects that carry our metadata but match no invoice here, written before they are sent (see stripe_attempts).';

ALTER TABLE public.stripe_repairs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stripe_repairs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.subscriptions (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    price_key text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    quantity numeric DEFAULT 1 NOT NULL,
    billed text DEFAULT 'in_arrears'::text NOT NULL,
    proration text DEFAULT 'second'::text NOT NULL,
    anchor text DEFAULT 'calendar'::text NOT NULL,
    trial_ends_at timestamp with time zone,
    anchored_at timestamp with time zone,
    CONSTRAINT anchored_at_is_a_time CHECK (((anchored_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (anchored_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT anchored_by_its_start CHECK (((anchored_at IS NULL) OR ((anchor = 'start'::text) AND (anchored_at <= started_at)))),
    CONSTRAINT ended_at_is_a_time CHECK (((ended_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (ended_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT price_key_is_a_key CHECK (((price_key !~ '[[:cntrl:]]'::text) AND (price_key ~ '^\S(.*\S)?$'::text) AND (length(price_key) <= 500))),
    CONSTRAINT quantity_is_finite CHECK ((abs(quantity) < '100000000000000000000000'::numeric)),
    CONSTRAINT started_at_is_a_time CHECK (((started_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (started_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT subscriptions_anchor_check CHECK ((anchor = ANY (ARRAY['calendar'::text, 'start'::text]))),
    CONSTRAINT subscriptions_billed_check CHECK ((billed = ANY (ARRAY['in_arrears'::text, 'in_advance'::text]))),
    CONSTRAINT subscriptions_check CHECK ((ended_at >= started_at)),
    CONSTRAINT subscriptions_check1 CHECK ((trial_ends_at >= started_at)),
    CONSTRAINT subscriptions_proration_check CHECK ((proration = ANY (ARRAY['second'::text, 'day'::text, 'none'::text]))),
    CONSTRAINT subscriptions_quantity_check CHECK ((quantity > (0)::numeric)),
    CONSTRAINT trial_ends_at_is_a_time CHECK (((trial_ends_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (trial_ends_at < '2200-01-01 00:00:00+00'::timestamp with time zone)))
);

COMMENT ON TABLE public.subscriptions IS 'One row per recurring fee of an organization.';

COMMENT ON COLUMN public.subscriptions.quantity IS 'The number of units of the price: seats, addresses.';

COMMENT ON COLUMN public.subscriptions.anchor IS 'calendar: a quarter begins in January, April, July or October; start: intervals are counted from the start, or from the end of the trial.';

COMMENT ON COLUMN public.subscriptions.trial_ends_at IS 'The fee is free until then.';

COMMENT ON COLUMN public.subscriptions.anchored_at IS 'With anchor start: intervals are counted from this time; null: from the start, or from the end of the trial.';

CREATE TABLE public.sync_approvals (
    id bigint NOT NULL,
    month date NOT NULL,
    currency character(3) NOT NULL,
    total_cents bigint NOT NULL,
    approved_by text NOT NULL,
    approved_at timestamp with time zone NOT NULL,
    CONSTRAINT approved_at_is_a_time CHECK (((approved_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (approved_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT sync_approvals_approved_by_check CHECK ((approved_by <> ''::text)),
    CONSTRAINT sync_approvals_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT sync_approvals_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT total_cents_is_finite CHECK ((abs(total_cents) < '1000000000000000'::bigint))
);

COMMENT ON TABLE public.sync_approvals IS 'Approvals of a month''s total that the spending guard would block. The newest one applies.';

ALTER TABLE public.sync_approvals ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sync_approvals_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.tax_customers (
    organization_id text NOT NULL,
    first_month date NOT NULL,
    location text,
    kind text,
    CONSTRAINT tax_customers_first_month_check CHECK (((EXTRACT(day FROM first_month) = (1)::numeric) AND (first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT tax_customers_kind_check CHECK (((kind !~ '[[:cntrl:]]'::text) AND (kind ~ '^\S(.*\S)?$'::text) AND (length(kind) <= 500))),
    CONSTRAINT tax_customers_location_check CHECK ((location ~ '^[A-Z]{2}(-[A-Z0-9]+)*$'::text))
);

COMMENT ON TABLE public.tax_customers IS 'An organization''s location and tax status, from this month until its next row. A final invoice keeps the rates that resulted, so a late row changes no closed month.';

CREATE TABLE public.tax_rates (
    id uuid NOT NULL,
    organization_id text,
    name text NOT NULL,
    percent numeric NOT NULL,
    is_inclusive boolean DEFAULT false NOT NULL,
    first_month date NOT NULL,
    last_month date,
    book text,
    key text,
    tax text,
    category text DEFAULT 'standard'::text NOT NULL,
    legal_text text,
    scope jsonb DEFAULT '{}'::jsonb NOT NULL,
    locations text[] DEFAULT '{}'::text[] NOT NULL,
    customers text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT an_organization_s_or_a_book_s CHECK (((num_nonnulls(organization_id, book) = 1) AND ((book IS NULL) = (key IS NULL)))),
    CONSTRAINT first_month_is_a_day CHECK (((first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT its_tax_is_named CHECK (((tax IS NOT NULL) OR ((scope = '{}'::jsonb) AND (locations = '{}'::text[]) AND (customers = '{}'::text[])))),
    CONSTRAINT last_month_is_a_day CHECK (((last_month >= '1970-01-01'::date) AND (last_month < '2200-01-01'::date))),
    CONSTRAINT legal_text_has_a_line CHECK (((legal_text IS NULL) OR (NOT is_inclusive))),
    CONSTRAINT name_says_something CHECK (((name ~ '\S'::text) AND (length(name) <= 5000))),
    CONSTRAINT nothing_is_charged CHECK (((category = ANY (ARRAY['standard'::text, 'reduced'::text])) OR ((percent = (0)::numeric) AND (NOT is_inclusive)))),
    CONSTRAINT percent_is_finite CHECK ((abs(percent) < '100000000000000000000000'::numeric)),
    CONSTRAINT tax_rates_book_check CHECK (((book !~ '[[:cntrl:]]'::text) AND (book ~ '^\S(.*\S)?$'::text) AND (length(book) <= 500))),
    CONSTRAINT tax_rates_category_check CHECK ((category = ANY (ARRAY['standard'::text, 'reduced'::text, 'zero'::text, 'exempt'::text, 'reverse_charge'::text, 'outside'::text]))),
    CONSTRAINT tax_rates_check CHECK (((EXTRACT(day FROM last_month) = (1)::numeric) AND (last_month >= first_month))),
    CONSTRAINT tax_rates_customers_check CHECK (public.are_keys(customers)),
    CONSTRAINT tax_rates_first_month_check CHECK ((EXTRACT(day FROM first_month) = (1)::numeric)),
    CONSTRAINT tax_rates_key_check CHECK (((key !~ '[[:cntrl:]]'::text) AND (key ~ '^\S(.*\S)?$'::text) AND (length(key) <= 500))),
    CONSTRAINT tax_rates_legal_text_check CHECK (((legal_text ~ '\S'::text) AND (length(legal_text) <= 300))),
    CONSTRAINT tax_rates_locations_check CHECK (public.are_keys(locations)),
    CONSTRAINT tax_rates_name_check CHECK ((name <> ''::text)),
    CONSTRAINT tax_rates_percent_check CHECK ((public.is_amount(percent) AND (percent <= (100)::numeric))),
    CONSTRAINT tax_rates_scope_check CHECK ((jsonb_typeof(scope) = 'object'::text)),
    CONSTRAINT tax_rates_tax_check CHECK (((tax !~ '[[:cntrl:]]'::text) AND (tax ~ '^\S(.*\S)?$'::text) AND (length(tax) <= 500))),
    CONSTRAINT the_law_is_named CHECK (((category <> ALL (ARRAY['exempt'::text, 'reverse_charge'::text])) OR (legal_text IS NOT NULL)))
);

COMMENT ON TABLE public.tax_rates IS 'One row per tax rate of an organization or of a price book, with its months and its conditions.';

COMMENT ON COLUMN public.tax_rates.tax IS 'The tax that this is a rate of: if several rates of a tax apply to an item, the most specific is used. Null: a tax of its own.';

COMMENT ON COLUMN public.tax_rates.scope IS 'The items that it applies to: kinds, products, price_keys, meter, match. Empty: all.';

COMMENT ON COLUMN public.tax_rates.locations IS 'The customers'' locations that it applies to, ISO 3166: DE, CA-QC. Empty: all.';

COMMENT ON COLUMN public.tax_rates.customers IS 'The kinds of customers that it applies to, as in tax_customers: business. Empty: all.';

CREATE TABLE public.term_changes (
    id bigint NOT NULL,
    on_table text NOT NULL,
    organization_id text,
    book text,
    first_month date NOT NULL,
    last_month date,
    what text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT changed_at_is_a_time CHECK (((changed_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (changed_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT first_month_is_a_day CHECK (((first_month >= '1970-01-01'::date) AND (first_month < '2200-01-01'::date))),
    CONSTRAINT last_month_is_a_day CHECK (((last_month >= '1970-01-01'::date) AND (last_month < '2200-01-01'::date))),
    CONSTRAINT term_changes_check CHECK (((organization_id IS NULL) <> (book IS NULL)))
);

COMMENT ON TABLE public.term_changes IS 'Changes of terms and prices that affect months with final invoices. Triggers write them; a person decides if the month is corrected.';

COMMENT ON COLUMN public.term_changes.organization_id IS 'The organization of the term; null: a price, which applies to a whole book.';

ALTER TABLE public.term_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.term_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.term_decisions (
    id bigint NOT NULL,
    invoice_id uuid NOT NULL,
    up_to_change bigint NOT NULL,
    decided_by text NOT NULL,
    why text NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    CONSTRAINT decided_at_is_a_time CHECK (((decided_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (decided_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT term_decisions_decided_by_check CHECK ((decided_by <> ''::text)),
    CONSTRAINT term_decisions_why_check CHECK ((why <> ''::text))
);

COMMENT ON TABLE public.term_decisions IS 'Final invoices that a person decided not to correct, although terms of their month changed up to this term_changes.id.';

ALTER TABLE public.term_decisions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.term_decisions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.threshold_checks (
    threshold_id uuid NOT NULL,
    month date NOT NULL,
    as_of timestamp with time zone NOT NULL,
    compared_at timestamp with time zone NOT NULL,
    CONSTRAINT as_of_is_a_time CHECK (((as_of >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (as_of < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT compared_at_is_a_time CHECK (((compared_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (compared_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT threshold_checks_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric))
);

COMMENT ON TABLE public.threshold_checks IS 'One row per threshold on an app, product or forecast and month that it was compared with, without being reached.';

COMMENT ON COLUMN public.threshold_checks.month IS 'The first day of the month.';

COMMENT ON COLUMN public.threshold_checks.as_of IS 'When the newest invoice that it was compared with was calculated. It is compared again after a newer one.';

COMMENT ON COLUMN public.threshold_checks.compared_at IS 'When it was compared last. A forecast is compared again after a while, because it changes with the days that are complete.';

CREATE VIEW public.thresholds_of_open_months AS
 SELECT t.id AS threshold_id,
    t.organization_id,
    o.name AS organization_name,
    t.kind,
    t.subject,
    t.percent,
    t.amount_cents,
    s.month,
    s.currency,
    s.total_cents,
    s.computed_at
   FROM ((public.spend_thresholds t
     JOIN public.organizations o ON ((o.id = t.organization_id)))
     JOIN public.organization_spend s ON (((s.organization_id = t.organization_id) AND (s.currency = t.currency) AND (s.status = 'open'::text))))
  WHERE ((t.removed_at IS NULL) AND (NOT (EXISTS ( SELECT
           FROM public.spend_alerts a
          WHERE ((a.threshold_id = t.id) AND (a.month = s.month))))));

COMMENT ON VIEW public.thresholds_of_open_months IS 'One row per threshold and month with an open invoice in its currency, if no alert reported it for that month yet.';

COMMENT ON COLUMN public.thresholds_of_open_months.threshold_id IS 'The threshold.';

COMMENT ON COLUMN public.thresholds_of_open_months.amount_cents IS 'Of the threshold; null: a percentage.';

COMMENT ON COLUMN public.thresholds_of_open_months.month IS 'The first day of the month.';

COMMENT ON COLUMN public.thresholds_of_open_months.total_cents IS 'The spend of the organization in the month so far.';

COMMENT ON COLUMN public.thresholds_of_open_months.computed_at IS 'When the invoice was calculated last.';

CREATE TABLE public.usage_files (
    landing_day date NOT NULL,
    path text NOT NULL,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    landed bigint NOT NULL,
    accepted bigint NOT NULL,
    duplicate bigint NOT NULL,
    rejected bigint NOT NULL,
    stored_at timestamp with time zone,
    CONSTRAINT every_row_is_accounted_for CHECK ((landed = ((accepted + duplicate) + rejected))),
    CONSTRAINT landing_day_is_a_day CHECK (((landing_day >= '1970-01-01'::date) AND (landing_day < '2200-01-01'::date))),
    CONSTRAINT stored_at_is_a_time CHECK (((stored_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (stored_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT usage_files_accepted_check CHECK ((accepted >= 0)),
    CONSTRAINT usage_files_bytes_check CHECK ((bytes >= 0)),
    CONSTRAINT usage_files_duplicate_check CHECK ((duplicate >= 0)),
    CONSTRAINT usage_files_landed_check CHECK ((landed >= 0)),
    CONSTRAINT usage_files_rejected_check CHECK ((rejected >= 0))
);

COMMENT ON TABLE public.usage_files IS 'One row per landed file. Every row of the file is accepted, a duplicate or rejected.';

COMMENT ON COLUMN public.usage_files.stored_at IS 'In an object store: when the store last wrote the object that landed, by the store''s clock. Null: a file on a disk.';

CREATE VIEW public.unresolved_rejections AS
 WITH shown AS (
         SELECT r.landing_day,
            r.path,
            r.line,
            r.reason,
            r.message,
            r.event_id,
            r.meter,
            r.organization_id,
            r.happened_at,
            r.quantity,
            r.read_dimensions,
            regexp_replace(r.path, '[0-9]+'::text, '#'::text, 'g'::text) AS usage_source,
                CASE
                    WHEN ((r.happened_at IS NULL) OR (r.reason = ANY (ARRAY['bad_time'::text, 'time_too_early'::text, 'time_in_future'::text, 'before_organization'::text]))) THEN r.landing_day
                    ELSE ((r.happened_at AT TIME ZONE 'UTC'::text))::date
                END AS usage_day,
            encode(sha256(convert_to(
                CASE
                    WHEN (r.line = 0) THEN f.sha256
                    ELSE r.raw
                END, 'UTF8'::name)), 'hex'::text) AS content_sha256
           FROM (public.rejected_usage r
             JOIN public.usage_files f ON (((f.landing_day = r.landing_day) AND (f.path = r.path))))
        )
 SELECT landing_day,
    path,
    line,
    reason,
    message,
    event_id,
    meter,
    organization_id,
    happened_at,
    quantity,
    read_dimensions,
    usage_source,
    usage_day,
    content_sha256
   FROM shown
  WHERE (NOT (EXISTS ( SELECT
           FROM public.rejected_usage_waivers w
          WHERE ((w.landing_day = shown.landing_day) AND (w.path = shown.path) AND (w.line = shown.line) AND (w.reason = shown.reason) AND (w.content_sha256 = shown.content_sha256)))));

COMMENT ON VIEW public.unresolved_rejections IS 'Rejected rows that nobody fixed or waived. usage_source: the path with # for numbers. usage_day: the day of the usage, or the landing day if the row has no credible time.';

CREATE TABLE public.usage_confirmations (
    month date NOT NULL,
    lake_version bigint NOT NULL,
    rolled_up_at timestamp with time zone NOT NULL,
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT rolled_up_at_is_a_time CHECK (((rolled_up_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (rolled_up_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT usage_confirmations_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric))
);

COMMENT ON TABLE public.usage_confirmations IS 'One row per month: until when its current snapshots are known to be right. Not those of organizations in rollup_failures.';

COMMENT ON COLUMN public.usage_confirmations.month IS 'The first day of the month of the usage.';

COMMENT ON COLUMN public.usage_confirmations.lake_version IS 'The version of the usage table that has their usage, too.';

COMMENT ON COLUMN public.usage_confirmations.rolled_up_at IS 'When that version was looked at.';

CREATE TABLE public.usage_snapshots (
    id uuid NOT NULL,
    organization_id text NOT NULL,
    month date NOT NULL,
    lake_version bigint NOT NULL,
    fingerprint text NOT NULL,
    events bigint NOT NULL,
    rolled_up_at timestamp with time zone NOT NULL,
    is_current boolean NOT NULL,
    rules text,
    CONSTRAINT month_is_a_day CHECK (((month >= '1970-01-01'::date) AND (month < '2200-01-01'::date))),
    CONSTRAINT rolled_up_at_is_a_time CHECK (((rolled_up_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (rolled_up_at < '2200-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT usage_snapshots_events_check CHECK ((events >= 0)),
    CONSTRAINT usage_snapshots_month_check CHECK ((EXTRACT(day FROM month) = (1)::numeric)),
    CONSTRAINT usage_snapshots_rules_check CHECK ((rules ~ '^[0-9a-f]{32}$'::text))
);

COMMENT ON TABLE public.usage_snapshots IS 'An organization''s usage of a month in one version of the usage table. An invoice names the snapshot that it billed.';

COMMENT ON COLUMN public.usage_snapshots.id IS 'Identifies the snapshot; equal usage has an equal id.';

COMMENT ON COLUMN public.usage_snapshots.organization_id IS 'The organization that used it.';

COMMENT ON COLUMN public.usage_snapshots.month IS 'The first day of the month of the usage.';

COMMENT ON COLUMN public.usage_snapshots.lake_version IS 'A version of the usage table that has this usage. The view usage_as_of has the last one.';

COMMENT ON COLUMN public.usage_snapshots.fingerprint IS 'A hash of the rollups.';

COMMENT ON COLUMN public.usage_snapshots.events IS 'The number of accepted events.';

COMMENT ON COLUMN public.usage_snapshots.rolled_up_at IS 'When that version was looked at. The view usage_as_of has the last time.';

COMMENT ON COLUMN public.usage_snapshots.is_current IS 'True for the latest usage; an earlier snapshot is kept if it was billed.';

COMMENT ON COLUMN public.usage_snapshots.rules IS 'Hash of the meters, prices and code by which the usage was rolled up. It is rolled up again under other ones. Null: always rolled up again.';

CREATE VIEW public.usage_as_of AS
 SELECT s.id AS snapshot_id,
    s.organization_id,
    s.month,
    s.is_current,
        CASE
            WHEN (c.lake_version > s.lake_version) THEN c.lake_version
            ELSE s.lake_version
        END AS lake_version,
        CASE
            WHEN (c.rolled_up_at > s.rolled_up_at) THEN c.rolled_up_at
            ELSE s.rolled_up_at
        END AS rolled_up_at
   FROM (public.usage_snapshots s
     LEFT JOIN public.usage_confirmations c ON (((c.month = s.month) AND s.is_current AND (NOT (EXISTS ( SELECT
           FROM public.rollup_failures f
          WHERE ((f.organization_id = s.organization_id) AND (f.month = s.month))))))));

COMMENT ON VIEW public.usage_as_of IS 'One row per snapshot: until when it is known to have all usage of its organization and month.';

COMMENT ON COLUMN public.usage_as_of.snapshot_id IS 'The snapshot.';

COMMENT ON COLUMN public.usage_as_of.organization_id IS 'The organization that used it.';

COMMENT ON COLUMN public.usage_as_of.month IS 'The first day of the month of the usage.';

COMMENT ON COLUMN public.usage_as_of.is_current IS 'True for the latest usage.';

COMMENT ON COLUMN public.usage_as_of.lake_version IS 'The last version of the usage table that is known to have this usage.';

COMMENT ON COLUMN public.usage_as_of.rolled_up_at IS 'When that version was looked at.';

CREATE TABLE public.usage_tables (
    generation integer NOT NULL,
    table_id text NOT NULL,
    shift bigint NOT NULL,
    first_version bigint NOT NULL,
    acknowledged bigint NOT NULL,
    lost_after bigint,
    CONSTRAINT usage_tables_check CHECK ((acknowledged >= first_version)),
    CONSTRAINT usage_tables_check1 CHECK ((lost_after <= acknowledged)),
    CONSTRAINT usage_tables_generation_check CHECK ((generation > 0)),
    CONSTRAINT usage_tables_shift_check CHECK ((shift >= 0)),
    CONSTRAINT usage_tables_table_id_check CHECK ((table_id <> ''::text))
);

COMMENT ON TABLE public.usage_tables IS 'The current Delta table of usage events and its predecessors. The greatest generation is in use.';

COMMENT ON COLUMN public.usage_tables.table_id IS 'The id in the Delta table''s metadata; a new table has a new id.';

COMMENT ON COLUMN public.usage_tables.shift IS 'lake_version = version in the Delta log + shift, so that versions always increase, even with a new table.';

COMMENT ON COLUMN public.usage_tables.acknowledged IS 'The last lake_version that a landing committed; later commits in the Delta log do not count.';

COMMENT ON COLUMN public.usage_tables.lost_after IS 'A repair found that versions after this one are gone from this generation.';

CREATE TABLE public.workspace_records (
    kind text NOT NULL,
    record_id text NOT NULL,
    workspace text NOT NULL,
    record_key text NOT NULL,
    CONSTRAINT workspace_records_kind_check CHECK ((kind <> ''::text)),
    CONSTRAINT workspace_records_record_id_check CHECK ((record_id <> ''::text)),
    CONSTRAINT workspace_records_record_key_check CHECK ((record_key <> ''::text)),
    CONSTRAINT workspace_records_workspace_check CHECK (((workspace ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'::text) AND (length(workspace) <= 63)))
);

COMMENT ON TABLE public.workspace_records IS 'One row per record that a workspace of files owns. When the files do not name it any more, the next apply ends it.';

COMMENT ON COLUMN public.workspace_records.kind IS 'organization, price, subscription and so on: `workspace.rules.records.KINDS`.';

COMMENT ON COLUMN public.workspace_records.record_id IS 'The record''s id; without one, its key in the files.';

COMMENT ON COLUMN public.workspace_records.workspace IS 'The name in fly_billing.yaml.';

COMMENT ON COLUMN public.workspace_records.record_key IS 'Its name in the files among all of its kind: acme/support/2026-01-10.';

ALTER TABLE ONLY public.accounting_periods
    ADD CONSTRAINT accounting_periods_pkey PRIMARY KEY (month);

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.alert_addresses
    ADD CONSTRAINT alert_addresses_pkey PRIMARY KEY (organization_id);

ALTER TABLE ONLY public.alert_unsubscriptions
    ADD CONSTRAINT alert_unsubscriptions_pkey PRIMARY KEY (organization_id, address_sha256);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_key_channel_key UNIQUE (key, channel);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_replaces_key UNIQUE (replaces);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_sha256_key UNIQUE (sha256);

ALTER TABLE ONLY public.billing_details
    ADD CONSTRAINT billing_details_pkey PRIMARY KEY (organization_id);

ALTER TABLE ONLY public.billing_failures
    ADD CONSTRAINT billing_failures_pkey PRIMARY KEY (organization_id, month);

ALTER TABLE ONLY public.billing_recoveries
    ADD CONSTRAINT billing_recoveries_pkey PRIMARY KEY (organization_id, month);

ALTER TABLE ONLY public.carried_months
    ADD CONSTRAINT carried_months_pkey PRIMARY KEY (month);

ALTER TABLE ONLY public.commitments
    ADD CONSTRAINT commitments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.corrected_snapshots
    ADD CONSTRAINT corrected_snapshots_pkey PRIMARY KEY (invoice_id, snapshot_id);

ALTER TABLE ONLY public.correction_approvals
    ADD CONSTRAINT correction_approvals_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.correction_decisions
    ADD CONSTRAINT correction_decisions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.coupons
    ADD CONSTRAINT coupons_pkey PRIMARY KEY (code);

ALTER TABLE ONLY public.credit_entries
    ADD CONSTRAINT credit_entries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credit_expiries
    ADD CONSTRAINT credit_expiries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credit_grants
    ADD CONSTRAINT credit_grants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credit_notes
    ADD CONSTRAINT credit_notes_credit_grant_id_key UNIQUE (credit_grant_id);

ALTER TABLE ONLY public.credit_notes
    ADD CONSTRAINT credit_notes_invoice_id_number_key UNIQUE (invoice_id, number);

ALTER TABLE ONLY public.credit_notes
    ADD CONSTRAINT credit_notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credit_requests
    ADD CONSTRAINT credit_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credit_requests
    ADD CONSTRAINT credit_requests_stripe_credit_note_id_key UNIQUE (stripe_credit_note_id);

ALTER TABLE ONLY public.customer_changes
    ADD CONSTRAINT customer_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.discounts
    ADD CONSTRAINT discounts_organization_id_coupon_code_first_month_key UNIQUE (organization_id, coupon_code, first_month);

ALTER TABLE ONLY public.discounts
    ADD CONSTRAINT discounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.failed_checks
    ADD CONSTRAINT failed_checks_pkey PRIMARY KEY (asset, check_name, period, billing_group);

ALTER TABLE ONLY public.first_alerts
    ADD CONSTRAINT first_alerts_pkey PRIMARY KEY (organization_id);

ALTER TABLE ONLY public.invoice_changes
    ADD CONSTRAINT invoice_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.invoice_commitments
    ADD CONSTRAINT invoice_commitments_pkey PRIMARY KEY (invoice_id, commitment_id);

ALTER TABLE ONLY public.invoice_confirmations
    ADD CONSTRAINT invoice_confirmations_pkey PRIMARY KEY (month);

ALTER TABLE ONLY public.invoice_details
    ADD CONSTRAINT invoice_details_pkey PRIMARY KEY (invoice_id);

ALTER TABLE ONLY public.invoice_item_rollups
    ADD CONSTRAINT invoice_item_rollups_pkey PRIMARY KEY (invoice_id, rollup_id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_id_invoice_id_key UNIQUE (id, invoice_id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_invoice_id_position_key UNIQUE (invoice_id, "position");

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.invoice_snapshots
    ADD CONSTRAINT invoice_snapshots_pkey PRIMARY KEY (invoice_id, snapshot_id);

ALTER TABLE ONLY public.invoice_tax_rates
    ADD CONSTRAINT invoice_tax_rates_pkey PRIMARY KEY (invoice_id, tax_rate_id);

ALTER TABLE ONLY public.invoice_taxes
    ADD CONSTRAINT invoice_taxes_pkey PRIMARY KEY (invoice_id, tax_rate_id);

ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_organization_id_month_revision_key UNIQUE (organization_id, month, revision);

ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.landed_months
    ADD CONSTRAINT landed_months_pkey PRIMARY KEY (landing_day, month);

ALTER TABLE ONLY public.landing_days
    ADD CONSTRAINT landing_days_pkey PRIMARY KEY (landing_day);

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT ledger_entries_pkey PRIMARY KEY (organization_id, currency, month, transaction_id, account) INCLUDE (amount_cents);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_pkey PRIMARY KEY (organization_id, currency, month, id);

ALTER TABLE ONLY public.meters
    ADD CONSTRAINT meters_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.months_with_random_ids
    ADD CONSTRAINT months_with_random_ids_pkey PRIMARY KEY (month);

ALTER TABLE ONLY public.negotiated_prices
    ADD CONSTRAINT negotiated_prices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT one_number_each UNIQUE (organization_id, number);

ALTER TABLE ONLY public.one_off_items
    ADD CONSTRAINT one_off_items_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tax_rates
    ADD CONSTRAINT one_version_of_a_book UNIQUE (book, key, first_month);

ALTER TABLE ONLY public.organization_history
    ADD CONSTRAINT organization_history_pkey PRIMARY KEY (organization_id, before_month);

ALTER TABLE ONLY public.organization_links
    ADD CONSTRAINT organization_links_pkey PRIMARY KEY (organization_id, first_month);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_stripe_customer_id_key UNIQUE (stripe_customer_id);

ALTER TABLE ONLY public.page_link_revocations
    ADD CONSTRAINT page_link_revocations_pkey PRIMARY KEY (link_id);

ALTER TABLE ONLY public.price_group_members
    ADD CONSTRAINT price_group_members_pkey PRIMARY KEY (price_group, organization_id, effective_from);

ALTER TABLE ONLY public.prices
    ADD CONSTRAINT prices_book_key_effective_from_key UNIQUE (book, key, effective_from);

ALTER TABLE ONLY public.prices
    ADD CONSTRAINT prices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.rejected_usage
    ADD CONSTRAINT rejected_usage_pkey PRIMARY KEY (landing_day, path, line);

ALTER TABLE ONLY public.rejected_usage_waivers
    ADD CONSTRAINT rejected_usage_waivers_pkey PRIMARY KEY (landing_day, path, line, reason, content_sha256);

ALTER TABLE ONLY public.revenue_deferrals
    ADD CONSTRAINT revenue_deferrals_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.rollup_failures
    ADD CONSTRAINT rollup_failures_pkey PRIMARY KEY (organization_id, month);

ALTER TABLE ONLY public.credit_requests
    ADD CONSTRAINT same_credit_for_the_same_reason_once UNIQUE (invoice_id, amount_cents, pays_back, why);

ALTER TABLE ONLY public.spend_alerts
    ADD CONSTRAINT spend_alerts_pkey PRIMARY KEY (threshold_id, month);

ALTER TABLE ONLY public.spend_cap_calls
    ADD CONSTRAINT spend_cap_calls_pkey PRIMARY KEY (organization_id, number);

ALTER TABLE ONLY public.spend_threshold_changes
    ADD CONSTRAINT spend_threshold_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.spend_thresholds
    ADD CONSTRAINT spend_thresholds_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.stripe_attempts
    ADD CONSTRAINT stripe_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.stripe_customers
    ADD CONSTRAINT stripe_customers_pkey PRIMARY KEY (organization_id);

ALTER TABLE ONLY public.stripe_events
    ADD CONSTRAINT stripe_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.stripe_events_polled
    ADD CONSTRAINT stripe_events_polled_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY public.stripe_invoice_amounts
    ADD CONSTRAINT stripe_invoice_amounts_id_key UNIQUE (id);

ALTER TABLE ONLY public.stripe_invoice_amounts
    ADD CONSTRAINT stripe_invoice_amounts_pkey PRIMARY KEY (stripe_invoice_id, number);

ALTER TABLE ONLY public.stripe_invoices
    ADD CONSTRAINT stripe_invoices_pkey PRIMARY KEY (invoice_id);

ALTER TABLE ONLY public.stripe_invoices
    ADD CONSTRAINT stripe_invoices_stripe_invoice_id_key UNIQUE (stripe_invoice_id);

ALTER TABLE ONLY public.stripe_money
    ADD CONSTRAINT stripe_money_id_key UNIQUE (id);

ALTER TABLE ONLY public.stripe_money
    ADD CONSTRAINT stripe_money_pkey PRIMARY KEY (object_id, number);

ALTER TABLE ONLY public.stripe_pace
    ADD CONSTRAINT stripe_pace_pkey PRIMARY KEY (bucket);

ALTER TABLE ONLY public.stripe_reconciliations
    ADD CONSTRAINT stripe_reconciliations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.stripe_repairs
    ADD CONSTRAINT stripe_repairs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sync_approvals
    ADD CONSTRAINT sync_approvals_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tax_customers
    ADD CONSTRAINT tax_customers_pkey PRIMARY KEY (organization_id, first_month);

ALTER TABLE ONLY public.tax_rates
    ADD CONSTRAINT tax_rates_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.term_changes
    ADD CONSTRAINT term_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.term_decisions
    ADD CONSTRAINT term_decisions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.threshold_checks
    ADD CONSTRAINT threshold_checks_pkey PRIMARY KEY (threshold_id, month);

ALTER TABLE ONLY public.usage_confirmations
    ADD CONSTRAINT usage_confirmations_pkey PRIMARY KEY (month);

ALTER TABLE ONLY public.usage_files
    ADD CONSTRAINT usage_files_pkey PRIMARY KEY (landing_day, path);

ALTER TABLE ONLY public.usage_rollups
    ADD CONSTRAINT usage_rollups_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.usage_rollups
    ADD CONSTRAINT usage_rollups_snapshot_id_meter_dimensions_segment_start_key UNIQUE (snapshot_id, meter, dimensions, segment_start);

ALTER TABLE ONLY public.usage_snapshots
    ADD CONSTRAINT usage_snapshots_id_organization_id_month_key UNIQUE (id, organization_id, month);

ALTER TABLE ONLY public.usage_snapshots
    ADD CONSTRAINT usage_snapshots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.usage_tables
    ADD CONSTRAINT usage_tables_first_version_key UNIQUE (first_version);

ALTER TABLE ONLY public.usage_tables
    ADD CONSTRAINT usage_tables_pkey PRIMARY KEY (generation);

ALTER TABLE ONLY public.workspace_records
    ADD CONSTRAINT workspace_records_pkey PRIMARY KEY (kind, record_id);

CREATE UNIQUE INDEX adjustments_are_billed_once ON public.invoice_items USING btree (adjustment_id) WHERE ((adjustment_id IS NOT NULL) AND (NOT is_void));

CREATE INDEX adjustments_credit_request_id_idx ON public.adjustments USING btree (credit_request_id) WHERE (credit_request_id IS NOT NULL);

CREATE INDEX adjustments_invoice_id_idx ON public.adjustments USING btree (invoice_id);

CREATE INDEX adjustments_organization_id_month_idx ON public.adjustments USING btree (organization_id, month);

CREATE INDEX adjustments_payer_id_month_idx ON public.adjustments USING btree (payer_id, month);

CREATE INDEX alerts_organization_id_id_idx ON public.alerts USING btree (organization_id, id) WHERE (organization_id IS NOT NULL);

CREATE INDEX alerts_waiting ON public.alerts USING btree (channel, next_try_at) WHERE ((taken_at IS NULL) AND (given_up_at IS NULL));

CREATE INDEX api_tokens_organization_id_idx ON public.api_tokens USING btree (organization_id);

CREATE UNIQUE INDEX changes_are_deferred_once ON public.revenue_deferrals USING btree (invoice_change_id, month) WHERE (invoice_change_id IS NOT NULL);

CREATE INDEX commitments_organization_id_idx ON public.commitments USING btree (organization_id);

CREATE INDEX corrected_snapshots_snapshot_id_idx ON public.corrected_snapshots USING btree (snapshot_id);

CREATE INDEX correction_approvals_month_currency_idx ON public.correction_approvals USING btree (month, currency);

CREATE INDEX correction_decisions_invoice_id_id_idx ON public.correction_decisions USING btree (invoice_id, id DESC);

CREATE INDEX correction_decisions_month_currency_idx ON public.correction_decisions USING btree (month, currency);

CREATE INDEX credit_expiries_credit_grant_id_id_idx ON public.credit_expiries USING btree (credit_grant_id, id);

CREATE INDEX credit_expiries_month_of_idx ON public.credit_expiries USING btree (public.month_of(recorded_at));

CREATE INDEX credit_grants_organization_id_idx ON public.credit_grants USING btree (organization_id);

CREATE UNIQUE INDEX credit_notes_are_deferred_once ON public.revenue_deferrals USING btree (stripe_money_id, month) WHERE (stripe_money_id IS NOT NULL);

CREATE UNIQUE INDEX credit_notes_are_posted_once ON public.ledger_transactions USING btree (credit_note_id) WHERE (credit_note_id IS NOT NULL);

CREATE INDEX credit_requests_state_idx ON public.credit_requests USING btree (state) WHERE (state = ANY (ARRAY['waiting'::text, 'pending'::text, 'unknown'::text]));

CREATE UNIQUE INDEX credits_are_posted_once ON public.ledger_transactions USING btree (credit_grant_id) WHERE (credit_grant_id IS NOT NULL);

CREATE INDEX customer_changes_of_organization ON public.customer_changes USING btree (organization_id, first_month);

CREATE UNIQUE INDEX expiries_are_posted_once ON public.ledger_transactions USING btree (credit_expiry_id) WHERE (credit_expiry_id IS NOT NULL);

CREATE UNIQUE INDEX invoice_changes_are_posted_once ON public.ledger_transactions USING btree (invoice_change_id) WHERE (invoice_change_id IS NOT NULL);

CREATE INDEX invoice_changes_invoice_id_id_idx ON public.invoice_changes USING btree (invoice_id, id);

CREATE INDEX invoice_item_rollups_item_id_idx ON public.invoice_item_rollups USING btree (item_id);

CREATE INDEX invoice_item_rollups_rollup_id_idx ON public.invoice_item_rollups USING btree (rollup_id);

CREATE INDEX invoice_items_adjustment_id_idx ON public.invoice_items USING btree (adjustment_id) WHERE (adjustment_id IS NOT NULL);

CREATE INDEX invoice_items_credit_grant_id_idx ON public.invoice_items USING btree (credit_grant_id) WHERE (credit_grant_id IS NOT NULL);

CREATE INDEX invoice_items_negotiated_price_id_idx ON public.invoice_items USING btree (negotiated_price_id) WHERE (negotiated_price_id IS NOT NULL);

CREATE INDEX invoice_items_one_off_item_id_idx ON public.invoice_items USING btree (one_off_item_id) WHERE (one_off_item_id IS NOT NULL);

CREATE INDEX invoice_items_price_id_idx ON public.invoice_items USING btree (price_id);

CREATE INDEX invoice_items_subscription_id_interval_end_idx ON public.invoice_items USING btree (subscription_id, interval_end) WHERE (subscription_id IS NOT NULL);

CREATE INDEX invoice_snapshots_snapshot_id_idx ON public.invoice_snapshots USING btree (snapshot_id);

CREATE INDEX invoice_tax_rates_tax_rate_id_idx ON public.invoice_tax_rates USING btree (tax_rate_id);

CREATE INDEX invoices_by_month ON public.invoices USING btree (month, status, currency) INCLUDE (total_cents);

CREATE INDEX invoices_usage_snapshot_id_idx ON public.invoices USING btree (usage_snapshot_id);

CREATE INDEX landed_months_month_idx ON public.landed_months USING btree (month);

CREATE INDEX negotiated_prices_book_key_idx ON public.negotiated_prices USING btree (book, key);

CREATE UNIQUE INDEX one_current_snapshot ON public.usage_snapshots USING btree (month, organization_id) WHERE is_current;

CREATE UNIQUE INDEX one_entry_each ON public.credit_entries USING btree (grant_id, kind, invoice_id) NULLS NOT DISTINCT WHERE (kind <> 'given_back'::text);

CREATE UNIQUE INDEX one_invoice_per_organization_and_month ON public.invoices USING btree (organization_id, month) WHERE (status <> 'void'::text);

COMMENT ON INDEX public.one_invoice_per_organization_and_month IS 'Billed or imported, whatever its revision: another invoice is possible only after this one is void.';

CREATE UNIQUE INDEX one_item_per_subscription_and_time ON public.invoice_items USING btree (invoice_id, subscription_id, period_start) NULLS NOT DISTINCT WHERE (subscription_id IS NOT NULL);

CREATE UNIQUE INDEX one_level_per_series ON public.carried_levels USING btree (month, organization_id, meter, md5(series));

CREATE UNIQUE INDEX one_off_items_are_billed_once ON public.invoice_items USING btree (one_off_item_id) WHERE ((one_off_item_id IS NOT NULL) AND (NOT is_void));

CREATE INDEX one_off_items_organization_id_occurred_at_idx ON public.one_off_items USING btree (organization_id, occurred_at);

CREATE INDEX organization_links_payer_id_idx ON public.organization_links USING btree (payer_id);

CREATE INDEX organizations_billing_group_idx ON public.organizations USING btree (billing_group);

CREATE INDEX price_group_members_organization_id_idx ON public.price_group_members USING btree (organization_id);

CREATE INDEX rejected_usage_landing_day_idx ON public.rejected_usage USING btree (landing_day) WHERE is_free;

CREATE INDEX rejected_usage_reason_idx ON public.rejected_usage USING btree (reason);

CREATE INDEX spend_alerts_organization_id_month_idx ON public.spend_alerts USING btree (organization_id, month);

CREATE INDEX spend_threshold_changes_threshold_id_id_idx ON public.spend_threshold_changes USING btree (threshold_id, id);

CREATE UNIQUE INDEX spend_thresholds_once ON public.spend_thresholds USING btree (organization_id, kind, subject, currency, amount_cents, percent) NULLS NOT DISTINCT;

CREATE UNIQUE INDEX spend_thresholds_one_cap ON public.spend_thresholds USING btree (organization_id) WHERE ((kind = 'cap'::text) AND (removed_at IS NULL));

CREATE UNIQUE INDEX stripe_amounts_are_posted_once ON public.ledger_transactions USING btree (stripe_amounts_id) WHERE (stripe_amounts_id IS NOT NULL);

CREATE INDEX stripe_attempts_idempotency_key_idx ON public.stripe_attempts USING btree (idempotency_key);

CREATE INDEX stripe_attempts_invoice_id_id_idx ON public.stripe_attempts USING btree (invoice_id, id);

CREATE INDEX stripe_events_code_idx ON public.stripe_events USING btree (code) WHERE ((alerted_at IS NULL) AND (code IS NOT NULL));

CREATE INDEX stripe_events_created_at_idx ON public.stripe_events USING btree (created_at) WHERE (outcome = 'waiting'::text);

CREATE INDEX stripe_events_invoice_id_created_at_idx ON public.stripe_events USING btree (invoice_id, created_at);

CREATE INDEX stripe_invoice_amounts_invoice_id_number_idx ON public.stripe_invoice_amounts USING btree (invoice_id, number);

CREATE INDEX stripe_invoice_amounts_organization_id_stripe_invoice_id_nu_idx ON public.stripe_invoice_amounts USING btree (organization_id, stripe_invoice_id, number);

CREATE INDEX stripe_invoices_state_idx ON public.stripe_invoices USING btree (state) WHERE (state <> 'finalized'::text);

CREATE INDEX stripe_money_invoice_id_idx ON public.stripe_money USING btree (invoice_id);

CREATE UNIQUE INDEX stripe_money_is_posted_once ON public.ledger_transactions USING btree (stripe_money_id, event) WHERE (stripe_money_id IS NOT NULL);

CREATE INDEX stripe_money_month_of_idx ON public.stripe_money USING btree (public.month_of(created_at));

CREATE INDEX stripe_money_organization_id_kind_id_idx ON public.stripe_money USING btree (organization_id, kind, id);

CREATE INDEX stripe_reconciliations_month_swept_at_idx ON public.stripe_reconciliations USING btree (month, swept_at DESC);

CREATE INDEX stripe_repairs_stripe_invoice_id_id_idx ON public.stripe_repairs USING btree (stripe_invoice_id, id);

CREATE INDEX subscriptions_organization_id_idx ON public.subscriptions USING btree (organization_id);

CREATE INDEX sync_approvals_month_currency_id_idx ON public.sync_approvals USING btree (month, currency, id);

CREATE INDEX tax_rates_organization_id_idx ON public.tax_rates USING btree (organization_id);

CREATE INDEX term_changes_first_month_idx ON public.term_changes USING btree (first_month);

CREATE INDEX term_decisions_invoice_id_idx ON public.term_decisions USING btree (invoice_id);

CREATE INDEX usage_files_source_idx ON public.usage_files USING btree (landing_day, regexp_replace(path, '[0-9]+'::text, '#'::text, 'g'::text));

CREATE OR REPLACE VIEW public.finance_credit_movements AS
 SELECT public.month_of(c.granted_at) AS month,
    c.currency,
    c.organization_id,
    c.credit_id,
    c.description,
    c.pays,
    'granted'::text AS movement,
    c.granted AS amount
   FROM public.finance_credits c
  WHERE (c.state <> 'upcoming'::text)
UNION ALL
 SELECT i.month,
    g.currency,
    g.organization_id,
    g.id AS credit_id,
    g.description,
    g.pays,
    'used'::text AS movement,
    (- sum(e.amount)) AS amount
   FROM ((public.credit_entries e
     JOIN public.credit_grants g ON ((g.id = e.grant_id)))
     JOIN public.invoices i ON ((i.id = e.invoice_id)))
  GROUP BY i.month, g.id
 HAVING (sum(e.amount) <> (0)::numeric)
UNION ALL
 SELECT public.month_of((c.expires_at - '00:00:00.000001'::interval)) AS month,
    c.currency,
    c.organization_id,
    c.credit_id,
    c.description,
    c.pays,
    'expired'::text AS movement,
    c.expired AS amount
   FROM public.finance_credits c
  WHERE (c.expired <> (0)::numeric);

CREATE OR REPLACE VIEW public.finance_history AS
 WITH changed_invoices AS (
         SELECT c.changed_at AS happened_at,
            c.changed_by AS person,
                CASE c.to_status
                    WHEN 'finalized'::text THEN 'finalized'::text
                    WHEN 'void'::text THEN 'voided'::text
                    WHEN 'uncollectible'::text THEN 'wrote off'::text
                    ELSE c.to_status
                END AS action,
            COALESCE(i.organization_id, c.removed_organization_id) AS organization_id,
            COALESCE(i.month, c.removed_month) AS first_month,
            COALESCE(i.month, c.removed_month) AS last_month,
            c.invoice_id,
            COALESCE(i.currency, c.removed_currency) AS currency,
            COALESCE(i.total_cents, c.removed_total_cents) AS amount_cents,
            NULL::numeric AS amount,
                CASE
                    WHEN (i.id IS NULL) THEN 'open invoice'::text
                    ELSE (('invoice '::text || i.number) ||
                    CASE
                        WHEN (i.revision > 0) THEN ((' (revision '::text || i.revision) || ')'::text)
                        ELSE ''::text
                    END)
                END AS subject,
            c.why AS reason
           FROM (public.invoice_changes c
             LEFT JOIN public.invoices i ON ((i.id = c.invoice_id)))
          WHERE (c.to_status <> 'open'::text)
        ), booked_adjustments AS (
         SELECT a.made_at,
            a.made_by,
            'rebilled'::text AS "?column?",
            a.payer_id,
            i.month,
            i.month,
            i.id,
            i.currency,
            NULL::bigint AS int8,
            sum(a.amount) AS sum,
            ((((('invoice '::text || i.number) || ': '::text) || count(*)) ||
                CASE
                    WHEN (count(*) = 1) THEN ' adjustment'::text
                    ELSE ' adjustments'::text
                END) ||
                CASE
                    WHEN (a.credit_note_id IS NOT NULL) THEN ' as a credit note'::text
                    WHEN (a.credit_request_id IS NOT NULL) THEN ' as a credit note at Stripe'::text
                    ELSE ' on the next invoice'::text
                END) AS "?column?",
            a.why
           FROM (public.adjustments a
             JOIN public.invoices i ON ((i.id = a.invoice_id)))
          GROUP BY a.made_at, a.made_by, a.payer_id, i.id, a.credit_note_id, a.credit_request_id, a.why
        ), booked_credit_notes AS (
         SELECT n.made_at,
            n.made_by,
            'credited'::text AS "?column?",
            i.organization_id,
            i.month,
            i.month,
            i.id,
            i.currency,
            n.amount_cents,
            NULL::numeric AS "numeric",
            ((('credit note '::text || n.number) || ' of invoice '::text) || i.number) AS "?column?",
            n.why
           FROM (public.credit_notes n
             JOIN public.invoices i ON ((i.id = n.invoice_id)))
        ), approved_totals AS (
         SELECT p.approved_at,
            p.approved_by,
            'approved'::text AS "?column?",
            NULL::text AS text,
            p.month,
            p.month,
            NULL::uuid AS uuid,
            p.currency,
            p.total_cents,
            NULL::numeric AS "numeric",
            'sync of the month''s total'::text AS "?column?",
            NULL::text AS text
           FROM public.sync_approvals p
        ), approved_corrections AS (
         SELECT p.approved_at,
            p.approved_by,
            'approved'::text AS "?column?",
            p.organization_id,
            p.month,
            p.month,
            NULL::uuid AS uuid,
            p.currency,
            NULL::bigint AS int8,
            (- p.total) AS "?column?",
            'corrections of final invoices'::text AS "?column?",
            p.why
           FROM public.correction_approvals p
        ), decided_corrections AS (
         SELECT d.decided_at,
            d.decided_by,
            d.decision,
            d.organization_id,
            d.month,
            d.month,
            d.invoice_id,
            d.currency,
            NULL::bigint AS int8,
            (d.charges - d.gives_back) AS "?column?",
            ('correction of invoice '::text || i.number) AS "?column?",
            d.reason
           FROM (public.correction_decisions d
             JOIN public.invoices i ON ((i.id = d.invoice_id)))
        ), changed_terms AS (
         SELECT c.changed_at,
            c.changed_by,
            'changed'::text AS "?column?",
            c.organization_id,
            c.first_month,
            c.last_month,
            NULL::uuid AS uuid,
            NULL::text AS text,
            NULL::bigint AS int8,
            NULL::numeric AS "numeric",
            (c.what ||
                CASE
                    WHEN (c.book IS NULL) THEN ''::text
                    ELSE ((' (price book '::text || c.book) || ')'::text)
                END) AS "?column?",
            NULL::text AS text
           FROM public.term_changes c
        ), kept_terms AS (
         SELECT d.decided_at,
            d.decided_by,
            'kept'::text AS "?column?",
            i.organization_id,
            i.month,
            i.month,
            i.id,
            i.currency,
            i.total_cents,
            NULL::numeric AS "numeric",
            (('invoice '::text || i.number) || ' although terms changed'::text) AS "?column?",
            d.why
           FROM (public.term_decisions d
             JOIN public.invoices i ON ((i.id = d.invoice_id)))
        ), at_stripe AS (
         SELECT
                CASE m.number
                    WHEN 1 THEN m.created_at
                    ELSE m.read_at
                END AS read_at,
            COALESCE(r.made_by, 'Stripe'::text) AS "coalesce",
                CASE m.kind
                    WHEN 'credit_note'::text THEN 'credited'::text
                    WHEN 'refund'::text THEN 'refunded'::text
                    WHEN 'dispute'::text THEN 'disputed'::text
                    ELSE 'adjusted'::text
                END AS "case",
            m.organization_id,
            COALESCE(i.month, public.month_of(m.created_at)) AS "coalesce",
            COALESCE(i.month, public.month_of(m.created_at)) AS "coalesce",
            m.invoice_id,
            m.currency,
            m.amount_cents,
            NULL::numeric AS "numeric",
            ((
                CASE m.kind
                    WHEN 'credit_note'::text THEN 'credit note at Stripe'::text
                    WHEN 'refund'::text THEN 'refund of a payment'::text
                    WHEN 'dispute'::text THEN 'dispute of a payment'::text
                    ELSE 'customer balance at Stripe'::text
                END ||
                CASE
                    WHEN (i.id IS NULL) THEN ''::text
                    ELSE (' of invoice '::text || i.number)
                END) ||
                CASE m.kind
                    WHEN 'customer_balance_transaction'::text THEN ''::text
                    ELSE (': '::text || m.status)
                END) AS "?column?",
            COALESCE(r.why, m.reason) AS "coalesce"
           FROM ((public.stripe_money m
             LEFT JOIN public.invoices i ON ((i.id = m.invoice_id)))
             LEFT JOIN public.credit_requests r ON ((r.stripe_credit_note_id = m.object_id)))
          WHERE ((m.kind <> 'customer_balance_transaction'::text) OR (m.status = 'adjustment'::text))
        ), approved_credits AS (
         SELECT r.approved_at,
            r.approved_by,
            'approved'::text AS "?column?",
            i.organization_id,
            i.month,
            i.month,
            i.id,
            i.currency,
            r.amount_cents,
            NULL::numeric AS "numeric",
            ('credit note at Stripe of invoice '::text || i.number) AS "?column?",
            r.why
           FROM (public.credit_requests r
             JOIN public.invoices i ON ((i.id = r.invoice_id)))
          WHERE (r.approved_at IS NOT NULL)
        ), changed_customers AS (
         SELECT c.changed_at,
            c.changed_by,
            c.action,
            c.organization_id,
            c.first_month,
            c.first_month,
            NULL::uuid AS uuid,
            NULL::text AS text,
            NULL::bigint AS int8,
            NULL::numeric AS "numeric",
            c.what,
            c.why
           FROM public.customer_changes c
        ), withdrawn_credits AS (
         SELECT r.withdrawn_at,
            r.withdrawn_by,
            'withdrawn'::text AS "?column?",
            i.organization_id,
            i.month,
            i.month,
            i.id,
            i.currency,
            r.amount_cents,
            NULL::numeric AS "numeric",
            ('credit note at Stripe of invoice '::text || i.number) AS "?column?",
            r.withdrawn_because
           FROM (public.credit_requests r
             JOIN public.invoices i ON ((i.id = r.invoice_id)))
          WHERE (r.withdrawn_at IS NOT NULL)
        ), waived_rows AS (
         SELECT w.waived_at,
            w.waived_by,
            r.organization_id,
            public.month_of(COALESCE(r.happened_at, ((w.landing_day AT TIME ZONE 'UTC'::text))::timestamp with time zone)) AS month,
            ((((count(*) ||
                CASE
                    WHEN (count(*) = 1) THEN ' rejected row of '::text
                    ELSE ' rejected rows of '::text
                END) || w.landing_day) || ': '::text) || w.reason) AS subject,
            w.because
           FROM (public.rejected_usage_waivers w
             LEFT JOIN public.rejected_usage r ON (((r.landing_day = w.landing_day) AND (r.path = w.path) AND (r.line = w.line) AND (r.reason = w.reason))))
          GROUP BY w.waived_at, w.waived_by, r.organization_id, (public.month_of(COALESCE(r.happened_at, ((w.landing_day AT TIME ZONE 'UTC'::text))::timestamp with time zone))), w.landing_day, w.reason, w.because
        )
 SELECT changed_invoices.happened_at,
    changed_invoices.person,
    changed_invoices.action,
    changed_invoices.organization_id,
    changed_invoices.first_month,
    changed_invoices.last_month,
    changed_invoices.invoice_id,
    changed_invoices.currency,
    changed_invoices.amount_cents,
    changed_invoices.amount,
    changed_invoices.subject,
    changed_invoices.reason
   FROM changed_invoices
UNION ALL
 SELECT booked_adjustments.made_at AS happened_at,
    booked_adjustments.made_by AS person,
    booked_adjustments."?column?" AS action,
    booked_adjustments.payer_id AS organization_id,
    booked_adjustments.month AS first_month,
    booked_adjustments.month_1 AS last_month,
    booked_adjustments.id AS invoice_id,
    booked_adjustments.currency,
    booked_adjustments.int8 AS amount_cents,
    booked_adjustments.sum AS amount,
    booked_adjustments."?column?_1" AS subject,
    booked_adjustments.why AS reason
   FROM booked_adjustments booked_adjustments(made_at, made_by, "?column?", payer_id, month, month_1, id, currency, int8, sum, "?column?_1", why)
UNION ALL
 SELECT booked_credit_notes.made_at AS happened_at,
    booked_credit_notes.made_by AS person,
    booked_credit_notes."?column?" AS action,
    booked_credit_notes.organization_id,
    booked_credit_notes.month AS first_month,
    booked_credit_notes.month_1 AS last_month,
    booked_credit_notes.id AS invoice_id,
    booked_credit_notes.currency,
    booked_credit_notes.amount_cents,
    booked_credit_notes."numeric" AS amount,
    booked_credit_notes."?column?_1" AS subject,
    booked_credit_notes.why AS reason
   FROM booked_credit_notes booked_credit_notes(made_at, made_by, "?column?", organization_id, month, month_1, id, currency, amount_cents, "numeric", "?column?_1", why)
UNION ALL
 SELECT approved_totals.approved_at AS happened_at,
    approved_totals.approved_by AS person,
    approved_totals."?column?" AS action,
    approved_totals.text AS organization_id,
    approved_totals.month AS first_month,
    approved_totals.month_1 AS last_month,
    approved_totals.uuid AS invoice_id,
    approved_totals.currency,
    approved_totals.total_cents AS amount_cents,
    approved_totals."numeric" AS amount,
    approved_totals."?column?_1" AS subject,
    approved_totals.text_1 AS reason
   FROM approved_totals approved_totals(approved_at, approved_by, "?column?", text, month, month_1, uuid, currency, total_cents, "numeric", "?column?_1", text_1)
UNION ALL
 SELECT approved_corrections.approved_at AS happened_at,
    approved_corrections.approved_by AS person,
    approved_corrections."?column?" AS action,
    approved_corrections.organization_id,
    approved_corrections.month AS first_month,
    approved_corrections.month_1 AS last_month,
    approved_corrections.uuid AS invoice_id,
    approved_corrections.currency,
    approved_corrections.int8 AS amount_cents,
    approved_corrections."?column?_1" AS amount,
    approved_corrections."?column?_2" AS subject,
    approved_corrections.why AS reason
   FROM approved_corrections approved_corrections(approved_at, approved_by, "?column?", organization_id, month, month_1, uuid, currency, int8, "?column?_1", "?column?_2", why)
UNION ALL
 SELECT decided_corrections.decided_at AS happened_at,
    decided_corrections.decided_by AS person,
    decided_corrections.decision AS action,
    decided_corrections.organization_id,
    decided_corrections.month AS first_month,
    decided_corrections.month_1 AS last_month,
    decided_corrections.invoice_id,
    decided_corrections.currency,
    decided_corrections.int8 AS amount_cents,
    decided_corrections."?column?" AS amount,
    decided_corrections."?column?_1" AS subject,
    decided_corrections.reason
   FROM decided_corrections decided_corrections(decided_at, decided_by, decision, organization_id, month, month_1, invoice_id, currency, int8, "?column?", "?column?_1", reason)
UNION ALL
 SELECT changed_terms.changed_at AS happened_at,
    changed_terms.changed_by AS person,
    changed_terms."?column?" AS action,
    changed_terms.organization_id,
    changed_terms.first_month,
    changed_terms.last_month,
    changed_terms.uuid AS invoice_id,
    changed_terms.text AS currency,
    changed_terms.int8 AS amount_cents,
    changed_terms."numeric" AS amount,
    changed_terms."?column?_1" AS subject,
    changed_terms.text_1 AS reason
   FROM changed_terms changed_terms(changed_at, changed_by, "?column?", organization_id, first_month, last_month, uuid, text, int8, "numeric", "?column?_1", text_1)
UNION ALL
 SELECT kept_terms.decided_at AS happened_at,
    kept_terms.decided_by AS person,
    kept_terms."?column?" AS action,
    kept_terms.organization_id,
    kept_terms.month AS first_month,
    kept_terms.month_1 AS last_month,
    kept_terms.id AS invoice_id,
    kept_terms.currency,
    kept_terms.total_cents AS amount_cents,
    kept_terms."numeric" AS amount,
    kept_terms."?column?_1" AS subject,
    kept_terms.why AS reason
   FROM kept_terms kept_terms(decided_at, decided_by, "?column?", organization_id, month, month_1, id, currency, total_cents, "numeric", "?column?_1", why)
UNION ALL
 SELECT at_stripe.read_at AS happened_at,
    at_stripe."coalesce" AS person,
    at_stripe."case" AS action,
    at_stripe.organization_id,
    at_stripe.coalesce_1 AS first_month,
    at_stripe.coalesce_2 AS last_month,
    at_stripe.invoice_id,
    at_stripe.currency,
    at_stripe.amount_cents,
    at_stripe."numeric" AS amount,
    at_stripe."?column?" AS subject,
    at_stripe.coalesce_3 AS reason
   FROM at_stripe at_stripe(read_at, "coalesce", "case", organization_id, coalesce_1, coalesce_2, invoice_id, currency, amount_cents, "numeric", "?column?", coalesce_3)
UNION ALL
 SELECT approved_credits.approved_at AS happened_at,
    approved_credits.approved_by AS person,
    approved_credits."?column?" AS action,
    approved_credits.organization_id,
    approved_credits.month AS first_month,
    approved_credits.month_1 AS last_month,
    approved_credits.id AS invoice_id,
    approved_credits.currency,
    approved_credits.amount_cents,
    approved_credits."numeric" AS amount,
    approved_credits."?column?_1" AS subject,
    approved_credits.why AS reason
   FROM approved_credits approved_credits(approved_at, approved_by, "?column?", organization_id, month, month_1, id, currency, amount_cents, "numeric", "?column?_1", why)
UNION ALL
 SELECT withdrawn_credits.withdrawn_at AS happened_at,
    withdrawn_credits.withdrawn_by AS person,
    withdrawn_credits."?column?" AS action,
    withdrawn_credits.organization_id,
    withdrawn_credits.month AS first_month,
    withdrawn_credits.month_1 AS last_month,
    withdrawn_credits.id AS invoice_id,
    withdrawn_credits.currency,
    withdrawn_credits.amount_cents,
    withdrawn_credits."numeric" AS amount,
    withdrawn_credits."?column?_1" AS subject,
    withdrawn_credits.withdrawn_because AS reason
   FROM withdrawn_credits withdrawn_credits(withdrawn_at, withdrawn_by, "?column?", organization_id, month, month_1, id, currency, amount_cents, "numeric", "?column?_1", withdrawn_because)
UNION ALL
 SELECT changed_customers.changed_at AS happened_at,
    changed_customers.changed_by AS person,
    changed_customers.action,
    changed_customers.organization_id,
    changed_customers.first_month,
    changed_customers.first_month_1 AS last_month,
    changed_customers.uuid AS invoice_id,
    changed_customers.text AS currency,
    changed_customers.int8 AS amount_cents,
    changed_customers."numeric" AS amount,
    changed_customers.what AS subject,
    changed_customers.why AS reason
   FROM changed_customers changed_customers(changed_at, changed_by, action, organization_id, first_month, first_month_1, uuid, text, int8, "numeric", what, why)
UNION ALL
 SELECT waived_rows.waived_at AS happened_at,
    waived_rows.waived_by AS person,
    'waived'::text AS action,
    waived_rows.organization_id,
    waived_rows.month AS first_month,
    waived_rows.month AS last_month,
    NULL::uuid AS invoice_id,
    NULL::text AS currency,
    NULL::bigint AS amount_cents,
    NULL::numeric AS amount,
    waived_rows.subject,
    waived_rows.because AS reason
   FROM waived_rows;

CREATE OR REPLACE VIEW public.organization_spend AS
 SELECT i.organization_id,
    i.month,
    i.currency,
    i.status,
    i.total_cents,
    i.computed_at
   FROM public.invoices i
  WHERE (i.status <> 'void'::text)
UNION ALL
 SELECT l.organization_id,
    i.month,
    i.currency,
    i.status,
    (sum(t.amount_cents))::bigint AS total_cents,
    i.computed_at
   FROM ((public.organization_links l
     JOIN public.invoices i ON (((i.organization_id = l.payer_id) AND (i.status <> 'void'::text) AND (daterange(l.first_month, l.last_month, '[]'::text) @> i.month))))
     JOIN public.invoice_items t ON (((t.invoice_id = i.id) AND (t.organization_id = l.organization_id))))
  GROUP BY l.organization_id, i.id;

CREATE TRIGGER fill_one_off_amount BEFORE INSERT ON public.one_off_items FOR EACH ROW EXECUTE FUNCTION public.fill_one_off_amount();

CREATE TRIGGER follow_invoice_change AFTER UPDATE ON public.invoices FOR EACH ROW WHEN ((old.status <> new.status)) EXECUTE FUNCTION public.follow_invoice_change();

CREATE TRIGGER give_back_credit AFTER INSERT ON public.adjustments REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.give_back_credit();

CREATE TRIGGER grant_credit AFTER INSERT ON public.credit_grants FOR EACH ROW EXECUTE FUNCTION public.grant_credit();

CREATE TRIGGER keep_invoice_details AFTER UPDATE ON public.invoices REFERENCING OLD TABLE AS old_invoices NEW TABLE AS new_invoices FOR EACH STATEMENT EXECUTE FUNCTION public.keep_invoice_details();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER keep_invoice_details;

CREATE TRIGGER keep_what_held AFTER UPDATE ON public.organizations FOR EACH ROW WHEN (((old.currency IS DISTINCT FROM new.currency) OR (old.price_book IS DISTINCT FROM new.price_book))) EXECUTE FUNCTION public.keep_what_held();

CREATE TRIGGER name_payer BEFORE INSERT ON public.adjustments FOR EACH ROW EXECUTE FUNCTION public.name_payer();

CREATE TRIGGER note_term_change AFTER INSERT OR DELETE OR UPDATE ON public.commitments FOR EACH ROW EXECUTE FUNCTION public.note_term_change('commitment', 'description', 'last_month');

CREATE TRIGGER note_term_change AFTER INSERT OR DELETE OR UPDATE ON public.discounts FOR EACH ROW EXECUTE FUNCTION public.note_term_change('discount', 'coupon_code', 'last_month');

CREATE TRIGGER note_term_change AFTER INSERT OR DELETE OR UPDATE ON public.negotiated_prices FOR EACH ROW EXECUTE FUNCTION public.note_negotiated_change();

CREATE TRIGGER note_term_change AFTER INSERT OR DELETE OR UPDATE ON public.price_group_members FOR EACH ROW EXECUTE FUNCTION public.note_negotiated_change();

CREATE TRIGGER note_term_change AFTER INSERT OR DELETE OR UPDATE ON public.prices FOR EACH ROW EXECUTE FUNCTION public.note_term_change('price', 'key', 'effective_until');

CREATE TRIGGER note_term_change AFTER INSERT OR DELETE OR UPDATE ON public.subscriptions FOR EACH ROW EXECUTE FUNCTION public.note_term_change('subscription', 'price_key', 'ended_at');

CREATE TRIGGER number_invoice BEFORE UPDATE ON public.invoices FOR EACH ROW WHEN (((old.status = 'open'::text) AND (new.status <> 'open'::text))) EXECUTE FUNCTION public.number_invoice();

CREATE TRIGGER post_credit_expiries AFTER INSERT ON public.credit_expiries REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.post_credit_expiries();

CREATE CONSTRAINT TRIGGER post_credit_note AFTER INSERT ON public.credit_notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.post_credit_note();

CREATE TRIGGER post_invoice_changes AFTER UPDATE ON public.invoices REFERENCING OLD TABLE AS old_invoices NEW TABLE AS new_invoices FOR EACH STATEMENT EXECUTE FUNCTION public.post_invoice_changes();

CREATE TRIGGER post_prepaid_credits AFTER INSERT ON public.credit_grants REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.post_prepaid_credits();

CREATE TRIGGER post_stripe_amounts AFTER INSERT ON public.stripe_invoice_amounts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.post_stripe_amounts();

CREATE TRIGGER post_stripe_money AFTER INSERT ON public.stripe_money REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.post_stripe_money();

CREATE TRIGGER record_threshold_change AFTER INSERT OR UPDATE ON public.spend_thresholds FOR EACH ROW EXECUTE FUNCTION public.record_threshold_change();

ALTER TABLE public.spend_thresholds ENABLE ALWAYS TRIGGER record_threshold_change;

CREATE TRIGGER refuse_amount_change BEFORE UPDATE ON public.credit_grants FOR EACH ROW EXECUTE FUNCTION public.refuse_amount_change();

ALTER TABLE public.credit_grants ENABLE ALWAYS TRIGGER refuse_amount_change;

CREATE TRIGGER refuse_billed_snapshot_deletion AFTER DELETE ON public.usage_snapshots REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_billed_snapshot_deletion();

ALTER TABLE public.usage_snapshots ENABLE ALWAYS TRIGGER refuse_billed_snapshot_deletion;

CREATE TRIGGER refuse_change_of_details BEFORE DELETE OR UPDATE ON public.invoice_details FOR EACH ROW EXECUTE FUNCTION public.refuse_change_of_details();

ALTER TABLE public.invoice_details ENABLE ALWAYS TRIGGER refuse_change_of_details;

CREATE TRIGGER refuse_change_of_finalized BEFORE UPDATE ON public.stripe_invoices FOR EACH ROW WHEN (((old.state = 'finalized'::text) AND (new.generation = old.generation))) EXECUTE FUNCTION public.refuse_other_change('{run_id,updated_at,alerted_code}');

ALTER TABLE public.stripe_invoices ENABLE ALWAYS TRIGGER refuse_change_of_finalized;

CREATE TRIGGER refuse_change_of_given_up BEFORE UPDATE ON public.alerts FOR EACH ROW WHEN ((old.given_up_at IS NOT NULL)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.alerts ENABLE ALWAYS TRIGGER refuse_change_of_given_up;

CREATE TRIGGER refuse_change_of_settled BEFORE UPDATE ON public.credit_requests FOR EACH ROW WHEN ((old.state = ANY (ARRAY['issued'::text, 'withdrawn'::text]))) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.credit_requests ENABLE ALWAYS TRIGGER refuse_change_of_settled;

CREATE TRIGGER refuse_change_of_settled BEFORE UPDATE ON public.stripe_events FOR EACH ROW WHEN ((old.outcome <> 'waiting'::text)) EXECUTE FUNCTION public.refuse_other_change('{alerted_at,recovery_told_at}');

ALTER TABLE public.stripe_events ENABLE ALWAYS TRIGGER refuse_change_of_settled;

CREATE TRIGGER refuse_change_of_taken BEFORE UPDATE ON public.alerts FOR EACH ROW WHEN ((old.taken_at IS NOT NULL)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.alerts ENABLE ALWAYS TRIGGER refuse_change_of_taken;

CREATE TRIGGER refuse_closed_month BEFORE INSERT ON public.revenue_deferrals FOR EACH ROW EXECUTE FUNCTION public.refuse_closed_month();

ALTER TABLE public.revenue_deferrals ENABLE ALWAYS TRIGGER refuse_closed_month;

CREATE TRIGGER refuse_delete_from_finalized AFTER DELETE ON public.invoice_commitments REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_commitments ENABLE ALWAYS TRIGGER refuse_delete_from_finalized;

CREATE TRIGGER refuse_delete_from_finalized AFTER DELETE ON public.invoice_item_rollups REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_item_rollups ENABLE ALWAYS TRIGGER refuse_delete_from_finalized;

CREATE TRIGGER refuse_delete_from_finalized AFTER DELETE ON public.invoice_items REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_items ENABLE ALWAYS TRIGGER refuse_delete_from_finalized;

CREATE TRIGGER refuse_delete_from_finalized AFTER DELETE ON public.invoice_snapshots REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_snapshots ENABLE ALWAYS TRIGGER refuse_delete_from_finalized;

CREATE TRIGGER refuse_delete_from_finalized AFTER DELETE ON public.invoice_tax_rates REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_tax_rates ENABLE ALWAYS TRIGGER refuse_delete_from_finalized;

CREATE TRIGGER refuse_delete_from_finalized AFTER DELETE ON public.invoice_taxes REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_taxes ENABLE ALWAYS TRIGGER refuse_delete_from_finalized;

CREATE TRIGGER refuse_delete_of_billed AFTER DELETE ON public.usage_rollups REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_billed_rollup_change();

ALTER TABLE public.usage_rollups ENABLE ALWAYS TRIGGER refuse_delete_of_billed;

CREATE TRIGGER refuse_delete_of_part AFTER DELETE ON public.carried_levels REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_part_of_carried_month();

ALTER TABLE public.carried_levels ENABLE ALWAYS TRIGGER refuse_delete_of_part;

CREATE TRIGGER refuse_delete_without_landing AFTER DELETE ON public.rejected_usage REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change_without_landing();

ALTER TABLE public.rejected_usage ENABLE ALWAYS TRIGGER refuse_delete_without_landing;

CREATE TRIGGER refuse_delete_without_landing AFTER DELETE ON public.usage_files REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change_without_landing();

ALTER TABLE public.usage_files ENABLE ALWAYS TRIGGER refuse_delete_without_landing;

CREATE TRIGGER refuse_end_before_billed BEFORE UPDATE ON public.commitments FOR EACH ROW WHEN ((new.last_month IS DISTINCT FROM old.last_month)) EXECUTE FUNCTION public.refuse_end_before_billed('commitment', 'description');

ALTER TABLE public.commitments ENABLE ALWAYS TRIGGER refuse_end_before_billed;

CREATE TRIGGER refuse_end_before_billed BEFORE UPDATE ON public.credit_grants FOR EACH ROW WHEN ((new.expires_at IS DISTINCT FROM old.expires_at)) EXECUTE FUNCTION public.refuse_end_before_billed('credit', 'description');

ALTER TABLE public.credit_grants ENABLE ALWAYS TRIGGER refuse_end_before_billed;

CREATE TRIGGER refuse_end_before_billed BEFORE UPDATE ON public.discounts FOR EACH ROW WHEN ((new.last_month IS DISTINCT FROM old.last_month)) EXECUTE FUNCTION public.refuse_end_before_billed('discount', 'coupon_code');

ALTER TABLE public.discounts ENABLE ALWAYS TRIGGER refuse_end_before_billed;

CREATE TRIGGER refuse_final_invoice_of_linked BEFORE UPDATE ON public.invoices FOR EACH ROW WHEN (((old.status = 'open'::text) AND (new.status <> 'open'::text))) EXECUTE FUNCTION public.refuse_final_invoice_of_linked();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_final_invoice_of_linked;

CREATE TRIGGER refuse_finalized_invoice_change BEFORE DELETE OR UPDATE ON public.invoices FOR EACH ROW EXECUTE FUNCTION public.refuse_finalized_invoice_change();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_finalized_invoice_change;

CREATE TRIGGER refuse_insert_into_finalized AFTER INSERT ON public.invoice_item_rollups REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_item_rollups ENABLE ALWAYS TRIGGER refuse_insert_into_finalized;

CREATE TRIGGER refuse_insert_into_finalized AFTER INSERT ON public.invoice_items REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_items ENABLE ALWAYS TRIGGER refuse_insert_into_finalized;

CREATE TRIGGER refuse_insert_into_finalized AFTER INSERT ON public.invoice_snapshots REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_snapshots ENABLE ALWAYS TRIGGER refuse_insert_into_finalized;

CREATE TRIGGER refuse_insert_into_finalized AFTER INSERT ON public.invoice_tax_rates REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_tax_rates ENABLE ALWAYS TRIGGER refuse_insert_into_finalized;

CREATE TRIGGER refuse_insert_into_finalized AFTER INSERT ON public.invoice_taxes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_taxes ENABLE ALWAYS TRIGGER refuse_insert_into_finalized;

CREATE TRIGGER refuse_insert_of_billed AFTER INSERT ON public.usage_rollups REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_billed_rollup_change();

ALTER TABLE public.usage_rollups ENABLE ALWAYS TRIGGER refuse_insert_of_billed;

CREATE TRIGGER refuse_insert_of_part AFTER INSERT ON public.carried_levels REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_part_of_carried_month();

ALTER TABLE public.carried_levels ENABLE ALWAYS TRIGGER refuse_insert_of_part;

CREATE TRIGGER refuse_invoice_born_finalized BEFORE INSERT ON public.invoices FOR EACH ROW WHEN ((new.status <> 'open'::text)) EXECUTE FUNCTION public.refuse_invoice_born_finalized();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_invoice_born_finalized;

CREATE TRIGGER refuse_later_creation BEFORE UPDATE ON public.organizations FOR EACH ROW WHEN ((new.created_at > old.created_at)) EXECUTE FUNCTION public.refuse_later_creation();

ALTER TABLE public.organizations ENABLE ALWAYS TRIGGER refuse_later_creation;

CREATE TRIGGER refuse_later_revocation BEFORE UPDATE ON public.api_tokens FOR EACH ROW WHEN ((old.revoked_at IS NOT NULL)) EXECUTE FUNCTION public.refuse_later_revocation();

ALTER TABLE public.api_tokens ENABLE ALWAYS TRIGGER refuse_later_revocation;

CREATE TRIGGER refuse_move BEFORE UPDATE ON public.carried_months FOR EACH ROW WHEN ((new.month <> old.month)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.carried_months ENABLE ALWAYS TRIGGER refuse_move;

CREATE TRIGGER refuse_move BEFORE UPDATE ON public.invoice_commitments FOR EACH ROW WHEN (((new.invoice_id <> old.invoice_id) OR (new.commitment_id <> old.commitment_id))) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.invoice_commitments ENABLE ALWAYS TRIGGER refuse_move;

CREATE TRIGGER refuse_move BEFORE UPDATE ON public.landed_months FOR EACH ROW WHEN (((new.landing_day <> old.landing_day) OR (new.month <> old.month))) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.landed_months ENABLE ALWAYS TRIGGER refuse_move;

CREATE TRIGGER refuse_move BEFORE UPDATE ON public.landing_days FOR EACH ROW WHEN ((new.landing_day <> old.landing_day)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.landing_days ENABLE ALWAYS TRIGGER refuse_move;

CREATE TRIGGER refuse_older_generation BEFORE UPDATE ON public.stripe_invoices FOR EACH ROW WHEN ((new.generation < old.generation)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.stripe_invoices ENABLE ALWAYS TRIGGER refuse_older_generation;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.alerts FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{next_try_at,refusals,last_refusal,taken_at,given_up_at,is_withdrawn}');

ALTER TABLE public.alerts ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.api_tokens FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{revoked_at,revoked_by}');

ALTER TABLE public.api_tokens ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.credit_requests FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{approved_by,approved_at,state,generation,unpaid_cents,taxes,stripe_credit_note_id,failure,updated_at,withdrawn_by,withdrawn_because,withdrawn_at}');

ALTER TABLE public.credit_requests ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE UPDATE ON public.rejected_usage FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{is_free}');

ALTER TABLE public.rejected_usage ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.spend_thresholds FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{removed_at}');

ALTER TABLE public.spend_thresholds ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.stripe_attempts FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{answered_at,outcome,http_status,stripe_request_id,error_code,error_message}');

ALTER TABLE public.stripe_attempts ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.stripe_events FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{outcome,reason,code,customer_text,operator_text,alerted_at,recovery_told_at}');

ALTER TABLE public.stripe_events ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.stripe_invoices FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{state,step,generation,stripe_invoice_id,stripe_total_cents,stripe_due_cents,stripe_balance_cents,hosted_invoice_url,invoice_pdf_url,stripe_number,stripe_due_on,failure_code,failure_customer_text,failure_operator_text,retryable,run_id,updated_at,finalized_at,alerted_code}');

ALTER TABLE public.stripe_invoices ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.stripe_repairs FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{answered_at,outcome,http_status,stripe_request_id,error_code,error_message}');

ALTER TABLE public.stripe_repairs ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE UPDATE ON public.usage_snapshots FOR EACH ROW WHEN ((((((new.id IS DISTINCT FROM old.id) OR (new.organization_id IS DISTINCT FROM old.organization_id)) OR (new.month IS DISTINCT FROM old.month)) OR (new.fingerprint IS DISTINCT FROM old.fingerprint)) OR (new.events IS DISTINCT FROM old.events))) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.usage_snapshots ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_change BEFORE DELETE OR UPDATE ON public.usage_tables FOR EACH ROW EXECUTE FUNCTION public.refuse_other_change('{acknowledged,lost_after}');

ALTER TABLE public.usage_tables ENABLE ALWAYS TRIGGER refuse_other_change;

CREATE TRIGGER refuse_other_currency BEFORE INSERT OR UPDATE OF currency, organization_id, amount ON public.commitments FOR EACH ROW EXECUTE FUNCTION public.refuse_other_currency('commitment');

ALTER TABLE public.commitments ENABLE ALWAYS TRIGGER refuse_other_currency;

CREATE TRIGGER refuse_other_currency BEFORE INSERT ON public.credit_grants FOR EACH ROW EXECUTE FUNCTION public.refuse_other_currency('credit');

ALTER TABLE public.credit_grants ENABLE ALWAYS TRIGGER refuse_other_currency;

CREATE TRIGGER refuse_overdrawn_credit AFTER INSERT ON public.credit_entries FOR EACH ROW WHEN ((new.kind = 'drawn'::text)) EXECUTE FUNCTION public.refuse_overdrawn_credit();

ALTER TABLE public.credit_entries ENABLE ALWAYS TRIGGER refuse_overdrawn_credit;

CREATE TRIGGER refuse_paid_at_change BEFORE UPDATE OF paid_at ON public.invoices FOR EACH ROW WHEN (((old.status = 'paid'::text) AND (new.status = 'paid'::text) AND (new.paid_at <> old.paid_at))) EXECUTE FUNCTION public.refuse_paid_at_change();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_paid_at_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.accounting_periods FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.accounting_periods ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.adjustments FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.adjustments ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE UPDATE ON public.carried_levels FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.carried_levels ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.correction_approvals FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.correction_approvals ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.correction_decisions FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.correction_decisions ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.credit_entries FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.credit_entries ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.credit_expiries FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.credit_expiries ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.credit_notes FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.credit_notes ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.customer_changes FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.customer_changes ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.first_alerts FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.first_alerts ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.invoice_changes FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.invoice_changes ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE ON public.landed_months FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.landed_months ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE ON public.landing_days FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.landing_days ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.ledger_entries FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.ledger_entries ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.ledger_transactions FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.ledger_transactions ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.months_with_random_ids FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.months_with_random_ids ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.organization_history FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.organization_history ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.page_link_revocations FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.page_link_revocations ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.rejected_usage_waivers FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.rejected_usage_waivers ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.revenue_deferrals FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.revenue_deferrals ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.spend_alerts FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.spend_alerts ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.spend_cap_calls FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.spend_cap_calls ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.spend_threshold_changes FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.spend_threshold_changes ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE UPDATE ON public.stripe_attempts FOR EACH ROW WHEN ((old.outcome IS NOT NULL)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.stripe_attempts ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.stripe_invoice_amounts FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.stripe_invoice_amounts ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.stripe_money FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.stripe_money ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.stripe_reconciliations FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.stripe_reconciliations ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE UPDATE ON public.stripe_repairs FOR EACH ROW WHEN ((old.outcome IS NOT NULL)) EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.stripe_repairs ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.sync_approvals FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.sync_approvals ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.term_changes FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.term_changes ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_record_change BEFORE DELETE OR UPDATE ON public.term_decisions FOR EACH ROW EXECUTE FUNCTION public.refuse_record_change();

ALTER TABLE public.term_decisions ENABLE ALWAYS TRIGGER refuse_record_change;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.accounting_periods FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.accounting_periods ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.adjustments FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.adjustments ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.alert_addresses FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.alert_addresses ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.alert_unsubscriptions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.alert_unsubscriptions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.alerts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.alerts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.api_tokens FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.api_tokens ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.billing_details FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.billing_details ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.billing_failures FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.billing_failures ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.billing_recoveries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.billing_recoveries ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.carried_levels FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.carried_levels ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.carried_months FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.carried_months ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.commitments FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.commitments ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.corrected_snapshots FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.corrected_snapshots ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.correction_approvals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.correction_approvals ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.correction_decisions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.correction_decisions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.coupons FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.coupons ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.credit_entries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.credit_entries ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.credit_expiries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.credit_expiries ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.credit_grants FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.credit_grants ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.credit_notes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.credit_notes ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.credit_requests FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.credit_requests ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.customer_changes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.customer_changes ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.discounts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.discounts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.failed_checks FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.failed_checks ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.first_alerts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.first_alerts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_changes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_changes ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_commitments FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_commitments ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_confirmations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_confirmations ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_details FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_details ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_item_rollups FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_item_rollups ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_items FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_items ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_snapshots FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_snapshots ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_tax_rates FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_tax_rates ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoice_taxes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoice_taxes ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.invoices FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.landed_months FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.landed_months ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.landing_days FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.landing_days ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.ledger_entries ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.ledger_transactions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.ledger_transactions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.meters FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.meters ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.months_with_random_ids FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.months_with_random_ids ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.negotiated_prices FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.negotiated_prices ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.one_off_items FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.one_off_items ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.organization_history FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.organization_history ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.organization_links FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.organization_links ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.organizations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.organizations ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.page_link_revocations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.page_link_revocations ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.price_group_members FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.price_group_members ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.prices FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.prices ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.rejected_usage FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.rejected_usage ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.rejected_usage_waivers FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.rejected_usage_waivers ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.revenue_deferrals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.revenue_deferrals ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.rollup_failures FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.rollup_failures ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.spend_alerts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.spend_alerts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.spend_cap_calls FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.spend_cap_calls ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.spend_threshold_changes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.spend_threshold_changes ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.spend_thresholds FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.spend_thresholds ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_attempts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_attempts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_customers FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_customers ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_events ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_events_polled FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_events_polled ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_invoice_amounts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_invoice_amounts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_invoices FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_invoices ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_money FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_money ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_reconciliations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_reconciliations ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.stripe_repairs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.stripe_repairs ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.subscriptions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.subscriptions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.sync_approvals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.sync_approvals ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.tax_customers FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.tax_customers ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.tax_rates FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.tax_rates ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.term_changes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.term_changes ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.term_decisions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.term_decisions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.threshold_checks FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.threshold_checks ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.usage_confirmations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.usage_confirmations ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.usage_files FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.usage_files ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.usage_rollups FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.usage_rollups ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.usage_snapshots FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.usage_snapshots ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.usage_tables FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.usage_tables ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.workspace_records FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate();

ALTER TABLE public.workspace_records ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TRIGGER refuse_unbalanced_deferrals AFTER INSERT ON public.revenue_deferrals REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_unbalanced_deferrals();

ALTER TABLE public.revenue_deferrals ENABLE ALWAYS TRIGGER refuse_unbalanced_deferrals;

CREATE TRIGGER refuse_unbalanced_entries AFTER INSERT ON public.ledger_entries REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_unbalanced_entries();

ALTER TABLE public.ledger_entries ENABLE ALWAYS TRIGGER refuse_unbalanced_entries;

CREATE TRIGGER refuse_unbalanced_finalization BEFORE UPDATE ON public.invoices FOR EACH ROW WHEN (((old.status = 'open'::text) AND (new.status <> 'open'::text))) EXECUTE FUNCTION public.refuse_unbalanced_finalization();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_unbalanced_finalization;

CREATE TRIGGER refuse_unlinking_of_billed BEFORE DELETE OR UPDATE ON public.organization_links FOR EACH ROW EXECUTE FUNCTION public.refuse_unlinking_of_billed();

ALTER TABLE public.organization_links ENABLE ALWAYS TRIGGER refuse_unlinking_of_billed;

CREATE TRIGGER refuse_update_into_billed AFTER UPDATE ON public.usage_rollups REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_billed_rollup_change();

ALTER TABLE public.usage_rollups ENABLE ALWAYS TRIGGER refuse_update_into_billed;

CREATE TRIGGER refuse_update_into_finalized AFTER UPDATE ON public.invoice_item_rollups REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_item_rollups ENABLE ALWAYS TRIGGER refuse_update_into_finalized;

CREATE TRIGGER refuse_update_into_finalized AFTER UPDATE ON public.invoice_items REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_items ENABLE ALWAYS TRIGGER refuse_update_into_finalized;

CREATE TRIGGER refuse_update_into_finalized AFTER UPDATE ON public.invoice_snapshots REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_snapshots ENABLE ALWAYS TRIGGER refuse_update_into_finalized;

CREATE TRIGGER refuse_update_into_finalized AFTER UPDATE ON public.invoice_tax_rates REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_tax_rates ENABLE ALWAYS TRIGGER refuse_update_into_finalized;

CREATE TRIGGER refuse_update_into_finalized AFTER UPDATE ON public.invoice_taxes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_taxes ENABLE ALWAYS TRIGGER refuse_update_into_finalized;

CREATE TRIGGER refuse_update_into_without_landing AFTER UPDATE ON public.usage_files REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change_without_landing();

ALTER TABLE public.usage_files ENABLE ALWAYS TRIGGER refuse_update_into_without_landing;

CREATE TRIGGER refuse_update_of_billed AFTER UPDATE ON public.usage_rollups REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_billed_rollup_change();

ALTER TABLE public.usage_rollups ENABLE ALWAYS TRIGGER refuse_update_of_billed;

CREATE TRIGGER refuse_update_of_finalized AFTER UPDATE ON public.invoice_item_rollups REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_item_rollups ENABLE ALWAYS TRIGGER refuse_update_of_finalized;

CREATE TRIGGER refuse_update_of_finalized AFTER UPDATE ON public.invoice_items REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_items ENABLE ALWAYS TRIGGER refuse_update_of_finalized;

CREATE TRIGGER refuse_update_of_finalized AFTER UPDATE ON public.invoice_snapshots REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_snapshots ENABLE ALWAYS TRIGGER refuse_update_of_finalized;

CREATE TRIGGER refuse_update_of_finalized AFTER UPDATE ON public.invoice_tax_rates REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_tax_rates ENABLE ALWAYS TRIGGER refuse_update_of_finalized;

CREATE TRIGGER refuse_update_of_finalized AFTER UPDATE ON public.invoice_taxes REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_finalized_item_change();

ALTER TABLE public.invoice_taxes ENABLE ALWAYS TRIGGER refuse_update_of_finalized;

CREATE TRIGGER refuse_update_without_landing BEFORE UPDATE ON public.landed_months FOR EACH ROW WHEN (((new.accepted <> old.accepted) OR (old.rows IS NOT NULL))) EXECUTE FUNCTION public.refuse_count_without_landing();

ALTER TABLE public.landed_months ENABLE ALWAYS TRIGGER refuse_update_without_landing;

CREATE TRIGGER refuse_update_without_landing AFTER UPDATE ON public.usage_files REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change_without_landing();

ALTER TABLE public.usage_files ENABLE ALWAYS TRIGGER refuse_update_without_landing;

CREATE TRIGGER refuse_used_member_change BEFORE DELETE OR UPDATE ON public.price_group_members FOR EACH ROW EXECUTE FUNCTION public.refuse_used_member_change();

ALTER TABLE public.price_group_members ENABLE ALWAYS TRIGGER refuse_used_member_change;

CREATE TRIGGER refuse_used_meter_change BEFORE UPDATE ON public.meters FOR EACH ROW WHEN ((((((((((old.aggregation IS DISTINCT FROM new.aggregation) OR (old.unique_of IS DISTINCT FROM new.unique_of)) OR (old.series IS DISTINCT FROM new.series)) OR (old.time_unit IS DISTINCT FROM new.time_unit)) OR (old.event_step IS DISTINCT FROM new.event_step)) OR (old.event_round IS DISTINCT FROM new.event_round)) OR (old.event_type IS DISTINCT FROM new.event_type)) OR (old.quantity_of IS DISTINCT FROM new.quantity_of)) OR ((old.aggregation = 'time_weighted'::text) AND (old.dimensions <> new.dimensions)))) EXECUTE FUNCTION public.refuse_used_meter_change();

ALTER TABLE public.meters ENABLE ALWAYS TRIGGER refuse_used_meter_change;

CREATE TRIGGER refuse_used_negotiated_price_change BEFORE DELETE OR UPDATE ON public.negotiated_prices FOR EACH ROW EXECUTE FUNCTION public.refuse_used_negotiated_price_change();

ALTER TABLE public.negotiated_prices ENABLE ALWAYS TRIGGER refuse_used_negotiated_price_change;

CREATE TRIGGER refuse_used_price_change BEFORE UPDATE ON public.prices FOR EACH ROW EXECUTE FUNCTION public.refuse_used_price_change();

ALTER TABLE public.prices ENABLE ALWAYS TRIGGER refuse_used_price_change;

CREATE TRIGGER refuse_used_price_deletion BEFORE DELETE ON public.prices FOR EACH ROW EXECUTE FUNCTION public.refuse_used_price_deletion();

ALTER TABLE public.prices ENABLE ALWAYS TRIGGER refuse_used_price_deletion;

CREATE TRIGGER refuse_used_term_change BEFORE DELETE OR UPDATE ON public.commitments FOR EACH ROW EXECUTE FUNCTION public.refuse_used_term_change('commitment', 'description', '{last_month}', 'set its last_month, and add another one from the next month on');

ALTER TABLE public.commitments ENABLE ALWAYS TRIGGER refuse_used_term_change;

CREATE TRIGGER refuse_used_term_change BEFORE DELETE OR UPDATE ON public.coupons FOR EACH ROW EXECUTE FUNCTION public.refuse_used_term_change('coupon', 'code', '{months,redeem_by,most_redemptions}', 'end its discounts (last_month), and redeem a coupon with another code from the next month on');

ALTER TABLE public.coupons ENABLE ALWAYS TRIGGER refuse_used_term_change;

CREATE TRIGGER refuse_used_term_change BEFORE DELETE OR UPDATE ON public.credit_grants FOR EACH ROW EXECUTE FUNCTION public.refuse_used_term_change('credit', 'description', '{expires_at}', 'set its expires_at, and grant another one');

ALTER TABLE public.credit_grants ENABLE ALWAYS TRIGGER refuse_used_term_change;

CREATE TRIGGER refuse_used_term_change BEFORE DELETE OR UPDATE ON public.discounts FOR EACH ROW EXECUTE FUNCTION public.refuse_used_term_change('discount', 'coupon_code', '{last_month}', 'set its last_month, and redeem another coupon from the next month on');

ALTER TABLE public.discounts ENABLE ALWAYS TRIGGER refuse_used_term_change;

CREATE TRIGGER refuse_used_term_change BEFORE DELETE OR UPDATE ON public.subscriptions FOR EACH ROW EXECUTE FUNCTION public.refuse_used_term_change('subscription', 'price_key', '{ended_at,billed}', 'set its ended_at, and add another one from then on');

ALTER TABLE public.subscriptions ENABLE ALWAYS TRIGGER refuse_used_term_change;

CREATE TRIGGER refuse_used_term_change BEFORE DELETE OR UPDATE ON public.tax_rates FOR EACH ROW EXECUTE FUNCTION public.refuse_used_tax_rate_change();

ALTER TABLE public.tax_rates ENABLE ALWAYS TRIGGER refuse_used_term_change;

CREATE TRIGGER refuse_wrong_invoice_transition BEFORE UPDATE OF status ON public.invoices FOR EACH ROW WHEN ((old.status <> new.status)) EXECUTE FUNCTION public.refuse_wrong_invoice_transition();

ALTER TABLE public.invoices ENABLE ALWAYS TRIGGER refuse_wrong_invoice_transition;

CREATE TRIGGER refuse_wrong_link BEFORE INSERT OR UPDATE ON public.organization_links FOR EACH ROW EXECUTE FUNCTION public.refuse_wrong_link();

ALTER TABLE public.organization_links ENABLE ALWAYS TRIGGER refuse_wrong_link;

CREATE TRIGGER refuse_wrong_period BEFORE INSERT ON public.accounting_periods FOR EACH ROW EXECUTE FUNCTION public.refuse_wrong_period();

ALTER TABLE public.accounting_periods ENABLE ALWAYS TRIGGER refuse_wrong_period;

CREATE TRIGGER refuse_wrong_redemption BEFORE INSERT ON public.discounts FOR EACH ROW EXECUTE FUNCTION public.refuse_wrong_redemption();

ALTER TABLE public.discounts ENABLE ALWAYS TRIGGER refuse_wrong_redemption;

CREATE TRIGGER wait_for_closing BEFORE INSERT ON public.ledger_transactions FOR EACH STATEMENT EXECUTE FUNCTION public.wait_for_closing();

ALTER TABLE public.ledger_transactions ENABLE ALWAYS TRIGGER wait_for_closing;

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_credit_grant_id_fkey FOREIGN KEY (credit_grant_id) REFERENCES public.credit_grants(id);

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_credit_note_id_fkey FOREIGN KEY (credit_note_id) REFERENCES public.credit_notes(id);

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_credit_request_id_fkey FOREIGN KEY (credit_request_id) REFERENCES public.credit_requests(id);

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.adjustments
    ADD CONSTRAINT adjustments_payer_id_fkey FOREIGN KEY (payer_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.alert_addresses
    ADD CONSTRAINT alert_addresses_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.alert_unsubscriptions
    ADD CONSTRAINT alert_unsubscriptions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_issued_with_fkey FOREIGN KEY (issued_with) REFERENCES public.api_tokens(id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_replaces_fkey FOREIGN KEY (replaces) REFERENCES public.api_tokens(id);

ALTER TABLE ONLY public.billing_details
    ADD CONSTRAINT billing_details_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.billing_failures
    ADD CONSTRAINT billing_failures_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.billing_recoveries
    ADD CONSTRAINT billing_recoveries_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.carried_levels
    ADD CONSTRAINT carried_levels_month_fkey FOREIGN KEY (month) REFERENCES public.carried_months(month) ON DELETE CASCADE;

ALTER TABLE ONLY public.commitments
    ADD CONSTRAINT commitments_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.corrected_snapshots
    ADD CONSTRAINT corrected_snapshots_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.corrected_snapshots
    ADD CONSTRAINT corrected_snapshots_snapshot_id_fkey FOREIGN KEY (snapshot_id) REFERENCES public.usage_snapshots(id);

ALTER TABLE ONLY public.correction_approvals
    ADD CONSTRAINT correction_approvals_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.correction_decisions
    ADD CONSTRAINT correction_decisions_approval_id_fkey FOREIGN KEY (approval_id) REFERENCES public.correction_approvals(id);

ALTER TABLE ONLY public.correction_decisions
    ADD CONSTRAINT correction_decisions_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.correction_decisions
    ADD CONSTRAINT correction_decisions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.credit_entries
    ADD CONSTRAINT credit_entries_grant_id_fkey FOREIGN KEY (grant_id) REFERENCES public.credit_grants(id);

ALTER TABLE ONLY public.credit_entries
    ADD CONSTRAINT credit_entries_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.credit_expiries
    ADD CONSTRAINT credit_expiries_credit_grant_id_fkey FOREIGN KEY (credit_grant_id) REFERENCES public.credit_grants(id);

ALTER TABLE ONLY public.credit_grants
    ADD CONSTRAINT credit_grants_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.credit_notes
    ADD CONSTRAINT credit_notes_credit_grant_id_fkey FOREIGN KEY (credit_grant_id) REFERENCES public.credit_grants(id);

ALTER TABLE ONLY public.credit_notes
    ADD CONSTRAINT credit_notes_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.credit_requests
    ADD CONSTRAINT credit_requests_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.customer_changes
    ADD CONSTRAINT customer_changes_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.discounts
    ADD CONSTRAINT discounts_coupon_code_fkey FOREIGN KEY (coupon_code) REFERENCES public.coupons(code);

ALTER TABLE ONLY public.discounts
    ADD CONSTRAINT discounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.ledger_entries
    ADD CONSTRAINT entries_have_a_transaction FOREIGN KEY (organization_id, currency, month, transaction_id) REFERENCES public.ledger_transactions(organization_id, currency, month, id);

ALTER TABLE ONLY public.first_alerts
    ADD CONSTRAINT first_alerts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.first_alerts
    ADD CONSTRAINT first_alerts_threshold_id_fkey FOREIGN KEY (threshold_id) REFERENCES public.spend_thresholds(id);

ALTER TABLE ONLY public.invoice_commitments
    ADD CONSTRAINT invoice_commitments_commitment_id_fkey FOREIGN KEY (commitment_id) REFERENCES public.commitments(id);

ALTER TABLE ONLY public.invoice_commitments
    ADD CONSTRAINT invoice_commitments_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invoice_details
    ADD CONSTRAINT invoice_details_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.invoice_item_rollups
    ADD CONSTRAINT invoice_item_rollups_item_id_invoice_id_fkey FOREIGN KEY (item_id, invoice_id) REFERENCES public.invoice_items(id, invoice_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invoice_item_rollups
    ADD CONSTRAINT invoice_item_rollups_rollup_id_fkey FOREIGN KEY (rollup_id) REFERENCES public.usage_rollups(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_adjustment_id_fkey FOREIGN KEY (adjustment_id) REFERENCES public.adjustments(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_commitment_id_fkey FOREIGN KEY (commitment_id) REFERENCES public.commitments(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_credit_grant_id_fkey FOREIGN KEY (credit_grant_id) REFERENCES public.credit_grants(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_discount_id_fkey FOREIGN KEY (discount_id) REFERENCES public.discounts(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_meter_fkey FOREIGN KEY (meter) REFERENCES public.meters(key);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_negotiated_price_id_fkey FOREIGN KEY (negotiated_price_id) REFERENCES public.negotiated_prices(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_one_off_item_id_fkey FOREIGN KEY (one_off_item_id) REFERENCES public.one_off_items(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_price_id_fkey FOREIGN KEY (price_id) REFERENCES public.prices(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES public.subscriptions(id);

ALTER TABLE ONLY public.invoice_items
    ADD CONSTRAINT invoice_items_tax_rate_id_fkey FOREIGN KEY (tax_rate_id) REFERENCES public.tax_rates(id);

ALTER TABLE ONLY public.invoice_snapshots
    ADD CONSTRAINT invoice_snapshots_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invoice_snapshots
    ADD CONSTRAINT invoice_snapshots_snapshot_id_fkey FOREIGN KEY (snapshot_id) REFERENCES public.usage_snapshots(id);

ALTER TABLE ONLY public.invoice_tax_rates
    ADD CONSTRAINT invoice_tax_rates_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invoice_tax_rates
    ADD CONSTRAINT invoice_tax_rates_tax_rate_id_fkey FOREIGN KEY (tax_rate_id) REFERENCES public.tax_rates(id);

ALTER TABLE ONLY public.invoice_taxes
    ADD CONSTRAINT invoice_taxes_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invoice_taxes
    ADD CONSTRAINT invoice_taxes_tax_rate_id_fkey FOREIGN KEY (tax_rate_id) REFERENCES public.tax_rates(id);

ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.invoices
    ADD CONSTRAINT invoices_usage_snapshot_id_organization_id_month_fkey FOREIGN KEY (usage_snapshot_id, organization_id, month) REFERENCES public.usage_snapshots(id, organization_id, month);

ALTER TABLE ONLY public.landed_months
    ADD CONSTRAINT landed_months_landing_day_fkey FOREIGN KEY (landing_day) REFERENCES public.landing_days(landing_day);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_credit_expiry_id_fkey FOREIGN KEY (credit_expiry_id) REFERENCES public.credit_expiries(id);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_credit_grant_id_fkey FOREIGN KEY (credit_grant_id) REFERENCES public.credit_grants(id);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_credit_note_id_fkey FOREIGN KEY (credit_note_id) REFERENCES public.credit_notes(id);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_invoice_change_id_fkey FOREIGN KEY (invoice_change_id) REFERENCES public.invoice_changes(id);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_stripe_amounts_id_fkey FOREIGN KEY (stripe_amounts_id) REFERENCES public.stripe_invoice_amounts(id);

ALTER TABLE ONLY public.ledger_transactions
    ADD CONSTRAINT ledger_transactions_stripe_money_id_fkey FOREIGN KEY (stripe_money_id) REFERENCES public.stripe_money(id);

ALTER TABLE ONLY public.negotiated_prices
    ADD CONSTRAINT negotiated_prices_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.one_off_items
    ADD CONSTRAINT one_off_items_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.organization_history
    ADD CONSTRAINT organization_history_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.organization_links
    ADD CONSTRAINT organization_links_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.organization_links
    ADD CONSTRAINT organization_links_payer_id_fkey FOREIGN KEY (payer_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.price_group_members
    ADD CONSTRAINT price_group_members_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.prices
    ADD CONSTRAINT prices_meter_fkey FOREIGN KEY (meter) REFERENCES public.meters(key);

ALTER TABLE ONLY public.rejected_usage
    ADD CONSTRAINT rejected_usage_landing_day_path_fkey FOREIGN KEY (landing_day, path) REFERENCES public.usage_files(landing_day, path) ON DELETE CASCADE;

ALTER TABLE ONLY public.revenue_deferrals
    ADD CONSTRAINT revenue_deferrals_invoice_change_id_fkey FOREIGN KEY (invoice_change_id) REFERENCES public.invoice_changes(id);

ALTER TABLE ONLY public.revenue_deferrals
    ADD CONSTRAINT revenue_deferrals_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.revenue_deferrals
    ADD CONSTRAINT revenue_deferrals_stripe_money_id_fkey FOREIGN KEY (stripe_money_id) REFERENCES public.stripe_money(id);

ALTER TABLE ONLY public.rollup_failures
    ADD CONSTRAINT rollup_failures_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.spend_alerts
    ADD CONSTRAINT spend_alerts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.spend_alerts
    ADD CONSTRAINT spend_alerts_threshold_id_fkey FOREIGN KEY (threshold_id) REFERENCES public.spend_thresholds(id);

ALTER TABLE ONLY public.spend_cap_calls
    ADD CONSTRAINT spend_cap_calls_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.spend_threshold_changes
    ADD CONSTRAINT spend_threshold_changes_threshold_id_fkey FOREIGN KEY (threshold_id) REFERENCES public.spend_thresholds(id);

ALTER TABLE ONLY public.spend_thresholds
    ADD CONSTRAINT spend_thresholds_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.stripe_attempts
    ADD CONSTRAINT stripe_attempts_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.stripe_customers
    ADD CONSTRAINT stripe_customers_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.stripe_events
    ADD CONSTRAINT stripe_events_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.stripe_invoice_amounts
    ADD CONSTRAINT stripe_invoice_amounts_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.stripe_invoice_amounts
    ADD CONSTRAINT stripe_invoice_amounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.stripe_invoices
    ADD CONSTRAINT stripe_invoices_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.stripe_money
    ADD CONSTRAINT stripe_money_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.stripe_money
    ADD CONSTRAINT stripe_money_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.tax_customers
    ADD CONSTRAINT tax_customers_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.tax_rates
    ADD CONSTRAINT tax_rates_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.term_changes
    ADD CONSTRAINT term_changes_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.term_decisions
    ADD CONSTRAINT term_decisions_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES public.invoices(id);

ALTER TABLE ONLY public.threshold_checks
    ADD CONSTRAINT threshold_checks_threshold_id_fkey FOREIGN KEY (threshold_id) REFERENCES public.spend_thresholds(id);

ALTER TABLE ONLY public.usage_files
    ADD CONSTRAINT usage_files_landing_day_fkey FOREIGN KEY (landing_day) REFERENCES public.landing_days(landing_day);

ALTER TABLE ONLY public.usage_rollups
    ADD CONSTRAINT usage_rollups_meter_fkey FOREIGN KEY (meter) REFERENCES public.meters(key);

ALTER TABLE ONLY public.usage_rollups
    ADD CONSTRAINT usage_rollups_snapshot_id_fkey FOREIGN KEY (snapshot_id) REFERENCES public.usage_snapshots(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.usage_snapshots
    ADD CONSTRAINT usage_snapshots_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

GRANT USAGE ON SCHEMA public TO fly_billing_pipeline;
GRANT USAGE ON SCHEMA public TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.acknowledge_cap_call_with_token(token_id uuid, of_organization_id text, in_channel text, of_number integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.acknowledge_cap_call_with_token(token_id uuid, of_organization_id text, in_channel text, of_number integer) TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.add_spend_threshold_with_token(token_id uuid, of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint, of_percent integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_spend_threshold_with_token(token_id uuid, of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint, of_percent integer) TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.add_staged_items() FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_staged_items() TO fly_billing_pipeline;

REVOKE ALL ON FUNCTION public.analyze_table(table_name regclass) FROM PUBLIC;
GRANT ALL ON FUNCTION public.analyze_table(table_name regclass) TO fly_billing_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.invoices TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoices TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.issue_organization_token(new_id uuid, new_sha256 text, new_organization_id text, new_scopes text[], new_name text, new_expires_at timestamp with time zone, issuer_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.issue_organization_token(new_id uuid, new_sha256 text, new_organization_id text, new_scopes text[], new_name text, new_expires_at timestamp with time zone, issuer_id uuid) TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.stripe_money TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_money TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_pace TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_pace TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.adjustments TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.adjustments TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.credit_expiries TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.credit_expiries TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.credit_grants TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.credit_grants TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.credit_notes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.credit_notes TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.invoice_changes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_changes TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.invoice_items TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_items TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE ON TABLE public.invoice_taxes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_taxes TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.stripe_invoice_amounts TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_invoice_amounts TO fly_billing_reader;

GRANT SELECT ON TABLE public.ledger_rebuilt TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.ledger_rebuilt TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.remove_spend_threshold_with_token(token_id uuid, of_organization_id text, of_threshold_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.remove_spend_threshold_with_token(token_id uuid, of_organization_id text, of_threshold_id uuid) TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.revoke_page_link_with_token(token_id uuid, of_link_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.revoke_page_link_with_token(token_id uuid, of_link_id uuid) TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.set_alert_address_with_token(token_id uuid, of_organization_id text, of_email text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_alert_address_with_token(token_id uuid, of_organization_id text, of_email text) TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.set_spend_cap_with_token(token_id uuid, of_organization_id text, in_currency text, of_amount_cents bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_spend_cap_with_token(token_id uuid, of_organization_id text, in_currency text, of_amount_cents bigint) TO fly_billing_reader;

REVOKE ALL ON FUNCTION public.stage_invoice_items() FROM PUBLIC;
GRANT ALL ON FUNCTION public.stage_invoice_items() TO fly_billing_pipeline;

REVOKE ALL ON FUNCTION public.unsubscribe_from_alerts(of_organization_id text, of_address_sha256 text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.unsubscribe_from_alerts(of_organization_id text, of_address_sha256 text) TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.accounting_periods TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.accounting_periods TO fly_billing_reader;

GRANT SELECT ON TABLE public.alembic_version TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.alembic_version TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alert_addresses TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.alert_addresses TO fly_billing_reader;

GRANT SELECT,DELETE ON TABLE public.alert_unsubscriptions TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.alert_unsubscriptions TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.alerts TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.alerts TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.api_tokens TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.api_tokens TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.billing_details TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.billing_details TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.billing_failures TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.billing_failures TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.billing_recoveries TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.billing_recoveries TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.carried_levels TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.carried_levels TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE ON TABLE public.carried_months TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.carried_months TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.commitments TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.commitments TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE ON TABLE public.corrected_snapshots TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.corrected_snapshots TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.correction_approvals TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.correction_approvals TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.correction_decisions TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.correction_decisions TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.coupons TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.coupons TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.credit_entries TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.credit_entries TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.credit_requests TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.credit_requests TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.customer_changes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.customer_changes TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.discounts TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.discounts TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.failed_checks TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.failed_checks TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_credit_movements TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_credit_movements TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_credits TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_credits TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_history TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_history TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_invoice_items TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_invoice_items TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_invoices TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_invoices TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.ledger_entries TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.ledger_entries TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.ledger_transactions TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.ledger_transactions TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.revenue_deferrals TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.revenue_deferrals TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_journal TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_journal TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_months TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_months TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_invoices TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_invoices TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_receivables TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_receivables TO fly_billing_reader;

GRANT SELECT ON TABLE public.invoice_item_rollups TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_item_rollups TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.usage_rollups TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.usage_rollups TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_revenue TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_revenue TO fly_billing_reader;

GRANT SELECT ON TABLE public.finance_taxes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.finance_taxes TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.first_alerts TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.first_alerts TO fly_billing_reader;

GRANT SELECT ON TABLE public.held_corrections TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.held_corrections TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.invoice_commitments TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_commitments TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.invoice_confirmations TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_confirmations TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.invoice_details TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_details TO fly_billing_reader;

GRANT SELECT ON TABLE public.invoice_life TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_life TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE ON TABLE public.invoice_snapshots TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_snapshots TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE ON TABLE public.invoice_tax_rates TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.invoice_tax_rates TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.landed_months TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.landed_months TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.landing_days TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.landing_days TO fly_billing_reader;

GRANT SELECT ON TABLE public.ledger_posted TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.ledger_posted TO fly_billing_reader;

GRANT SELECT ON TABLE public.lost_balances TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.lost_balances TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.meters TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.meters TO fly_billing_reader;

GRANT SELECT ON TABLE public.months_with_random_ids TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.months_with_random_ids TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.negotiated_prices TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.negotiated_prices TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.one_off_items TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.one_off_items TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.organization_history TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.organization_history TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.organization_links TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.organization_links TO fly_billing_reader;

GRANT SELECT ON TABLE public.organization_spend TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.organization_spend TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.organizations TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.organizations TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.page_link_revocations TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.page_link_revocations TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_events TO fly_billing_pipeline;

GRANT SELECT ON TABLE public.payment_failures TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.payment_failures TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.price_group_members TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.price_group_members TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.prices TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.prices TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.rejected_usage TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.rejected_usage TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.rejected_usage_waivers TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.rejected_usage_waivers TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.rollup_failures TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.rollup_failures TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.spend_alerts TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.spend_alerts TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.spend_cap_calls TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.spend_cap_calls TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.spend_threshold_changes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.spend_threshold_changes TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.spend_thresholds TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.spend_thresholds TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_attempts TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_attempts TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_customers TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_customers TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_events_polled TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_events_polled TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.stripe_reconciliations TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_reconciliations TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.stripe_repairs TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.stripe_repairs TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.subscriptions TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.subscriptions TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.sync_approvals TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.sync_approvals TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tax_customers TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.tax_customers TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tax_rates TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.tax_rates TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.term_changes TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.term_changes TO fly_billing_reader;

GRANT SELECT,INSERT ON TABLE public.term_decisions TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.term_decisions TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.threshold_checks TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.threshold_checks TO fly_billing_reader;

GRANT SELECT ON TABLE public.thresholds_of_open_months TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.thresholds_of_open_months TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.usage_files TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.usage_files TO fly_billing_reader;

GRANT SELECT ON TABLE public.unresolved_rejections TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.unresolved_rejections TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.usage_confirmations TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.usage_confirmations TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.usage_snapshots TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.usage_snapshots TO fly_billing_reader;

GRANT SELECT ON TABLE public.usage_as_of TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.usage_as_of TO fly_billing_reader;

GRANT SELECT,INSERT,UPDATE ON TABLE public.usage_tables TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.usage_tables TO fly_billing_reader;

GRANT SELECT,INSERT,DELETE ON TABLE public.workspace_records TO fly_billing_pipeline;
GRANT SELECT ON TABLE public.workspace_records TO fly_billing_reader;
