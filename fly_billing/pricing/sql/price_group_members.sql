-- One row per membership of an organization in a group that has negotiated prices.
select price_group, organization_id, effective_from, effective_until
from price_group_members
order by price_group, organization_id, effective_from
