"""What the queue asks of its SQLite file. `sqlite_file.py` makes the tables and the indexes that are named here."""

# message_by_key refuses the second living message of a key
SEND = "INSERT INTO message (pool, priority, visible_at, key, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
# message_by_turn: no sorting
WAITING = """
    SELECT id, visible_at, deliveries + 1, body FROM message
    WHERE pool = ? AND priority = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?"""
# what another receiver took since has another visible_at
TAKE = "UPDATE message SET token = ?, visible_at = ?, deliveries = deliveries + 1 WHERE id = ? AND visible_at = ?"
EXTEND = "UPDATE message SET visible_at = ? WHERE id = ? AND token = ?"
ACK = "DELETE FROM message WHERE id = ? AND token = ?"
RELEASE = "UPDATE message SET visible_at = ?, token = NULL WHERE id = ? AND token = ?"
BURY = """
    INSERT INTO dead (id, pool, priority, key, body, reason, died_at)
    SELECT ?, pool, priority, key, body, ?, ? FROM message WHERE id = ? AND token = ?"""
# message_by_turn: one step per priority
NEXT = "SELECT min(visible_at) FROM message WHERE pool = ? AND priority = ?"
DEAD = "SELECT id, body, reason, died_at FROM dead WHERE pool = ? ORDER BY number LIMIT ?"
REDRIVE = """
    INSERT INTO message (pool, priority, visible_at, key, body)
    SELECT pool, priority, ?, key, body FROM dead WHERE id = ? AND pool = ? ON CONFLICT DO NOTHING"""
FORGET = "DELETE FROM dead WHERE id = ? AND pool = ?"
# message_by_turn for what is due; rows of the others are read for their token
DEPTH = """
    SELECT priority, sum(available), sum(in_flight), sum(delayed), sum(dead) FROM (
        SELECT priority, count(*) AS available, 0 AS in_flight, 0 AS delayed, 0 AS dead
        FROM message WHERE pool = ?1 AND priority IN (0, 1, 2) AND visible_at <= ?2 GROUP BY priority
        UNION ALL
        SELECT priority, 0, sum(token IS NOT NULL), sum(token IS NULL), 0
        FROM message WHERE pool = ?1 AND priority IN (0, 1, 2) AND visible_at > ?2 GROUP BY priority
        UNION ALL
        SELECT priority, 0, 0, 0, count(*) FROM dead WHERE pool = ?1 GROUP BY priority
    ) GROUP BY priority"""
