-- sqlite3 targets/payroll.db < setup/payroll.sql
create table employee (
    id text primary key,
    name text not null,
    title text,
    salary integer not null check (salary >= 0),
    paid integer not null
);
