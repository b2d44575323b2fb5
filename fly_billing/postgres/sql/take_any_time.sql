-- No row: until the transaction ends, no statement of it is bounded in time; waiting for locks still is.
set local statement_timeout = 0
