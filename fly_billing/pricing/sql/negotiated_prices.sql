-- One row per version of a negotiated price.
select id, book, key, organization_id, price_group, match, charges, effective_from, effective_until
from negotiated_prices
where cast(:id as uuid) is null or id = :id
order by book, key, organization_id, price_group, effective_from, id
