CREATE VIRTUAL TABLE article USING fts5(category UNINDEXED, text, tokenize = porter);
INSERT INTO article VALUES
    ('technical', 'No light on the router: hold its button for ten seconds, until the light is green.'),
    ('technical', 'A slow router: put it in the open, away from metal.'),
    ('shop', 'The router shop has its lights on from nine to five.');
CREATE TABLE invoice (month TEXT, euros REAL, customer TEXT);
INSERT INTO invoice VALUES ('2026-09', 39.9, 'c-7'), ('2026-10', 39.9, 'c-7'), ('2026-10', 39.9, 'c-7');
