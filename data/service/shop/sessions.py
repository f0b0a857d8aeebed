"""Who is logged in. At most ``limit`` sessions are kept; the oldest goes first."""


class Session:
    """One visitor's stay."""

    def __init__(self, token, user):
        self.token = token
        self.user = user
        self.seen = []


class SessionStore:
    """Sessions by token."""

    def __init__(self, limit=40):
        self._limit = limit
        self._sessions = {}
        self._made = 0

    def open(self, user):
        """Start a session; past the limit the oldest is dropped."""
        self._made += 1
        session = Session(f"{user}-{self._made:08d}", user)
        self._sessions[session.token] = session
        if len(self._sessions) > self._limit:
            del self._sessions[next(iter(self._sessions))]
        return session

    def find(self, token):
        """Return the session of a token, or None."""
        return self._sessions.get(token)
