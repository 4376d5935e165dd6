"""`python -m example_projects.corner_shop.seed`: the people, the orders and the settings of the shop's first day.

Reads {user name: password} as JSON from standard input; with `--generate` it makes them up and prints them.
"""

import json
import sys
from decimal import Decimal
from secrets import token_urlsafe

from example_projects.corner_shop import data
from example_projects.corner_shop.data import Customer, Group, Order, StoreSettings, User
from sqlalchemy.orm import Session

PEOPLE = ["olga", "sam", "ana", "bob"]
CUSTOMERS = {"ana": ("Ana Alvarez", "1 Orchard Row"), "bob": ("Bob Brandt", "2 Mill Lane")}
WALK_INS = ["Walk-in 1", "Walk-in 2", "Walk-in 3"]
ORDERS = [
    ("ana", "Tea pot", 1, "24.90"),
    ("ana", "Cup", 4, "6.50"),
    ("bob", "Lamp", 1, "39.00"),
    ("bob", "Rug", 2, "55.00"),
]
SUPPORT = ["view_customer", "view_order", "refund_order"]


def fill(db: Session, secrets: dict[str, str]) -> dict[str, int]:
    """Create and fill the database and return {name: id}."""
    data.Base.metadata.create_all(data.engine)
    data.secret_key()
    support = Group(name="support", permissions=SUPPORT)
    users = {name: User(username=name, email=f"{name}@example.org", password=data.hashed(secrets[name]))
             for name in PEOPLE}  # fmt: skip
    users["olga"].is_staff = users["olga"].is_owner = users["sam"].is_staff = True
    users["sam"].groups.append(support)
    db.add_all([support, *users.values()])
    db.flush()
    customers = {name: Customer(user_id=users[name].id, name=full_name, address=address)
                 for name, (full_name, address) in CUSTOMERS.items()}  # fmt: skip
    walk_ins = [Customer(name=name) for name in WALK_INS]
    orders = [Order(customer=customers[name], item=item, quantity=quantity, price=Decimal(price))
              for name, item, quantity, price in ORDERS]  # fmt: skip
    key = secrets.get("payment_api_key") or token_urlsafe(24)
    settings = StoreSettings(tax_rate=Decimal("19.00"), payment_api_key=key)
    db.add_all([*customers.values(), *walk_ins, *orders, settings])
    db.flush()
    ids = {"support": support.id, "settings": settings.id}
    ids |= {name: user.id for name, user in users.items()}
    ids |= {f"{name}_customer": customer.id for name, customer in customers.items()}
    ids |= {f"walk_in_{number}": customer.id for number, customer in enumerate(walk_ins, 1)}
    ids |= {f"order_{number}": order.id for number, order in enumerate(orders, 1)}
    db.commit()
    return ids


if __name__ == "__main__":
    generate = "--generate" in sys.argv
    passwords = {name: token_urlsafe(9) for name in PEOPLE} if generate else json.load(sys.stdin)
    with Session(data.engine) as session:
        found = fill(session, passwords)
    print(json.dumps(found | ({"passwords": passwords} if generate else {})))
