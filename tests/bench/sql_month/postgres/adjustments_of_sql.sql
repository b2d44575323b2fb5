-- What corrections charge: a line for each organization and product, and their hash.
with charged as (
    select concat_ws('|', i.organization_id, i.currency, a.product, trim_scale(sum(a.amount))::text) as line
    from sql_month.adjustments as a
    join sql_month.invoices as i on i.id = a.invoice_id
    where i.month = :month
    group by i.organization_id, i.currency, a.product
)

select count(*) as items, md5(coalesce(string_agg(line, e'\n' order by line collate "C"), '')) as hash from charged
