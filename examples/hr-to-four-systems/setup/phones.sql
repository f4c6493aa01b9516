-- sqlite3 targets/phones.db < setup/phones.sql
create table entry (
    person text primary key,
    name text not null,
    number text not null unique,
    department text
);
