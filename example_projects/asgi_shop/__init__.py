"""What the Starlette shop and the FastAPI shop share. None of it knows which framework runs it.

data.py     people, customers, orders, settings: SQLAlchemy on SQLite; passwords, tokens, reset links
office.py   what the back office does with them
pages.py    HTML pages with forms and their CSRF token
seed.py     the shop's first day
"""
