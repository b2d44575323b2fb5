-- Krónur and shillings have no minor unit: what was kept in hundredths is in whole units from here on.
-- A final invoice is never rewritten, so one with an amount stops this.
do $$
declare
    kept text;
begin
    select string_agg(organization_id || ' ' || to_char(month, 'YYYY-MM'), ', ' order by month, organization_id)
    into kept
    from invoices
    where currency in ('ISK', 'UGX') and status not in ('open', 'void') and total_cents <> 0;
    if kept is not null then
        raise exception 'final invoices in ISK or UGX have their totals in hundredths, which do not exist: %', kept
        using hint = 'with the version before this one, void them (and in Stripe) and bill those months in another'
            ' currency, or stay with it';
    end if;
end
$$;
update invoice_items as t set amount_cents = round(t.amount)
from invoices as i
where i.id = t.invoice_id and i.currency in ('ISK', 'UGX') and i.status = 'open';
update invoice_taxes as t set
    taxable_cents = round(taxable_cents / 100.0),
    tax_cents = round(tax_cents / 100.0)
from invoices as i
where i.id = t.invoice_id and i.currency in ('ISK', 'UGX') and i.status = 'open';
update invoices set total_cents = round(amount) where currency in ('ISK', 'UGX') and status = 'open';
update spend_thresholds as t set amount_cents = greatest(1, round(t.amount_cents / 100.0))
where currency in ('ISK', 'UGX') and not exists (
    select from spend_thresholds as o
    where o.organization_id = t.organization_id and o.currency = t.currency and o.amount_cents <> t.amount_cents
        and greatest(1, round(o.amount_cents / 100.0)) = greatest(1, round(t.amount_cents / 100.0))
);

alter table invoice_items
    drop constraint invoice_items_kind_check,
    drop constraint one_source_each,
    add constraint invoice_items_kind_check check (kind in (
        'usage', 'subscription', 'one_off', 'adjustment', 'discount', 'minimum', 'maximum', 'credit', 'tax', 'rounding'
    )),
    add constraint one_source_each check (
        case kind
            when 'usage' then price_id is not null
            when 'subscription' then subscription_id is not null and price_id is not null
            when 'one_off' then one_off_item_id is not null
            when 'adjustment' then adjustment_id is not null
            when 'discount' then discount_id is not null
            when 'credit' then credit_grant_id is not null
            when 'tax' then tax_rate_id is not null
            when 'rounding' then price_id is null
            else commitment_id is not null
        end
        and num_nonnulls(
            subscription_id, one_off_item_id, adjustment_id, discount_id, commitment_id, credit_grant_id, tax_rate_id
        ) = case when kind in ('usage', 'rounding') then 0 else 1 end
    );
