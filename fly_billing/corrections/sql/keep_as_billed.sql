-- No rows. A person leaves this final invoice as it is, whatever terms of its month changed until now.
insert into term_decisions (invoice_id, up_to_change, decided_by, why, decided_at)
values (:invoice_id, (select coalesce(max(id), 0) from term_changes), :who, :why, :at)
