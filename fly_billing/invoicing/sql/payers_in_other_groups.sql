-- One row per month of :months and organization that is on the invoice of a payer in another billing group.
select to_char(m.month, 'YYYY-MM') as month, l.organization_id, payers.billing_group
from unnest(cast(:months as date[])) as m (month)
join organization_links as l on daterange(l.first_month, l.last_month, '[]') @> m.month
join organizations on organizations.id = l.organization_id
join organizations as payers on payers.id = l.payer_id
where payers.billing_group <> organizations.billing_group
