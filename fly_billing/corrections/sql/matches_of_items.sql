-- One row per item of these invoices whose price is for some usage only, which its scope may name.
select t.id, p.match || coalesce(n.match, '{}') as match
from invoice_items as t
join prices as p on p.id = t.price_id
left join negotiated_prices as n on n.id = t.negotiated_price_id
where t.invoice_id = any (:invoices) and (p.match <> '{}' or n.match <> '{}')
