-- No rows. Not where it has a final invoice of its own since then: from before there were links.
insert into organization_links (organization_id, payer_id, first_month)
select :organization_id, :payer_id, :first_month
where not exists (select from organization_links where organization_id = :organization_id)
    and not exists (
        select from invoices where organization_id = :organization_id and status <> 'open' and month >= :first_month
    )
