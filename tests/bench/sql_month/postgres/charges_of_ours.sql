-- What fly_billing charges: a line for each item, without ids of its own, and their hash.
with charged as (
    select
        concat_ws(
            '|', i.organization_id, i.currency, t.kind, t.product, coalesce(t.price_id::text, ''),
            coalesce(t.subscription_id, t.one_off_item_id, t.discount_id, t.commitment_id)::text,
            trim_scale(t.amount)::text, i.total_cents
        ) as line
    from invoice_items as t
    join invoices as i on i.id = t.invoice_id
    where i.month = :month
)

select count(*) as items, md5(coalesce(string_agg(line, e'\n' order by line collate "C"), '')) as hash from charged
