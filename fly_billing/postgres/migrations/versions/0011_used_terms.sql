-- What a final invoice used is ended and followed by another, never edited: its amounts could not be worked out again.

-- No index is needed: a term is on the invoices of its organization, or of who pays for that one.
create function final_invoices_that_used(term_table text, term jsonb) returns setof invoices language sql stable as $$
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
comment on function final_invoices_that_used is
    'final invoices, void ones included, in whose amounts a row of one of the tables of terms had a part';

-- Its arguments: what it is called, the column with its name, the columns that may change, and what to do instead.
create function refuse_used_term_change() returns trigger language plpgsql as $$
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

-- What may change without any amount changing: how often and until when a coupon is redeemed, and for how long from now
-- on (a redemption has its own end).
create trigger refuse_used_term_change before update or delete on coupons
    for each row execute function refuse_used_term_change(
        'coupon', 'code', '{months,redeem_by,most_redemptions}',
        'end its discounts (last_month), and redeem a coupon with another code from the next month on'
    );

-- And the end of each, as that is how one is superseded.
create trigger refuse_used_term_change before update or delete on discounts
    for each row execute function refuse_used_term_change(
        'discount', 'coupon_code', '{last_month}', 'set its last_month, and redeem another coupon from the next month on'
    );
create trigger refuse_used_term_change before update or delete on commitments
    for each row execute function refuse_used_term_change(
        'commitment', 'description', '{last_month}', 'set its last_month, and add another one from the next month on'
    );
create trigger refuse_used_term_change before update or delete on credit_grants
    for each row execute function refuse_used_term_change(
        'credit', 'description', '{expires_at}', 'set its expires_at, and grant another one'
    );
create trigger refuse_used_term_change before update or delete on tax_rates
    for each row execute function refuse_used_term_change(
        'tax', 'name', '{last_month}', 'set its last_month, and add another one from the next month on'
    );
-- `billed` says when a fee is charged, not what it comes to: whichever it is, a month is charged once.
create trigger refuse_used_term_change before update or delete on subscriptions
    for each row execute function refuse_used_term_change(
        'subscription', 'price_key', '{ended_at,billed}', 'set its ended_at, and add another one from then on'
    );

-- An end is decided for the months to come: those that were billed had the term. A subscription is not among these: that
-- it was cancelled is often told after its month is final, and the difference then becomes an adjustment. What a void
-- invoice billed is not owed: nothing holds on to it.
create function refuse_end_before_billed() returns trigger language plpgsql as $$
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

create trigger refuse_end_before_billed before update on discounts
    for each row when (new.last_month is distinct from old.last_month)
    execute function refuse_end_before_billed('discount', 'coupon_code');
create trigger refuse_end_before_billed before update on commitments
    for each row when (new.last_month is distinct from old.last_month)
    execute function refuse_end_before_billed('commitment', 'description');
create trigger refuse_end_before_billed before update on credit_grants
    for each row when (new.expires_at is distinct from old.expires_at)
    execute function refuse_end_before_billed('credit', 'description');
create trigger refuse_end_before_billed before update on tax_rates
    for each row when (new.last_month is distinct from old.last_month)
    execute function refuse_end_before_billed('tax', 'name');
