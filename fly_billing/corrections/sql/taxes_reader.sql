-- name: matches_of_items
-- One row per item of these invoices whose price is limited to some dimension values.
select t.id, p.match || coalesce(n.match, '{}') as match
from invoice_items as t
join prices as p on p.id = t.price_id
left join negotiated_prices as n on n.id = t.negotiated_price_id
where t.invoice_id = any (:invoices) and (p.match <> '{}' or n.match <> '{}');

-- name: taxed_adjustments
-- One row per adjustment of these invoices: how much of it was taxed at which rates, if items have different rates. Not
-- here: returned credits, which are taxed like the charges that they had paid.
select invoice_id, item_key, detail -> 'taxed' as taxed
from adjustments
where invoice_id = any (:invoices) and credit_grant_id is null;
