-- What corrections charge: a line for each organization and product, and their hash.
with charged as (
    select concat_ws('|', organization_id, currency, product, trim_scale(sum(amount))::text) as line
    from adjustments
    where month = :month
    group by organization_id, currency, product
)

select count(*) as items, md5(coalesce(string_agg(line, e'\n' order by line collate "C"), '')) as hash from charged
