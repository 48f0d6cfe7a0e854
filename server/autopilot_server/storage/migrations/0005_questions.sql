-- Columns with content have names of their own: by them it is encrypted on the way in and decrypted on the way out.
ALTER TABLE interrupts RENAME COLUMN value TO question;
