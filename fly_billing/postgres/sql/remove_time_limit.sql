-- No rows. Until the transaction ends, its statements have no time limit. Waiting for locks still has one.
set local statement_timeout = 0
