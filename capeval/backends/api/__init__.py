"""Any OpenAI-compatible server: `backend.py` is the door, `docs/api.md` says what is asked and what is refused."""
