#!lua
-- Runs where a script may write: not on a replica, nor on a server that is full or cannot save.
return 1
