-- name: approve_corrections
-- One row: the new approval. It covers the corrections that are held now.
insert into correction_approvals (
    month, currency, organization_id, total, up_to_decision, approved_by, why, approved_at
)
select
    :month, :currency, :organization_id, :total, (select coalesce(max(id), 0) from correction_decisions), :approved_by,
    :why, :now
returning id;
