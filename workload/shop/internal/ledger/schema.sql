-- The ledger and what follows from it. Everything can be run again and again.

create table if not exists ledger (
    seq      bigint generated always as identity primary key,
    at       timestamptz not null default clock_timestamp(),
    kind     text not null check (kind in ('stocked', 'accepted', 'refused', 'dispatched')),
    key      text not null unique,   -- appending the same thing twice adds nothing
    order_id text not null default '',
    customer text not null default '',
    body     jsonb not null
);
create index if not exists ledger_order on ledger (order_id) where order_id <> '';

-- Append only, whoever asks.
create or replace function ledger_is_append_only() returns trigger language plpgsql as
    $$ begin raise exception 'the ledger is append only'; end $$;
create or replace trigger ledger_rows before update or delete on ledger
    for each row execute function ledger_is_append_only();
create or replace trigger ledger_all before truncate on ledger
    for each statement execute function ledger_is_append_only();

-- What was appended and is yet to be processed, and to be published. Rows are
-- added with the event, in one transaction, so neither can be forgotten.
create table if not exists pending (seq bigint primary key);
create table if not exists outbox  (seq bigint primary key);

-- Processed data: made again from the ledger by "shop rebuild".
create table if not exists stock   (product text primary key, units bigint not null);
create table if not exists days    (day text primary key, orders bigint not null, refused bigint not null, cents bigint not null);
create table if not exists parcels (order_id text primary key, stage text not null, tracking text not null);
