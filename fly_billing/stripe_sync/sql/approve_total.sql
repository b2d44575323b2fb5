-- No rows.
insert into sync_approvals (month, currency, total_cents, approved_by, approved_at)
values (:month, :currency, :total_cents, :approved_by, :now)
