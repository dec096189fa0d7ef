"""The site's own table of uploads: SQLite here, the site's database there."""

import sqlite3


def connect(path):
    """One connection a thread."""
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("""CREATE TABLE IF NOT EXISTS uploads (
        id TEXT PRIMARY KEY, job TEXT NOT NULL, sequence INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'open', message TEXT NOT NULL DEFAULT '')""")
    return database


def add(database, upload, job):
    """An upload that was added before stays as it is."""
    database.execute("INSERT OR IGNORE INTO uploads (id, job) VALUES (?, ?)", (upload, job))


def open_ones(database):
    """(id, job, sequence) of the uploads whose job has not been seen to end."""
    return database.execute(
        "SELECT id, job, sequence FROM uploads WHERE state = 'open' ORDER BY rowid").fetchall()


def remember(database, upload, sequence):
    """The last event that was dealt with: where a watch goes on after a crash."""
    database.execute("UPDATE uploads SET sequence = ? WHERE id = ?", (sequence, upload))


def end(database, upload, state, message=""):
    database.execute("UPDATE uploads SET state = ?, message = ? WHERE id = ?",
                     (state, message, upload))
