-- An address that something on the disk of a lost host may still use rests until that host has shown that it does not.
alter table address_rest add column host_id uuid references host (id) on delete set null;
