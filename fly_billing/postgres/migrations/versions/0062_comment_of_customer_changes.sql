-- Workspaces also change price books, which are nobody's.

comment on table customer_changes is
'Every change of organizations and terms by commands and workspaces, and of price books by workspaces. term_changes has those that affect final invoices.';
comment on column customer_changes.organization_id is 'Null: a coupon, or an entry of a price book.';
