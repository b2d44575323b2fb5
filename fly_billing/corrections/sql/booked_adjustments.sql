-- One row per invoice and thing that was adjusted: the sum of its adjustments, and what the last of them said of it. Where
-- an early one did not say so, its key and its text tell. What went back to credits is left out: `credit_paid_elsewhere`.
select distinct on (invoice_id, item_key)
    invoice_id, item_key as key, organization_id, product,
    sum(amount) over (partition by invoice_id, item_key) as amount,
    coalesce(detail ->> 'kind', split_part(item_key, '|', 2)) as kind,
    coalesce(detail ->> 'description', description) as description,
    cast(coalesce(detail ->> 'quantity', '0') as numeric) as quantity,
    coalesce(detail ->> 'unit', 'unit') as unit,
    detail ->> 'meter' as meter
from adjustments
where invoice_id = any (:invoices) and credit_grant_id is null
order by invoice_id, item_key, made_at desc, id
