CREATE TABLE public.changes (
    sequence bigint NOT NULL,
    type bigint NOT NULL,
    repository text NOT NULL COLLATE pg_catalog."C",
    tag text NOT NULL COLLATE pg_catalog."C",
    digest bytea,
    previous_digest bytea,
    observed_at double precision NOT NULL,
    notified_at double precision,
    actor text NOT NULL
);
CREATE TABLE public.hints (
    repository bigint NOT NULL,
    tag text NOT NULL COLLATE pg_catalog."C",
    digest bytea,
    notified_at double precision,
    actor text NOT NULL
);
CREATE TABLE public.index_schema (
    version bigint NOT NULL
);
CREATE TABLE public.index_state (
    only_row bigint NOT NULL,
    registry text NOT NULL,
    epoch text NOT NULL,
    head bigint DEFAULT 0 NOT NULL,
    oldest bigint DEFAULT 0 NOT NULL,
    walk_started double precision,
    walk_ended double precision,
    walk_requested bigint DEFAULT 1 NOT NULL,
    walk_held bigint DEFAULT 0 NOT NULL,
    ready bigint DEFAULT 0 NOT NULL,
    CONSTRAINT index_state_only_row_check CHECK ((only_row = 1))
);
CREATE TABLE public.lease (
    only_row bigint NOT NULL,
    holder text NOT NULL,
    fence bigint NOT NULL,
    held_until double precision NOT NULL,
    CONSTRAINT lease_only_row_check CHECK ((only_row = 1))
);
CREATE TABLE public.registry_instances (
    instance text NOT NULL,
    seen_at double precision NOT NULL
);
CREATE TABLE public.repositories (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    known bigint NOT NULL,
    added_at double precision NOT NULL,
    listed_at double precision,
    read_at double precision,
    dirty bigint DEFAULT 0 NOT NULL,
    dirty_since double precision,
    priority bigint DEFAULT 1 NOT NULL,
    due_at double precision DEFAULT 0 NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    claimed_until double precision DEFAULT 0 NOT NULL,
    problem text DEFAULT ''::text NOT NULL
);
ALTER TABLE public.repositories ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.repositories_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.tags (
    repository bigint NOT NULL,
    tag text NOT NULL COLLATE pg_catalog."C",
    digest bytea,
    checked_at double precision
);
INSERT INTO public.changes VALUES (1, 4, 'team/app', '', NULL, NULL, 1795853015.9730122, NULL, '');
INSERT INTO public.changes VALUES (2, 1, 'team/app', 'v1', '\x01ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', NULL, 1795853015.9730122, 5, 'ci');
INSERT INTO public.changes VALUES (3, 1, 'team/app', 'v2', '\x013e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d', NULL, 1795853015.9730122, NULL, '');
INSERT INTO public.changes VALUES (4, 2, 'team/app', 'v1', '\x012e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6', '\x01ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 1795853015.9899905, NULL, '');
INSERT INTO public.index_schema VALUES (2);
INSERT INTO public.index_state VALUES (1, 'http://registry.example:5000', '7bccda503b5fca69', 4, 0, 1, 1795853015.9909964, 0, 0, 1);
INSERT INTO public.repositories OVERRIDING SYSTEM VALUE VALUES (1, 'team/app', 2, 1795853015.9580052, 1, 1795853015.9899905, 0, NULL, 1, 1795853015.9899905, 0, 2, 0, '');
INSERT INTO public.tags VALUES (1, 'v1', '\x012e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6', 1795853015.9899905);
INSERT INTO public.tags VALUES (1, 'v2', '\x013e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d', 1795853015.9899905);
SELECT pg_catalog.setval('public.repositories_id_seq', 1, true);
ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (sequence);
ALTER TABLE ONLY public.hints
    ADD CONSTRAINT hints_pkey PRIMARY KEY (repository, tag);
ALTER TABLE ONLY public.index_state
    ADD CONSTRAINT index_state_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.registry_instances
    ADD CONSTRAINT registry_instances_pkey PRIMARY KEY (instance);
ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_name_key UNIQUE (name);
ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_pkey PRIMARY KEY (repository, tag);
CREATE INDEX changes_of_tag ON public.changes USING btree (repository, tag, sequence);
CREATE INDEX repositories_due ON public.repositories USING btree (((due_at + ((30.0 * (priority)::numeric))::double precision))) WHERE (dirty > 0);
CREATE INDEX repositories_unlisted ON public.repositories USING btree (known) WHERE (known = 0);
CREATE INDEX tags_by_digest ON public.tags USING btree (digest) WHERE (digest IS NOT NULL);
ALTER TABLE ONLY public.hints
    ADD CONSTRAINT hints_repository_fkey FOREIGN KEY (repository) REFERENCES public.repositories(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_repository_fkey FOREIGN KEY (repository) REFERENCES public.repositories(id) ON DELETE CASCADE;
