-- All state of the sandbox: one SQLite file, readable while the server runs and after it was killed.
-- One row of `objects` is one Stripe object (customer, invoice, invoiceitem ...). `body` is the source of truth; the other
-- columns are derived from it. Invoice lines are not stored: a line is an invoice item, as its invoice shows it.

create table if not exists objects (
    seq integer primary key autoincrement,
    id text not null unique,
    object text not null,
    position integer,
    body text not null check (json_valid(body)),
    customer text generated always as (body ->> '$.customer') virtual,
    invoice text generated always as (body ->> '$.invoice') virtual,
    status text generated always as (body ->> '$.status') virtual,
    created integer generated always as (coalesce(body ->> '$.created', body ->> '$.date')) virtual,
    amount integer generated always as (body ->> '$.amount') stored
);

-- Statements about one invoice say `+object`, so that SQLite reads the few objects of the invoice and not all of a kind.
create index if not exists objects_newest on objects (object, seq);
create index if not exists objects_of_customer on objects (customer, object, seq);
create index if not exists objects_of_invoice on objects (invoice, position) where invoice is not null;

-- One row is one event, with its object as it was then. `planned` is 1 once its deliveries are scheduled.
create table if not exists events (
    seq integer primary key autoincrement,
    id text not null unique,
    type text not null,
    created integer not null,
    planned integer not null default 0,
    body text not null check (json_valid(body))
);

create index if not exists events_to_plan on events (seq) where not planned;

-- One row is one receiver of events; `enabled_events` is a list of types, wildcards allowed; `body` has the other fields
-- of Stripe's object.
create table if not exists webhook_endpoints (
    seq integer primary key autoincrement,
    id text not null unique,
    url text not null,
    secret text not null,
    enabled_events text not null check (json_valid(enabled_events)),
    body text not null default '{}'
);

-- One row is one delivery of an event to one receiver. `held` is 1 if it waits for a later event. Real seconds.
create table if not exists webhook_deliveries (
    seq integer primary key autoincrement,
    event text not null,
    endpoint text not null,
    state text not null check (state in ('pending', 'delivered', 'dropped', 'given_up')),
    due_at real not null,
    held integer not null,
    attempts integer not null default 0,
    status integer
);

create index if not exists webhook_deliveries_due on webhook_deliveries (due_at, seq) where state = 'pending';
create index if not exists webhook_deliveries_of_event on webhook_deliveries (event);

-- One row is one idempotency key, with the first response under it.
create table if not exists idempotency_keys (
    key text primary key,
    method text not null,
    path text not null,
    params_hash text not null,
    request_id text not null,
    status integer not null,
    body text not null,
    headers text not null,
    stored_at integer not null
);

-- One row is one request that reached the server, with or without a response.
-- `status` is the status of the result; `dropped` is 1 if the client never received it.
create table if not exists calls (
    seq integer primary key autoincrement,
    at text not null,
    clock integer not null,
    request_id text not null,
    endpoint text not null,
    method text not null,
    path text not null,
    idempotency_key text,
    status integer,
    code text,
    replayed integer not null,
    applied integer not null,
    dropped integer not null,
    fault text,
    milliseconds real not null
);

-- One row is one fault rule, with the number of calls that it matched and struck.
create table if not exists faults (
    seq integer primary key autoincrement,
    id text not null unique,
    rule text not null check (json_valid(rule)),
    matched integer not null default 0,
    fired integer not null default 0
);

-- One row is one setting of the sandbox itself: the clock's offset, limits, latency.
create table if not exists settings (
    name text primary key,
    value text not null check (json_valid(value))
);

-- For audits: amounts as columns. Deleted customers remain, deleted drafts do not.
create view if not exists invoices as
select
    id,
    customer,
    status,
    body ->> '$.currency' as currency,
    body ->> '$.subtotal' as subtotal,
    body ->> '$.total' as total,
    body ->> '$.amount_due' as amount_due,
    body ->> '$.amount_paid' as amount_paid,
    body ->> '$.amount_remaining' as amount_remaining,
    body ->> '$.number' as number,
    created,
    body -> '$.metadata' as metadata
from objects where object = 'invoice';

create view if not exists invoice_lines as
select
    id as invoice_item,
    invoice,
    customer,
    position,
    amount,
    body ->> '$.currency' as currency,
    body ->> '$.description' as description,
    body -> '$.metadata' as metadata
from objects where object = 'invoiceitem' and invoice is not null;

create view if not exists customers as
select
    id,
    body ->> '$.email' as email,
    body ->> '$.balance' as balance,
    coalesce(body ->> '$.deleted', 0) as deleted,
    created,
    body -> '$.metadata' as metadata
from objects where object = 'customer';
