-- One row per price version of the book.
select id from prices where book = :book
