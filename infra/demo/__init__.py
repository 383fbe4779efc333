"""`bestex demo`: the whole pipeline once, from orders to a report, and the world it trades in."""
