-- Of the sets that wait for a host, those of a higher priority are placed first.
alter table set add column priority integer not null default 100 constraint set_priority check (priority between 0 and 1000);

-- Raised by each process that begins to place. Batches of an earlier term are refused, so what one process decided
-- without knowing the placements of its successor is never recorded.
create table placement_term (
  only_row boolean primary key default true check (only_row),
  value bigint not null
);
insert into placement_term (value) values (0);
