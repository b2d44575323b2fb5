-- name: check_deferred_constraints
-- No rows. Checks the constraints that would be checked at the commit.
set constraints all immediate;

-- name: closed_months_changed
-- One row per change of a term in this transaction that affects months with final invoices.
select organization_id, what, first_month, last_month
from term_changes
where changed_at = now() and changed_by = coalesce(nullif(cast(:who as text), ''), session_user)
order by id;
