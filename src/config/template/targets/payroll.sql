create table employee (
    id text primary key,
    name text not null,
    mail text,
    title text check (length(title) <= 40),
    department text
);
