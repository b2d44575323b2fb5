-- No rows. Until its end, the transaction sees the database as it is now and can't write.
set transaction isolation level repeatable read, read only
