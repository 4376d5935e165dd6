"""The corner shop itself: what a shop has whatever framework serves it. No framework is imported here.

data.py     people, customers, orders, settings: SQLAlchemy on SQLite; passwords, tokens, reset links
pages.py    a visit, what it is answered, and HTML pages with forms
accounts.py, orders.py, office.py, partners.py    what people and programs can do
routes.py   where the pages are, and who may open them
seed.py     the shop's first day

Each function that answers a page takes the visit and what stands in the path: `orders.pay(visit, pk=7)`. The calls of
seclog here tell what no hook can know and is the same in every app: whether a name exists, what was reset, who was changed.
"""
