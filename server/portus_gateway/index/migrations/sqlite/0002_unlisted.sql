-- How many repositories only notifications named is counted for each new one.
CREATE INDEX repositories_unlisted ON repositories (known) WHERE known = 0;
